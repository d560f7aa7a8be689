package device_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// stored is what the hub has of the device's messages.
func (w *world) stored() (all []hubtest.TelemetryMessage) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	cancel()
	synctest.Wait()
	for m, err := range w.hub.Device("dev1").Messages(ctx) {
		if errors.Is(err, context.Canceled) {
			return all
		}
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// bodies are the bodies of messages, joined. One that was repeated bears a star.
func bodies(all []hubtest.TelemetryMessage) string {
	var texts []string
	for _, m := range all {
		text := string(m.Body)
		if m.Repeat > 0 {
			text += "*"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// line cuts the line of every device, or mends it.
func (w *world) line(up bool) {
	w.Helper()
	if err := w.hub.SetLine(up); err != nil {
		w.Fatal(err)
	}
}

func TestSend(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := device.Message{
			Body: []byte(`{"t":21.5}`), ContentType: "application/json", ContentEncoding: "utf-8", ID: "m-1", CorrelationID: "c-1",
			Created: time.Date(2026, 3, 1, 11, 0, 0, 250e6, time.UTC), Component: "thermostat1",
			Properties: map[string]string{"alert": "true", "a b": "c&d=é", "": "empty"},
		}
		if err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		all := w.stored()
		if len(all) != 1 {
			t.Fatalf("the hub has %d messages, want 1", len(all))
		}
		if got := all[0].Message; !reflect.DeepEqual(got, m) {
			t.Errorf("the hub has\n%+v, want\n%+v", got, m)
		}
		if err := c.Send(t.Context(), device.Message{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if id := w.stored()[1].ID; id == "" || len(id) > 22 {
			t.Errorf("the library gives the ID %q, want up to 22 bytes", id)
		}
		if s := c.Stats().Telemetry; s != (device.LaneStats{Sent: 2}) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestSendChecksFirst(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []struct {
			m    device.Message
			want error
			text string
		}{
			{device.Message{Body: make([]byte, 262144), ID: "1"}, transport.ErrTooLarge, "262145"},
			{device.Message{ID: "a\nb"}, transport.ErrMessage, "ID"},
			{device.Message{ContentType: "\xff"}, transport.ErrMessage, "ContentType"},
			{device.Message{Properties: map[string]string{"k": "\x00"}}, transport.ErrMessage, `"k"`},
			{device.Message{Properties: map[string]string{"$.exp": "1"}}, transport.ErrMessage, "$.exp"},
			{device.Message{Properties: map[string]string{"k": strings.Repeat("é", 11000)}}, transport.ErrTooLarge, "65535"},
		} {
			for name, send := range map[string]func(context.Context, device.Message) error{"Send": c.Send, "SendLater": c.SendLater} {
				if err := send(t.Context(), bad.m); !errors.Is(err, bad.want) || !strings.Contains(err.Error(), bad.text) {
					t.Errorf("%s: %v, want %v that says %s", name, err, bad.want, bad.text)
				}
			}
		}
		largest := device.Message{Body: make([]byte, 262143), ID: "1"}
		if err := c.Send(t.Context(), largest); err != nil {
			t.Errorf("a message of 262144 bytes: %v", err)
		}
		if n := len(w.stored()); n != 1 {
			t.Errorf("the hub has %d messages, want the largest", n)
		}
	})
}

func TestSendLaterBeforeConnectAndOffline(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		body := []byte("0")
		for i := range 5 {
			body[0] = byte('0' + i)
			if err := c.SendLater(t.Context(), device.Message{Body: body, Urgent: i == 4}); err != nil {
				t.Fatal(err)
			}
		}
		body[0] = 'x'
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := bodies(w.stored()); got != "4 0 1 2 3" {
			t.Errorf("the hub has %s", got)
		}
		w.line(false)
		time.Sleep(time.Minute)
		for i := range 3 {
			_ = c.SendLater(t.Context(), device.Message{Body: []byte(fmt.Sprint("late", i))})
		}
		time.Sleep(time.Hour)
		if s := c.Stats().Telemetry; s.Queued != 3 || s.OldestAge != time.Hour {
			t.Errorf("stats %+v, want 3 queued for an hour", s)
		}
		w.line(true)
		time.Sleep(5 * time.Minute)
		if got := bodies(w.stored()); got != "4 0 1 2 3 late0 late1 late2" {
			t.Errorf("the hub has %s", got)
		}
	})
}

func TestSendWithdraws(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.line(false)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Send(ctx, device.Message{Body: []byte("withdrawn")})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, device.ErrUnknownOutcome) {
			t.Errorf("offline: %v", err)
		}
		w.line(true)
		time.Sleep(5 * time.Minute)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Telemetry), hubtest.Drop())
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = c.Send(ctx, device.Message{Body: []byte("unknown")})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, device.ErrUnknownOutcome) {
			t.Errorf("without an answer: %v", err)
		}
		if err := c.Renew(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := bodies(w.stored()); got != "" {
			t.Errorf("the hub has %s", got)
		}
		if s := c.Stats().Telemetry; s.Queued+s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// What had no answer when the line ended is sent again, in order, with its IDs.
func TestCutSendsAgain(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		lost, want := 3, "0 1 2 3 0* 1* 2*"
		if w.renewsInPlace() { // AMQP waits for the outcome of a batch before it sends the next
			lost, want = 1, "0 0* 1 2 3"
		}
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Ack), hubtest.Drop().Times(lost))
		var sent sync.WaitGroup
		for i := range 4 {
			sent.Go(func() {
				if err := c.Send(t.Context(), device.Message{Body: []byte(fmt.Sprint(i))}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		if err := w.hub.Device("dev1").Cut(); err != nil {
			t.Fatal(err)
		}
		sent.Wait()
		ids := map[string]string{}
		for _, m := range w.stored() {
			if other, ok := ids[string(m.Body)]; ok && other != m.ID {
				t.Errorf("message %s has the IDs %s and %s", m.Body, other, m.ID)
			}
			ids[string(m.Body)] = m.ID
		}
		if got := bodies(w.stored()); got != want {
			t.Errorf("the hub has %s", got)
		}
	})
}

// A day of telemetry over 24 renewals arrives without one duplicate.
func TestDayOfTelemetry(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 0
		for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); time.Sleep(7 * time.Second) {
			if err := c.SendLater(t.Context(), device.Message{Body: []byte(fmt.Sprint(n))}); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if s := c.Stats(); s.Telemetry.Sent != int64(n) || s.Telemetry.Retried != 0 {
			t.Errorf("%d of %d messages arrived, %d were sent again", s.Telemetry.Sent, n, s.Telemetry.Retried)
		}
		all := w.stored()
		for i, m := range all {
			if want := n - len(all) + i; string(m.Body) != fmt.Sprint(want) || m.Repeat > 0 {
				t.Fatalf("message %d is %s, repeated %d times", want, m.Body, m.Repeat)
			}
		}
	})
}

// Telemetry without an answer for ten minutes holds up no GET, no patch and no
// renewal, and ends no connection.
func TestTelemetryWithoutAnswer(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 5 * time.Minute})
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		remove := w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Ack), hubtest.Drop().Times(-1))
		for i := range 40 {
			_ = c.SendLater(t.Context(), device.Message{Body: []byte(fmt.Sprint(i))})
		}
		before := w.hub.Device("dev1").Stats().Connects
		for i := range 60 { // ten minutes
			start := time.Now()
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.GetTwin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("a report and a GET took %v", took)
			}
			time.Sleep(10*time.Second - time.Since(start))
		}
		if n := w.hub.Device("dev1").Stats().Connects - before; n > 3 {
			t.Errorf("%d connections in ten minutes, want those of renewals", n)
		}
		remove()
		time.Sleep(30 * time.Minute)
		if s := c.Stats().Telemetry; s.Queued+s.InFlight != 0 {
			t.Errorf("stats %+v, want all sent", s)
		}
	})
}

func TestShutdownDrainsTelemetry(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			_ = c.SendLater(t.Context(), device.Message{Body: []byte(fmt.Sprint(i))})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if n := len(w.stored()); n != 100 {
			t.Errorf("the hub has %d of 100 messages", n)
		}
		c = w.client(nil)
		w.line(false)
		_ = c.SendLater(t.Context(), device.Message{Body: []byte("lost")})
		go func() { _ = c.Connect(t.Context()) }()
		synctest.Wait()
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var left *device.LeftError
		if err := c.Shutdown(ctx); !errors.As(err, &left) || left.Messages != 1 {
			t.Errorf("offline Shutdown returns %v, want a LeftError of 1 message", err)
		}
	})
}

// Firmware that uses no twin makes no subscription and no GET. The twin is
// opened when it is used first.
func TestTwinIsALane(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		subscribed := w.times(hubtest.FromDevice("dev1", hubtest.Subscribe))
		c := w.bare(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Send(t.Context(), device.Message{Body: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if s := w.hub.Device("dev1").Stats(); s.Gets+len(subscribed()) != 0 {
			t.Errorf("%d GETs and %d subscriptions of a twin that is not used", s.Gets, len(subscribed()))
		}
		if s := c.State(); s.Phase != device.Online {
			t.Errorf("the client is %v", s)
		}
		w.setDesired(`{"n":1}`)
		heard := make(chan int, 2)
		if _, err := c.OnDesired("n", twin.Typed(func(_ context.Context, n int, _ twin.Change) error { heard <- n; return nil }), nil); err != nil {
			t.Fatal(err)
		}
		if n := <-heard; n != 1 {
			t.Errorf("the listener hears %d, want 1", n)
		}
		if s := c.State(); s.Phase != device.Online || time.Since(s.Since) < time.Minute {
			t.Errorf("with its twin read the client is %v since %v", s, time.Since(s.Since))
		}
		w.setDesired(`{"n":2}`)
		if n := <-heard; n != 2 {
			t.Errorf("the listener hears %d, want 2", n)
		}
	})
}

// Telemetry does not wait for the twin's GET.
func TestTelemetryWaitsForNoGet(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Drop().Times(-1))
		c := w.client(nil)
		go func() { _ = c.Connect(t.Context()) }()
		synctest.Wait()
		before := time.Now()
		if err := c.Send(t.Context(), device.Message{Body: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took > time.Second {
			t.Errorf("Send took %v", took)
		}
	})
}

// On a slow line that telemetry floods, a desired change and a report each wait no
// longer than one message of 256 KB needs, plus one round trip.
func TestTwinUnderFlood(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		const rate, delay = 64 << 10, 150 * time.Millisecond
		inner := w.stream
		w.stream = func(ctx context.Context, target transport.Target) (net.Conn, error) {
			conn, err := inner(ctx, target)
			if err == nil {
				memconn.Shape(conn, memconn.Line{Rate: rate, Delay: delay, Buffer: 16 << 10})
			}
			return conn, err
		}
		w.longToken()
		c := w.client(&device.Options{Telemetry: device.TelemetryOptions{QueueBytes: 64 << 20}})
		heard := make(chan time.Time, 1)
		if _, err := c.OnDesired("n", func(context.Context, twin.Change) error { heard <- time.Now(); return nil }, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			if err := c.SendLater(t.Context(), device.Message{Body: make([]byte, 256<<10-100)}); err != nil {
				t.Fatal(err)
			}
		}
		// Twice the delay, and the time of the message, the frames around it, and
		// what the buffer held before.
		most := 2*delay + (256<<10+16<<10+2<<10)*time.Second/rate
		for i := range 20 {
			time.Sleep(7300 * time.Millisecond)
			before := time.Now()
			w.setDesired(fmt.Sprintf(`{"n":%d}`, i))
			if took := (<-heard).Sub(before); took > most {
				t.Errorf("a desired change took %v, want %v at most", took, most)
			}
			time.Sleep(3100 * time.Millisecond)
			before = time.Now()
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(before); took > most {
				t.Errorf("a report took %v, want %v at most", took, most)
			}
		}
		if s := c.Stats(); s.Telemetry.Sent < 40 || s.Connects != 1 {
			t.Errorf("%d messages arrived over %d connections; was there a flood?", s.Telemetry.Sent, s.Connects)
		}
	})
}

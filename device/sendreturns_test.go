package device_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Over MQTT a message at which the hub ends the connection each time is given up.
// Those after it arrive.
func TestSendReturnsErrPoison(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		if w.renewsInPlace() {
			t.Skip("over AMQP a hub has words for it")
		}
		w.longToken()
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.Telemetry)(m) && m.RequestID == "bad"
		}, hubtest.Fail(400000).Times(-1))
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		answer := make(chan error, 1)
		go func() { answer <- c.Send(ctx, device.Message{ID: "bad", Body: []byte("bad")}) }()
		synctest.Wait()
		if err := c.Send(ctx, device.Message{Body: []byte("good")}); err != nil {
			t.Errorf("the next message: %v", err)
		}
		if err := <-answer; !errors.Is(err, device.ErrPoison) || errors.Is(err, device.ErrUnknownOutcome) {
			t.Errorf("Send returned %v, want ErrPoison", err)
		}
		if got := bodies(w.stored()); got != "good" && got != "good good*" {
			t.Errorf("the hub has %s", got)
		}
		if s := c.Stats().Telemetry; s.Poisonous != 1 || s.Queued+s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Over AMQP a hub says that it refuses a message. It is not sent again.
func TestSendReturnsWhatTheHubSays(t *testing.T) {
	overAMQP(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Telemetry), hubtest.Fail(400000))
		if err := c.Send(t.Context(), device.Message{Body: []byte("refused")}); !errors.Is(err, transport.ErrRejected) {
			t.Errorf("Send returned %v, want ErrRejected", err)
		}
		if err := c.Send(t.Context(), device.Message{Body: []byte("good")}); err != nil {
			t.Errorf("the next message: %v", err)
		}
		if got := bodies(w.stored()); got != "good" {
			t.Errorf("the hub has %s", got)
		}
		if n := w.hub.Device("dev1").Stats().Connects; n != 1 {
			t.Errorf("%d connections, want one", n)
		}
		if s := c.Stats().Telemetry; s.Refused != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Close ends the waiting. What was sent may have arrived, what was not has not.
func TestSendReturnsErrClosed(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		for _, sent := range []bool{false, true} {
			c := w.client(nil)
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if sent {
				w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Ack), hubtest.Drop())
			} else {
				w.line(false)
				synctest.Wait()
			}
			answer := make(chan error, 1)
			go func() { answer <- c.Send(t.Context(), device.Message{Body: []byte(fmt.Sprint(sent))}) }()
			time.Sleep(time.Second)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-answer; !errors.Is(err, device.ErrClosed) || errors.Is(err, device.ErrUnknownOutcome) != sent {
				t.Errorf("sent %t: Send returned %v, want ErrClosed, and ErrUnknownOutcome if it was sent", sent, err)
			}
			if err := c.Send(t.Context(), device.Message{}); !errors.Is(err, device.ErrClosed) || errors.Is(err, device.ErrUnknownOutcome) {
				t.Errorf("Send on a closed client returned %v, want ErrClosed alone", err)
			}
			w.line(true)
		}
		if got := bodies(w.stored()); got != "true" {
			t.Errorf("the hub has %s", got)
		}
	})
}

// A queue that is full refuses a message, or drops the oldest one.
func TestQueueIsBounded(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.bare(&device.Options{Telemetry: device.TelemetryOptions{QueueBytes: 1024, WhenFull: device.Refuse}})
		large := device.Message{Body: make([]byte, 600)}
		if err := c.SendLater(t.Context(), large); err != nil {
			t.Fatal(err)
		}
		if err := c.SendLater(t.Context(), large); !errors.Is(err, device.ErrQueueFull) {
			t.Errorf("SendLater returned %v, want ErrQueueFull", err)
		}

		c = w.bare(nil) // 1 MiB
		for i := range 10_000 {
			if err := c.SendLater(t.Context(), device.Message{Body: fmt.Appendf(nil, "%04d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		s := c.Stats().Telemetry
		if most := (1 << 20) / (256 + 4); s.Queued > most || s.Queued < most/2 || s.DroppedFull != int64(10_000-s.Queued) {
			t.Errorf("stats %+v, want nearly %d queued, and the others dropped", s, most)
		}
	})
}

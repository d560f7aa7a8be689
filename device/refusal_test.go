package device_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
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

// A message that the hub refuses fails with the hub's words, or, where the protocol
// has none, once six connections have ended at it. The others arrive.
func TestRefusedMessage(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.longToken()
		c := w.online(nil)
		time.Sleep(time.Minute)
		bad := func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.Telemetry)(m) && m.RequestID == "bad"
		}
		w.hub.Intercept(bad, hubtest.Answer(400, "com.microsoft:argument-error").Times(-1))
		refused := make(chan error, 1)
		start := time.Now()
		go func() { refused <- c.Send(soon(t, 12*time.Hour), device.Message{ID: "bad", Body: []byte("bad")}) }()
		synctest.Wait()
		for i := range 5 {
			if err := c.SendLater(t.Context(), device.Message{Body: []byte(fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		if got := bodies(w.stored()); strings.ReplaceAll(got, "*", "") != "0 1 2 3 4" {
			t.Errorf("after 5 minutes the hub has %s", got)
		}
		err := <-refused
		s := c.Stats().Telemetry
		if w.renewsInPlace() { // AMQP
			if !errors.Is(err, transport.ErrRejected) || s.Refused != 1 {
				t.Errorf("refused with %v, stats %+v", err, s)
			}
			return
		}
		if !errors.Is(err, device.ErrPoison) || s.Poisonous != 1 {
			t.Errorf("refused with %v, stats %+v", err, s)
		}
		if took := time.Since(start); took < 3*time.Minute || took > time.Hour {
			t.Errorf("given up after %v", took)
		}
		time.Sleep(5 * time.Minute)
		connects := c.Stats().Connects
		time.Sleep(3 * time.Hour)
		if n := c.Stats().Connects - connects; n != 0 {
			t.Errorf("%d more connections", n)
		}
	})
}

func TestQueueFull(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		for full, want := range map[device.WhenFull]string{device.DropOldest: "3 4", device.DropNewest: "0 1", device.Refuse: "0 1"} {
			c := w.client(&device.Options{Telemetry: device.TelemetryOptions{QueueBytes: 2 * (256 + 1000), WhenFull: full}})
			before := len(w.stored())
			refused := 0
			for i := range 5 {
				m := device.Message{Body: []byte(fmt.Sprint(i)), Properties: map[string]string{"k": strings.Repeat("x", 900)}}
				if errors.Is(c.SendLater(t.Context(), m), device.ErrQueueFull) {
					refused++
				}
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := bodies(w.stored()[before:]); got != want {
				t.Errorf("choice %d: the hub has %s, want %s", full, got, want)
			}
			if n := c.Stats().Telemetry.DroppedFull; refused+int(n) != 3 || (full == device.Refuse) != (refused == 3) {
				t.Errorf("choice %d: %d refused, %d dropped", full, refused, n)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// Send waits for the line.
func TestSendWaits(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.line(false)
		time.Sleep(time.Minute)
		time.AfterFunc(time.Minute, func() { w.line(true) })
		start := time.Now()
		if err := c.Send(t.Context(), device.Message{Body: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Minute {
			t.Errorf("Send took %v while the line was down for a minute", took)
		}
	})
}

func TestWrongTelemetryOptions(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		for field, o := range map[string]device.TelemetryOptions{
			"QueueBytes":   {QueueBytes: 1023},
			"WhenFull":     {WhenFull: device.Refuse + 1},
			"MaxPerSecond": {MaxPerSecond: -1},
			"MaxPerDay":    {MaxPerDay: -1},
		} {
			c := w.bare(&device.Options{Telemetry: o})
			if err := c.Connect(t.Context()); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "Options.Telemetry."+field) {
				t.Errorf("%s: %v", field, err)
			}
		}
	})
}

// Reports arrive in good time although message after message ends the connection.
func TestTwinBesidePoison(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.longToken()
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Telemetry), hubtest.Cut().Times(-1))
		for range 20 {
			if err := c.SendLater(t.Context(), device.Message{Body: []byte("bad")}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			if _, err := c.UpdateReported(soon(t, 5*time.Minute), twin.Set("n", i)); err != nil {
				t.Errorf("report %d: %v", i, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

// A batch that the hub puts off costs one pause, whatever its size.
func TestPutOffBatch(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		if !w.renewsInPlace() {
			t.Skip("MQTT has no word for it")
		}
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Telemetry), hubtest.Fail(429001))
		c := w.online(nil)
		for i := range 16 {
			if err := c.SendLater(t.Context(), device.Message{Body: []byte(fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if n := c.Stats().Telemetry.Sent; n != 16 {
			t.Errorf("after 5 s %d of 16 messages arrived", n)
		}
	})
}

// A change is heard while a burst of messages leaves on a slow line.
func TestHearsDuringABurst(t *testing.T) {
	for name, m := range map[string]device.Message{
		"bodies":     {Body: make([]byte, 4096)},
		"properties": {Properties: map[string]string{"k": strings.Repeat("x", 60_000)}},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.longToken()
				inner := w.stream
				w.stream = func(ctx context.Context, target transport.Target) (net.Conn, error) {
					conn, err := inner(ctx, target)
					if err == nil {
						memconn.Shape(conn, memconn.Line{Rate: 8000, Delay: 100 * time.Millisecond, Buffer: 8000})
					}
					return conn, err
				}
				c := w.client(nil)
				heard := make(chan time.Time, 1)
				if _, err := c.OnDesired("n", func(context.Context, twin.Change) error { heard <- time.Now(); return nil }, nil); err != nil {
					t.Fatal(err)
				}
				if err := c.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				for range 16 {
					if err := c.SendLater(t.Context(), m); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
				before := time.Now()
				w.setDesired(`{"n":1}`)
				if took := (<-heard).Sub(before); took > 2*time.Second {
					t.Errorf("heard after %v", took)
				}
			})
		})
	}
}

// What waits for the hub's credit is not withdrawn any more.
func TestSendWithoutCredit(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		if err := w.hub.Device("dev1").HoldTelemetry(true); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Send(soon(t, time.Minute), device.Message{Body: []byte("1")}); !errors.Is(err, device.ErrUnknownOutcome) {
				t.Errorf("without credit: %v", err)
			}
		}
	})
}

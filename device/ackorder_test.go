package device_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A listener that acknowledges and returns only after its client has stopped is
// called again at the next start, and its value is acknowledged then.
func TestAcknowledgerThatOutlivesItsClient(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := &memStore{}
		both := &device.ListenOptions{Acknowledge: true, Durable: "a"}
		c := w.client(&device.Options{Store: st})
		if _, err := c.OnDesired("a", func(ctx context.Context, _ twin.Change) error {
			<-ctx.Done()
			return nil
		}, both); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		w.wantReported("after Close", `{}`)
		var e ears
		again := w.client(&device.Options{Store: st})
		if _, err := again.OnDesired("a", e.listener, both); err != nil {
			t.Fatal(err)
		}
		if err := again.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLines(t, "after the next start", e.take(), "start 1")
		w.wantReported("after the next start", `{"a":{"ac":200,"av":2,"value":1}}`)
	})
}

// Wherever a power cut ends the log, a value that a durable listener heard is
// acknowledged after the next start, or the listener hears it again.
func TestAckOutlivesAPowerCutAtEachRecord(t *testing.T) {
	both := &device.ListenOptions{Acknowledge: true, Durable: "a"}
	connect := func(t *testing.T, w *world, st *memStore) *device.Client {
		c := w.client(&device.Options{Store: st})
		var e ears
		if _, err := c.OnDesired("a", e.listener, both); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	var whole *memStore
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		connect(t, w, st)
		time.Sleep(time.Minute)
		w.setDesired(`{"a":1}`)
		time.Sleep(time.Minute)
		w.wantReported("with the line up", `{"a":{"ac":200,"av":2,"value":1}}`)
		whole = st.powerCut()
	})
	if len(whole.records) < 3 {
		t.Fatalf("the log has %d records", len(whole.records))
	}
	for n := range len(whole.records) + 1 {
		story(t, func(t *testing.T, w *world) {
			w.setDesired(`{"a":1}`)
			connect(t, w, &memStore{snapshot: whole.snapshot, records: slices.Clone(whole.records[:n])})
			time.Sleep(time.Minute)
			w.wantReported("after the power cut", `{"a":{"ac":200,"av":2,"value":1}}`)
		})
	}
}

package device_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

func TestReportSurvivesAPowerCut(t *testing.T) {
	for _, online := range []bool{false, true} {
		t.Run(fmt.Sprintf("online before: %t", online), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				st := &memStore{delay: 10 * time.Millisecond}
				c := w.client(&device.Options{Store: st})
				if online {
					if err := c.Connect(t.Context()); err != nil {
						t.Fatal(err)
					}
					if _, err := c.UpdateReported(t.Context(), twin.Set("o", map[string]int{"x": 1, "y": 1})); err != nil {
						t.Fatal(err)
					}
				}
				w.hub.Device("dev1").SetLine(false)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_ = c.Connect(ctx)
				for _, p := range []twin.Patch{twin.Set("battery", 87), twin.Set("o.x", 2), twin.Delete("o.y"), twin.Set("battery", 86)} {
					if err := c.ReportLater(t.Context(), p); err != nil {
						t.Fatal(err)
					}
				}
				after := st.powerCut()
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				w.hub.Device("dev1").SetLine(true)
				again := w.client(&device.Options{Store: after})
				if err := again.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				w.wantReported("after the power cut", `{"battery":86,"o":{"x":2}}`)
			})
		})
	}
}

func TestWholeStateSurvivesADeviceCreatedAnew(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		if _, err := c.UpdateReported(t.Context(), twin.Set("serial", "x1").Set("fw", "2.0")); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.hub.Device("dev1").Remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.hub.AddDevice("dev1"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.hub.Device("dev1").SetKeys(w.dev.PrimaryKey, w.dev.SecondaryKey); err != nil {
			t.Fatal(err)
		}
		w.online(&device.Options{Store: st.powerCut()})
		synctest.Wait()
		w.wantReported("reported again", `{"fw":"2.0","serial":"x1"}`)
	})
}

func TestDurableListener(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1,"b":1}`)
		var st = &memStore{}
		start := func() (c *device.Client, a, b *ears) {
			a, b = &ears{}, &ears{}
			c = w.client(&device.Options{Store: st})
			if _, err := c.OnDesired("a", a.listener, &device.ListenOptions{Durable: "a", Acknowledge: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.OnDesired("b", b.listener, nil); err != nil {
				t.Fatal(err)
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			return c, a, b
		}
		c, a, b := start()
		wantLines(t, "first start, durable", a.take(), "start 1")
		wantLines(t, "first start", b.take(), "start 1")
		st = st.powerCut()
		_ = c.Close()
		c, a, b = start()
		wantLines(t, "nothing changed, durable", a.take())
		wantLines(t, "nothing changed", b.take(), "start 1")
		st = st.powerCut()
		_ = c.Close()
		w.setDesired(`{"a":2}`)
		_, a, _ = start()
		wantLines(t, "changed while off, durable", a.take(), "start 2")
		w.wantReported("acknowledged", `{"a":{"ac":200,"av":3,"value":2}}`)
	})
}

func TestBrokenStoreIsToldAndSurvived(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		full := errors.New("no space left on device")
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		synctest.Wait()
		st.broken(full)
		err := c.ReportLater(t.Context(), twin.Set("a", 1))
		if !errors.Is(err, device.ErrNotStored) || !errors.Is(err, full) {
			t.Errorf("ReportLater on a full disk: %v", err)
		}
		if _, err := c.UpdateReported(t.Context(), twin.Set("b", 2)); err != nil {
			t.Errorf("UpdateReported on a full disk: %v", err)
		}
		w.wantReported("the client lives on", `{"a":1,"b":2}`)
		w.hub.Device("dev1").SetLine(false)
		_ = c.ReportLater(t.Context(), twin.Set("c", 3))
		for i := range 1000 {
			_ = c.ReportLater(t.Context(), twin.Set("c", 3+i%2))
		}
		_ = c.ReportLater(t.Context(), twin.Set("c", 3))
		if got := st.tries(); got > 10 {
			t.Errorf("a full disk was tried %d times", got)
		}
		st.broken(nil)
		time.Sleep(3 * time.Minute)
		if got := st.snapshots(); got != 2 { // the base, and the cure
			t.Errorf("%d snapshots; it is not tried again by itself", got)
		}
		if err := c.ReportLater(t.Context(), twin.Set("d", 4)); err != nil {
			t.Errorf("ReportLater once there is room: %v", err)
		}
		after := st.powerCut()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		w.hub.Device("dev1").SetLine(true)
		w.online(&device.Options{Store: after})
		synctest.Wait()
		w.wantReported("what could not be stored then is there now", `{"a":1,"b":2,"c":3,"d":4}`)
	})
}

func TestStoreThatCannotBeRead(t *testing.T) {
	for _, st := range []*memStore{
		{snapshot: []byte(`{`)}, {records: [][]byte{[]byte("nonsense")}}, {snapshot: []byte(`{"based":true,"wanted":[]}`)},
		{snapshot: []byte(`{"unsent":[7]}`)}, {records: [][]byte{[]byte(`{"w":7}`)}}, {records: [][]byte{[]byte(`{"m":7}`)}},
		{snapshot: []byte(`{"heard":[{"n":"a","p":"a","i":1,"v":1,"j":[null]}]}`)}, {snapshot: []byte(`{"desired":{"i":1,"v":1,"j":7}}`)}, {records: [][]byte{[]byte(`{"d":{"i":1,"j":[]}}`)}}, {records: [][]byte{[]byte(`{"h":{"n":"a","i":1}}`)}}, {snapshot: []byte(`{}`), records: [][]byte{[]byte(`{`)}},
	} {
		story(t, func(t *testing.T, w *world) {
			c := w.online(&device.Options{Store: st})
			if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
				t.Errorf("%s %s: %v", st.snapshot, st.records, err)
			}
			synctest.Wait()
			w.wantReported("runs without its memory", `{"a":1}`)
			if got := st.snapshots(); got == 0 {
				t.Errorf("%s %s: the store was not written anew", st.snapshot, st.records)
			}
		})
	}
}

func TestReportsShareASync(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{delay: time.Second}
		c := w.online(&device.Options{Store: st})
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 100 {
			wg.Go(func() {
				if err := c.ReportLater(t.Context(), twin.Set("n", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("100 reports at once took %v on a store that takes 1 s a write", took)
		}
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		err := c.ReportLater(short, twin.Set("n", 0))
		if !errors.Is(err, device.ErrNotStored) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ReportLater that did not wait: %v", err)
		}
	})
}

func TestDurableListenerThatFailedHearsItAgain(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := &memStore{}
		calls := 0
		start := func(result error) *device.Client {
			c := w.client(&device.Options{Store: st})
			if _, err := c.OnDesired("a", func(context.Context, twin.Change) error {
				calls++
				return result
			}, &device.ListenOptions{Durable: "a"}); err != nil {
				t.Fatal(err)
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return c
		}
		for i, result := range []error{errors.New("valve stuck"), nil, nil} {
			if err := start(result).Close(); err != nil {
				t.Fatal(err)
			}
			st = st.powerCut()
			if want := []int{1, 2, 2}[i]; calls != want {
				t.Errorf("start %d: %d calls so far, want %d", i, calls, want)
			}
		}
	})
}

func TestReportsOutliveAnUnreadableSnapshot(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{snapshot: []byte(`{`), records: [][]byte{[]byte(`{"w":{"n":1}}`), []byte("nonsense"), []byte(`{"w":{"m":2}}`)}}
		w.online(&device.Options{Store: st})
		synctest.Wait()
		w.wantReported("what could be read", `{"m":2,"n":1}`)
	})
}

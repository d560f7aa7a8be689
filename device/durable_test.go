package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/twin"
)

// hear starts a client with one durable listener and returns what it heard.
func (w *world) hear(st *memStore, path, name string) (heard []string, c *device.Client) {
	w.Helper()
	var e ears
	c = w.client(&device.Options{Store: st})
	if _, err := c.OnDesired(path, e.listener, &device.ListenOptions{Durable: name}); err != nil {
		w.Fatal(err)
	}
	if err := c.Connect(w.Context()); err != nil {
		w.Fatal(err)
	}
	return e.take(), c
}

// Two listeners of one path have memories of their own.
func TestDurableListenersOfOnePath(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := &memStore{}
		var d diary
		start := func(result error) {
			c := w.client(&device.Options{Store: st})
			for name, result := range map[string]error{"fails": result, "works": nil} {
				if _, err := c.OnDesired("a", func(_ context.Context, ch twin.Change) error {
					d.note("%s %v", name, ch.Value)
					return result
				}, &device.ListenOptions{Durable: name, Concurrent: name == "works"}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			st = st.powerCut()
			_ = c.Close()
		}
		start(errors.New("valve stuck"))
		d.take()
		start(nil)
		wantLines(t, "the second start", d.take(), "fails 1")
		start(nil)
		wantLines(t, "the third start", d.take())
	})
}

func TestDurableNames(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(&device.Options{Store: &memStore{}})
		none := func(context.Context, twin.Change) error { return nil }
		remove, err := c.OnDesired("a", none, &device.ListenOptions{Durable: "x"})
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"a", "b"} {
			if _, err := c.OnDesired(path, none, &device.ListenOptions{Durable: "x"}); !errors.Is(err, twin.ErrInvalid) || !strings.Contains(err.Error(), `"x"`) {
				t.Errorf("the same name twice at once, for %q: %v", path, err)
			}
		}
		for _, name := range []string{strings.Repeat("x", 129), "\xff"} {
			if _, err := c.OnDesired("a", none, &device.ListenOptions{Durable: name}); !errors.Is(err, twin.ErrInvalid) {
				t.Errorf("the name %q: %v", name, err)
			}
		}
		if _, err := c.OnDesired("a b", nil, &device.ListenOptions{Durable: "y"}); err == nil {
			t.Error("a nil listener was taken")
		}
		if _, err := c.OnDesired("a", none, &device.ListenOptions{Durable: "y"}); err != nil {
			t.Errorf("a name whose registration had failed: %v", err)
		}
		remove()
		if _, err := c.OnDesired("b", none, &device.ListenOptions{Durable: "x"}); err != nil {
			t.Errorf("a name whose listener was removed: %v", err)
		}
	})
}

// A name under another path begins again, and goes on there.
func TestDurableNameOfAnotherPath(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1,"b":1}`)
		st := &memStore{}
		for _, step := range []struct {
			path string
			want []string
		}{{"a", []string{"start 1"}}, {"a", nil}, {"b", []string{"start 1"}}, {"b", nil}, {"a", []string{"start 1"}}} {
			heard, c := w.hear(st, step.path, "x")
			wantLines(t, step.path, heard, step.want...)
			st = st.powerCut()
			_ = c.Close()
		}
	})
}

func TestForgetDurable(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := &memStore{}
		next := func(what string, forget func(c *device.Client), want ...string) {
			t.Helper()
			heard, c := w.hear(st, "a", "x")
			wantLines(t, what, heard, want...)
			forget(c)
			synctest.Wait()
			st = st.powerCut()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		nothing := func(*device.Client) {}
		next("first", nothing, "start 1")
		next("second", func(c *device.Client) { c.ForgetDurable("x") })
		next("forgotten", func(c *device.Client) { c.ForgetDurable("unknown") }, "start 1")
		next("not forgotten", nothing)
		c := w.client(&device.Options{Store: st})
		c.ForgetDurable("x") // before the store is claimed
		var e ears
		if _, err := c.OnDesired("a", e.listener, &device.ListenOptions{Durable: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLines(t, "forgotten before the start", e.take(), "start 1")
	})
}

// Whatever changes, a durable listener is called after a power cut with what it
// did not hear, and with nothing else, from records and from snapshots.
func TestDurableMemoryOfDifferences(t *testing.T) {
	for _, path := range []string{"", "a", "a.b"} {
		t.Run(fmt.Sprintf("path %q", path), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				st := &memStore{}
				_, c := w.hear(st, path, "x")
				for i, change := range []string{
					`{"a":1}`, `{"a":{"b":1}}`, `{"a":{"b":{"c":[1,{"d":2}]}}}`, `{"a":{"b":{"c":[1]}}}`, `{"a":{"b":{}}}`,
					`{"a":{"b":"x","ék":1.10}}`, `{"a":{"b":null}}`, `{"a":null}`, `{"n":1}`, `{"a":{}}`, `{"a":false}`, `{"a":{"b":0}}`,
				} {
					w.setDesired(change)
					synctest.Wait()
					st = st.powerCut()
					if i%4 == 3 {
						st.records = append(st.records, []byte("nonsense")) // the next write is a snapshot
					}
					_ = c.Close()
					var heard []string
					heard, c = w.hear(st, path, "x")
					wantLines(t, "after "+change, heard)
				}
				st = st.powerCut()
				_ = c.Close()
				w.setDesired(`{"a":{"b":7}}`)
				if heard, _ := w.hear(st, path, "x"); len(heard) != 1 {
					t.Errorf("after a change while off: %q", heard)
				}
			})
		})
	}
}

// A difference whose base was not stored is not taken for the whole.
func TestDurableMemoryAfterAFailedWrite(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":{"x":1,"y":1}}`)
		st := &memStore{snapshot: []byte(`{"based":true,"wanted":{},"heard":[{"n":"x","p":"a","i":3,"v":2,"j":{"v":{"x":1,"y":1}}}]}`),
			records: [][]byte{[]byte(`{"h":{"n":"x","p":"a","i":5,"v":4,"d":{"v":{"x":3}}}}`)}} // the fourth is missing
		heard, _ := w.hear(st, "a", "x")
		wantLines(t, "it hears everything", heard, `start {"x":1,"y":1}`)
	})
}

// Names that nobody uses any more are forgotten, the oldest first.
func TestHeardIsNotKeptForEver(t *testing.T) {
	for _, removed := range []bool{true, false} {
		t.Run(fmt.Sprint("removed ", removed), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				st := &memStore{}
				c := w.online(&device.Options{Store: st})
				for i := range 300 { // a job comes, is heard durably, and goes
					path := fmt.Sprintf("jobs.job-%04d", i)
					remove, err := c.OnDesired(path, func(context.Context, twin.Change) error { return nil }, &device.ListenOptions{Durable: path})
					if err != nil {
						t.Fatal(err)
					}
					w.setDesired(fmt.Sprintf(`{"jobs":{"job-%04d":{"do":"%s"}}}`, i, strings.Repeat("x", 100)))
					synctest.Wait()
					w.setDesired(fmt.Sprintf(`{"jobs":{"job-%04d":null}}`, i))
					synctest.Wait()
					if removed {
						remove()
						continue
					}
					if i%10 == 9 { // a restart, after which nobody listens for these jobs
						if err := c.Close(); err != nil {
							t.Fatal(err)
						}
						c = w.online(&device.Options{Store: st})
					}
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				st.records = append(st.records, []byte("nonsense"))
				c = w.online(&device.Options{Store: st})
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				var s struct{ Heard []struct{ N string } }
				if err := json.Unmarshal(st.powerCut().snapshot, &s); err != nil {
					t.Fatal(err)
				}
				if n := len(s.Heard); n > 74 || n < 60 || s.Heard[n-1].N != "jobs.job-0299" {
					t.Errorf("nobody listens, and the snapshot keeps what %d listeners heard: %v", n, s.Heard)
				}
			})
		})
	}
}

func TestHeardFitsARealStore(t *testing.T) {
	for _, size := range []int{200, 3000} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			path := t.TempDir() + "/twin"
			story(t, func(t *testing.T, w *world) {
				st := openStore(t, path, w.dev.Identity, &store.Options{MaxSize: 128 << 10})
				c := w.online(&device.Options{Store: st})
				for i := range 300 {
					at := fmt.Sprintf("jobs.job-%04d", i)
					remove, err := c.OnDesired(at, func(context.Context, twin.Change) error { return nil }, &device.ListenOptions{Durable: at})
					if err != nil {
						t.Fatal(err)
					}
					w.setDesired(fmt.Sprintf(`{"jobs":{"job-%04d":{"do":"%s"}}}`, i, strings.Repeat("x", size)))
					time.Sleep(10 * time.Millisecond)
					remove() // while its value is still there
					w.setDesired(fmt.Sprintf(`{"jobs":{"job-%04d":null}}`, i))
					time.Sleep(10 * time.Millisecond)
				}
				if err := c.ReportLater(t.Context(), twin.Set("battery", 87)); err != nil {
					t.Errorf("ReportLater on a disk with room, twin of %d bytes: %v", len(w.reported()), err)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// One small change under a large object writes a small record, for the durable
// listener and for the desired half.
func TestFlashWearOfADurableRoot(t *testing.T) {
	for _, path := range []string{"", "big"} {
		t.Run(fmt.Sprintf("path %q", path), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				big := map[string]any{}
				for i := range 7 {
					big[fmt.Sprint("p", i)] = strings.Repeat("x", 4000)
				}
				w.setDesired(encode(t, map[string]any{"big": big, "n": 0}))
				st := &memStore{}
				_, c := w.hear(st, path, "x")
				time.Sleep(time.Minute)
				before := st.wrote()
				for i := range 24 { // the fake asks for a snapshot at 50 records
					w.setDesired(fmt.Sprintf(`{"n":%d,"big":{"n":%d}}`, i+1, i))
					time.Sleep(2 * time.Second)
				}
				if n := st.wrote() - before; n > 24*256 {
					t.Errorf("24 changes of a number wrote %d bytes to flash", n)
				}
				st = st.powerCut()
				_ = c.Close()
				if heard, _ := w.hear(st, path, "x"); len(heard) != 0 {
					t.Errorf("after the power cut it heard %d changes", len(heard))
				}
			})
		})
	}
}

// A snapshot holds what is desired once, and what listeners heard as the
// difference to it.
func TestSnapshotHoldsNoValueTwice(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(encode(t, map[string]any{"big": strings.Repeat("x", 4000), "small": 1}))
		st := &memStore{}
		c := w.client(&device.Options{Store: st})
		fails := false
		for _, path := range []string{"", "big", "small", "none"} {
			if _, err := c.OnDesired(path, func(context.Context, twin.Change) error {
				if fails {
					return errors.New("stuck")
				}
				return nil
			}, &device.ListenOptions{Durable: "at " + path}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		fails = true
		w.setDesired(`{"small":{"x":2},"none":3}`) // no listener has heard this
		time.Sleep(time.Minute)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		st.records = append(st.records, []byte("nonsense"))
		c = w.online(&device.Options{Store: st})
		if err := c.Close(); err != nil { // writes a snapshot
			t.Fatal(err)
		}
		if n := len(st.snapshot); n > 5000 || len(st.records) > 0 {
			t.Errorf("the snapshot has %d bytes, with %d records behind it", n, len(st.records))
		}
		for path, want := range map[string]int{"": 1, "big": 0, "small": 1, "none": 1} {
			cut := st.powerCut()
			heard, c := w.hear(cut, path, "at "+path)
			if len(heard) != want {
				t.Errorf("the listener for %q heard %q after a restart", path, heard)
			}
			_ = c.Close()
		}
	})
}

package device_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestReplaceSurvivesAPowerCut: what was replaced before anything was known of
// the hub comes out the same after power cuts, from records and from a snapshot.
func TestReplaceSurvivesAPowerCut(t *testing.T) {
	fan := map[string]int{"rpm": 7}
	for _, tc := range []struct {
		desc   string
		says   []twin.Patch
		record string // of the last
		unsent string // in a snapshot
		want   string
	}{
		{
			"a part", []twin.Patch{twin.Set("fan.new", 1).Set("n", 1), twin.Replace("fan", fan).Set("n", 2)},
			`{"w":{"fan":{"rpm":7},"n":2},"g":{"fan":null}}`, `[{"fan":null},{"fan":{"rpm":7},"n":2}]`,
			`{"fan":{"rpm":7},"n":2,"old":1}`,
		}, {
			"a part, and on", []twin.Patch{twin.Replace("fan", fan), twin.Set("fan.mode", "auto")},
			`{"w":{"fan":{"mode":"auto"}}}`, `[{"fan":null},{"fan":{"mode":"auto","rpm":7}}]`,
			`{"fan":{"mode":"auto","rpm":7},"old":1}`,
		}, {
			"everything", []twin.Patch{twin.Set("n", 1), twin.Replace("", map[string]any{"fan": fan})},
			`{"w":{"fan":{"rpm":7}},"g":null}`, `[null,{"fan":{"rpm":7}}]`,
			`{"fan":{"rpm":7}}`,
		}, {
			"by a scalar first", []twin.Patch{twin.Set("fan", 1), twin.Set("fan", fan)},
			`{"w":{"fan":{"rpm":7}}}`, `[{"fan":null},{"fan":{"rpm":7}}]`,
			`{"fan":{"rpm":7},"old":1}`,
		},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				first := w.online(nil)
				if _, err := first.UpdateReported(t.Context(), twin.Set("fan.stale", 1).Set("fan.rpm", 1).Set("old", 1)); err != nil {
					t.Fatal(err)
				}
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
				w.hub.Device("dev1").SetLine(false)
				offline := func(st *memStore) *device.Client {
					t.Helper()
					c := w.client(&device.Options{Store: st})
					soon, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if err := c.Connect(soon); !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("Connect without a line: %v", err)
					}
					return c
				}
				st := &memStore{}
				c := offline(st)
				for _, p := range tc.says {
					if err := c.ReportLater(t.Context(), p); err != nil {
						t.Fatal(err)
					}
				}
				records := st.powerCut()
				if got := string(records.records[len(records.records)-1]); got != tc.record {
					t.Errorf("the record is %s, want %s", got, tc.record)
				}
				_ = c.Close()
				records.records = append(records.records, []byte("nonsense")) // asks for a snapshot
				c = offline(records)
				if err := c.ReportLater(t.Context(), twin.Patch{}); err != nil {
					t.Fatal(err)
				}
				snapshot := records.powerCut()
				if got := string(snapshot.snapshot); len(snapshot.records) > 0 || !strings.Contains(got, `"unsent":`+tc.unsent) {
					t.Errorf("the snapshot is %s, want %s in it, and no records", got, tc.unsent)
				}
				_ = c.Close()
				w.hub.Device("dev1").SetLine(true)
				w.online(&device.Options{Store: snapshot})
				synctest.Wait()
				w.wantReported("after two power cuts", tc.want)
			})
		})
	}
}

// TestReplaceSurvivesAPowerCutOnline is the same where the hub is known, also
// for a report that demanded a version.
func TestReplaceSurvivesAPowerCutOnline(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		v, err := c.UpdateReported(t.Context(), twin.Set("a.x", 1).Set("b.x", 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.UpdateReportedIf(t.Context(), twin.Replace("a", map[string]int{"y": 2}), v); err != nil {
			t.Fatal(err)
		}
		w.hub.Device("dev1").SetLine(false)
		if err := c.ReportLater(t.Context(), twin.Replace("b", map[string]int{"y": 2})); err != nil {
			t.Fatal(err)
		}
		after := st.powerCut()
		if got := fmt.Sprintf("%s", after.records); !strings.Contains(got, `"m":{"a":{"x":null,"y":2}}`) {
			t.Errorf("the records are %s, want what the guarded report replaced among them", got)
		}
		_ = c.Close()
		w.hub.Device("dev1").SetLine(true)
		w.online(&device.Options{Store: after})
		synctest.Wait()
		w.wantReported("after the power cut", `{"a":{"y":2},"b":{"y":2}}`)
	})
}

// TestNamedAgainSurvivesAPowerCut: a report is sent after the power cut though
// the hub has it, for its time stamps say when it was reported last.
func TestNamedAgainSurvivesAPowerCut(t *testing.T) {
	for _, p := range []twin.Patch{twin.Set("a.x", 1), twin.Replace("a", map[string]int{"x": 1})} {
		story(t, func(t *testing.T, w *world) {
			st := &memStore{}
			c := w.online(&device.Options{Store: st})
			if _, err := c.UpdateReported(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			w.hub.Device("dev1").SetLine(false)
			if err := c.ReportLater(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			after := st.powerCut()
			_ = c.Close()
			w.hub.Device("dev1").SetLine(true)
			patches := w.hub.Device("dev1").Stats().Patches
			w.online(&device.Options{Store: after})
			synctest.Wait()
			if got := w.hub.Device("dev1").Stats().Patches - patches; got != 1 {
				t.Errorf("%v, replacing %v: %d patches after the power cut, want 1", p, twin.ReplacedOf(tree.Key{}, p), got)
			}
		})
	}
}

func TestReplaceRecordsThatCannotBeRead(t *testing.T) {
	for _, record := range []string{
		`{"w":{"n":1},"g":7}`, `{"w":{"n":1},"g":[]}`, `{"w":null,"g":null}`, `{"w":7,"g":null}`, `{"m":7,"g":null}`, `{"g":null}`,
	} {
		story(t, func(t *testing.T, w *world) {
			first := w.online(nil)
			if _, err := first.UpdateReported(t.Context(), twin.Set("a", 1)); err != nil {
				t.Fatal(err)
			}
			_ = first.Close()
			w.online(&device.Options{Store: &memStore{records: [][]byte{[]byte(record)}}})
			synctest.Wait()
			w.wantReported("record "+record, `{"a":1}`)
		})
	}
}

func TestUpdateReportedIfReplaces(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		v, err := c.UpdateReported(t.Context(), twin.Set("a.x", 1))
		if err != nil {
			t.Fatal(err)
		}
		p := twin.Replace("a", map[string]int{"y": 2})
		now, err := c.UpdateReportedIf(t.Context(), p, v)
		if err != nil || now != v+1 {
			t.Errorf("at version %d: got %d, %v; want the next version", v, now, err)
		}
		w.wantReported("replaced", `{"a":{"y":2}}`)
		patches, start := w.hub.Device("dev1").Stats().Patches, time.Now()
		if _, err := c.UpdateReportedIf(t.Context(), p, v); !errors.Is(err, transport.ErrPrecondition) {
			t.Errorf("at an old version: got %v, want ErrPrecondition", err)
		}
		if n, took := w.hub.Device("dev1").Stats().Patches-patches, time.Since(start); n != 0 || took > time.Second {
			t.Errorf("at an old version: %d patches, told after %v; want none, at once", n, took)
		}
	})
}

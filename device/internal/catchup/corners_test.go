package catchup

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

func TestCornerGuardOverridesNewer(t *testing.T) {
	rp := newReporter(t, 4, `{"n":0}`)
	if _, err := rp.r.WantIf(twin.Set("n", 5), 4); err != nil {
		t.Fatal(err)
	}
	rp.sends("guard", `{"n":5}`)
	rp.want(twin.Set("n", 9)) // said after
	rp.acked(5, Applied)
	rp.sends("the newer", `{"n":9}`)
}

func TestCornerGuardQueuedOverridesNewer(t *testing.T) {
	rp := newReporter(t, 4, `{"n":0}`)
	if _, err := rp.r.WantIf(twin.Set("n", 5), 4); err != nil {
		t.Fatal(err)
	}
	rp.later(twin.Set("n", 9)) // said after, the guard not sent yet
	rp.sends("guard", `{"n":5}`)
	rp.acked(5, Applied)
	rp.sends("the newer", `{"n":9}`)
}

func TestCornerGuardRetryStale(t *testing.T) {
	rp := newReporter(t, 4, `{"n":0}`)
	if _, err := rp.r.WantIf(twin.Set("n", 5), 6); err != nil { // another program is at 6 by now
		t.Fatal(err)
	}
	rp.sends("guard", `{"n":5}`)
	rp.r.Retry() // 429: the hub never judged the version
	rp.settles("nothing yet")
	rp.sends("again", `{"n":5}`)
}

func TestCornerGuardAppliedButStale(t *testing.T) {
	rp := newReporter(t, 4, `{"n":0}`)
	tk, err := rp.r.WantIf(twin.Set("n", 5), 6)
	if err != nil {
		t.Fatal(err)
	}
	rp.sends("guard", `{"n":5}`)
	rp.r.Synced(props(t, 7, `{"n":5}`), 0) // it was applied, the answer lost
	rp.settles("it was applied", Settlement{tk, 7, nil})
	rp.sends("nothing to revert", ``)
}

func TestCornerVersionlessAckRewrite(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	rp.want(patch(t, `{"n":1.00000000000000000001}`))
	sent := 0
	for v := int64(5); v < 30; v++ {
		if _, ok := rp.r.Next(0); !ok {
			break
		}
		sent++
		rp.r.Acked(0)
		rp.r.Synced(props(t, v, `{"n":1}`), 0)
	}
	if sent != 25 { // once for each GET, which are rare
		t.Errorf("sent %d times", sent)
	}
}

func TestCornerEarlyUnbounded(t *testing.T) {
	r := &Reported{}
	for i := range 10000 {
		tk, err := r.Want(twin.Set("counter", i))
		if err != nil {
			t.Fatal(err)
		}
		r.Forget(tk)
	}
	if n := len(r.wishes); n > 10 {
		t.Errorf("%d early", n)
	}
	r = &Reported{}
	for i := range 10000 {
		_ = r.WantLater(patch(t, `{"a":5}`))
		_ = r.WantLater(patch(t, `{"a":{"b":1}}`))
		_ = i
	}
	if n := len(r.wishes); n > 10 {
		t.Errorf("alternating: %d early", n)
	}
}

func TestCornerSnapshotReadable(t *testing.T) {
	for _, doc := range []string{`{"a":[null]}`, `{"a":[[{"x":null}]]}`, `{"a.b":1}`, `{"":1}`, `{"a b":1}`, `{"a":"\ud800"}`, `{"a":1e400}`, `{"$x":1}`, `{"a":{"$b":1}}`, `{"a\u0001":1}`, `{"a":"\u0000"}`, `{"a":[{"$x":1}]}`, `{"a":[{"":null}]}`} {
		r := &Reported{}
		d, err := twin.ParseDocument([]byte(`{"desired":{"$version":1},"reported":` + doc[:len(doc)-1] + `,"$version":3}}`))
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		r.Synced(d.Reported, 0)
		s := r.Snapshot()
		text := s.Wanted.JSON()
		p, err := twin.ParsePatch(text)
		if err != nil {
			t.Errorf("%s: %s: %v", doc, text, err)
			continue
		}
		if got := twin.Apply(twin.Properties{}, p); !got.At("").Equal(s.Wanted.At("")) {
			t.Errorf("%s: %s", doc, got.JSON())
		}
		v := d.Reported.At("a")
		if v.Exists() {
			p, err := twin.ParsePatch([]byte(`{"v":` + string(v.JSON()) + `}`))
			if err != nil {
				t.Errorf("heard %s: %v", v, err)
			} else if !p.At("v").Equal(v) {
				t.Errorf("heard %s: %v", v, p)
			}
		}
	}
}

func TestCornerSnapshotGuardNamed(t *testing.T) {
	rp := newReporter(t, 4, `{"n":0}`)
	_, _ = rp.r.WantIf(twin.Set("n", 5), 4)
	rp.sends("guard", `{"n":5}`)
	if s := rp.r.Snapshot(); len(s.Unsent) != 0 {
		t.Errorf("unsent %v", s.Unsent)
	}
}

func TestCornerRefusalFailsNewer(t *testing.T) {
	rp := newReporter(t, 4, `{"a":{}}`)
	a := rp.want(patch(t, `{"a":{"x":1,"y":1}}`))
	rp.sends("first", `{"a":{"x":1,"y":1}}`)
	b := rp.want(patch(t, `{"a":{"x":2}}`))
	rp.r.Refused(errRefused, 0)
	rp.story("the newer value in place of the older", "bad", `+{"a":{"x":2}}`, `+{"a":{"y":1}}`)
	rp.settles("both", Settlement{b, 5, nil}, Settlement{a, 6, nil})
}

package catchup

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// Every caller hears what became of its report, and no report keeps the turn.

// A guarded report that the hub throttles again and again lets others go.
func TestThrottledGuardLetsOthersGo(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	if _, err := rp.r.WantIf(twin.Set("guarded", 1), 4); err != nil {
		t.Fatal(err)
	}
	rp.later(twin.Set("plain", 1))
	for range 10 {
		p, ok := rp.r.Next(0)
		if !ok {
			t.Fatal("nothing is sent")
		}
		if p.String() == `{"plain":1}` {
			return
		}
		rp.r.PutOff(0)
	}
	t.Error("a guarded report went out ten times, and a plain one never")
}

// Where no GET decides what became of a guarded report, its caller fails.
func TestPresumedGuardFails(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	ticket, err := rp.r.WantIf(twin.Set("a", 1), 4)
	if err != nil {
		t.Fatal(err)
	}
	rp.sends("the guarded report", `{"a":1}`)
	undecided := errors.New("no GET decides")
	rp.r.Presume(undecided, 0)
	rp.settles("without a GET", Settlement{ticket, 0, undecided})
	rp.sends("after that", "")
}

// Where no GET follows a version that jumped, reports go on.
func TestPresumeAfterAJump(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	rp.later(twin.Set("a", 1))
	rp.sends("the first", `{"a":1}`)
	rp.acked(9, Gap)
	rp.later(twin.Set("b", 1))
	rp.sends("before the GET", "")
	rp.r.Presume(errors.New("no GET decides"), 0)
	rp.sends("without a GET", `{"b":1}`)
}

// A caller whose value is refused hears that, though the property has another
// value by then.
func TestRefusedValueWithASuccessor(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	first := rp.want(twin.Set("a", "bad"))
	rp.sends("the first value", `{"a":"bad"}`)
	second := rp.want(twin.Set("a", "good"))
	rp.r.Refused(errRefused, 0)
	rp.settles("the first value", Settlement{first, 0, errRefused})
	rp.sends("the second value", `{"a":"good"}`)
	rp.acked(5, Applied)
	rp.settles("the second value", Settlement{second, 5, nil})
}

// An acknowledgement that the hub refuses is never sent in parts.
func TestRefusedAcknowledgementStaysWhole(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	rp.later(twin.Replace("p", map[string]any{"value": map[string]int{"x": 1, "y": 2}, "ac": 200, "av": 3}))
	sent := 0
	for now := time.Duration(0); now < time.Hour; now += time.Second {
		p, ok := rp.r.Next(now)
		if !ok {
			continue
		}
		sent++
		for _, member := range []string{`"value"`, `"ac"`, `"av"`} {
			if !strings.Contains(p.String(), member) {
				t.Errorf("%v is sent without %s", p, member)
			}
		}
		rp.r.Refused(errRefused, now)
	}
	if sent == 0 || !rp.r.Idle() {
		t.Errorf("%d patches were sent; idle %v", sent, rp.r.Idle())
	}
}

// What the hub refused is remembered for a while, and within a bound.
func TestRefusedNamesAreBounded(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	now := time.Duration(0)
	for i := range 400 {
		rp.later(twin.Set(fmt.Sprintf("key%d-%s", i, strings.Repeat("x", 100)), "bad"))
		for {
			now += time.Hour
			if _, ok := rp.r.Next(now); !ok {
				break
			}
			rp.r.Refused(errRefused, now)
		}
		if rp.r.poor != nil && rp.r.poor.Wire() > maxPoor {
			t.Fatalf("after %d refusals %d bytes of names are kept, at most %d", i+1, rp.r.poor.Wire(), maxPoor)
		}
	}
}

// A report that came while a part of it was refused fails, though the hub takes
// the rest of it.
func TestRefusalOfAPartFailsTheWholeReport(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	for _, key := range []string{"a", "c"} {
		ticket := rp.want(twin.Set(key, "bad"))
		rp.sends("at first", `{"`+key+`":"bad"}`)
		rp.r.Refused(errRefused, 0)
		rp.settles("at first", Settlement{ticket, 0, errRefused})
	}
	again := rp.want(twin.Set("a", "bad"))
	rp.sends("once more", `{"a":"bad"}`)
	both := rp.want(twin.Set("a", "bad").Set("c", "good"))
	rp.r.Refused(errRefused, 0)
	rp.settles("once more", Settlement{again, 0, errRefused})
	rp.sends("the rest", `{"c":"good"}`)
	rp.acked(5, Applied)
	rp.settles("the report of both", Settlement{both, 0, errRefused})
}

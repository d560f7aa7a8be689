package courier_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/courier"
	"github.com/devicetwin/devicetwin-go/transport"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// A run drives a Courier through time, as a session does.
type run struct {
	*testing.T
	c    courier.Courier
	now  time.Duration
	n    int
	sent []string // message ids in the order of sending, an exclamation mark behind those that were sent before
	away map[string]string
}

func start(t *testing.T, limits courier.Limits) *run {
	if limits.Bytes == 0 {
		limits.Bytes = 1 << 20
	}
	return &run{T: t, c: courier.New(limits), away: map[string]string{}}
}

func (r *run) offer(id string, size int, urgent bool) error {
	m := transport.Message{ID: id, Body: make([]byte, size), Urgent: urgent}
	_, err := r.c.Offer(&courier.Item{Message: m}, r.now)
	return err
}

// wait offers a message that its caller waits for.
func (r *run) wait(id string, size int) *courier.Item {
	it := &courier.Item{Message: transport.Message{ID: id, Body: make([]byte, size)}, Answer: make(chan error, 1)}
	if _, err := r.c.Offer(it, r.now); err != nil {
		r.Fatal(err)
	}
	return it
}

// pump sends what may be sent now, and returns the ids of these messages.
func (r *run) pump() (ids []string) {
	wall := noon.Add(r.now)
	for {
		it, ok := r.c.Next(r.now, wall)
		if !ok {
			return ids
		}
		r.n++
		frame := fmt.Sprint(r.n)
		r.c.Named(it, frame)
		r.c.Sent(frame, r.now)
		id := it.Message.ID
		r.away[id] = frame
		ids = append(ids, id)
		if it.Again() {
			id += "!"
		}
		r.sent = append(r.sent, id)
	}
}

func (r *run) accept(ids ...string) {
	r.Helper()
	for _, id := range ids {
		if !r.c.Accepted(r.away[id], r.now) {
			r.Errorf("%s is not on its way", id)
		}
	}
}

func (r *run) want(what string, got, want any) {
	r.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Errorf("%s: %v, want %v", what, got, want)
	}
}

// due moves time to when something is due.
func (r *run) due() {
	r.Helper()
	due := r.c.Due(r.now, noon.Add(r.now))
	if due <= r.now || due > r.now+48*time.Hour {
		r.Fatalf("at %v the next thing is due at %v", r.now, due)
	}
	r.now = due
}

func TestWindowOf16(t *testing.T) {
	r := start(t, courier.Limits{})
	for i := range 20 {
		r.offer(fmt.Sprint(i), 100, false)
	}
	r.want("first", r.pump(), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	r.accept("0", "1")
	r.want("after two answers", r.pump(), []int{16, 17})
	n, _ := r.c.Counts(r.now)
	r.want("counts", n, courier.Counts{Sent: 2, Queued: 2, QueuedBytes: 202 + 2, Away: 16})
}

func TestUrgentFirstAndNormalOneOfEight(t *testing.T) {
	r := start(t, courier.Limits{})
	for i := range 3 {
		r.offer(fmt.Sprintf("n%d", i), 1, false)
	}
	for i := range 16 {
		r.offer(fmt.Sprintf("u%d", i), 1, true)
	}
	r.want("order", r.pump(), []string{"u0", "u1", "u2", "u3", "u4", "u5", "u6", "n0", "u7", "u8", "u9", "u10", "u11", "u12", "u13", "n1"})
}

func TestCutSendsAgainInOrder(t *testing.T) {
	r := start(t, courier.Limits{})
	for i := range 6 {
		r.offer(fmt.Sprint(i), 1, i == 3)
	}
	r.pump()
	r.accept("0")
	r.offer("6", 1, false)
	r.now += time.Minute
	r.c.Cut(r.now, true, true)
	r.sent = nil
	for range 6 { // the window is 1, and grows by one with each answer
		r.accept(r.pump()...)
	}
	r.want("again", r.sent, []string{"3!", "1!", "2!", "4!", "5!", "6"})
	if !r.c.Empty() {
		t.Error("something is left")
	}
	n, _ := r.c.Counts(r.now)
	r.want("retried", n.Retried, 5)
}

func TestWindowRestartsAtOne(t *testing.T) {
	r := start(t, courier.Limits{})
	for i := range 30 {
		r.offer(fmt.Sprint(i), 1, false)
	}
	r.pump()
	r.now += time.Minute
	r.c.Cut(r.now, false, true)
	first := r.pump()
	r.want("after a cut", len(first), 1)
	r.accept(first...)
	second := r.pump()
	r.want("after an answer", len(second), 2)
	r.accept(second[0])
	r.want("after one more", len(r.pump()), 2)
}

func TestPoisonIsGivenUpAfterSixCutsAtOnce(t *testing.T) {
	r := start(t, courier.Limits{})
	bad := r.wait("bad", 1)
	r.offer("good", 1, false)
	r.pump() // both
	r.now += time.Second
	r.c.Cut(r.now, true, true) // does not count: two were on their way
	r.now += 10 * time.Second
	for i := range 3 {
		r.want(fmt.Sprint("attempt ", i), r.pump(), []string{"bad"})
		r.now += time.Second
		r.c.Cut(r.now, true, true)
	}
	r.want("the other flows", r.pump(), []string{"good"})
	r.accept("good")
	began := r.now
	for i := range 3 {
		r.want("nothing else", r.pump(), []string(nil))
		r.due()
		r.want(fmt.Sprint("alone ", i), r.pump(), []string{"bad"})
		if i == 0 && r.now-began < time.Minute-time.Second {
			t.Errorf("the suspect travels after %v", r.now-began)
		}
		r.offer(fmt.Sprint("later", i), 1, false)
		r.want("beside a suspect", r.pump(), []string(nil))
		r.now += time.Second
		r.c.Cut(r.now, true, true)
		ids := r.pump()
		r.want("after it", len(ids), 1)
		r.accept(ids...)
	}
	select {
	case err := <-bad.Answer:
		if !errors.Is(err, courier.ErrPoison) {
			t.Errorf("the caller gets %v", err)
		}
	default:
		t.Error("the caller gets nothing after six cuts")
	}
	n, _ := r.c.Counts(r.now)
	r.want("poisonous", n.Poisonous, 1)
}

// Time-outs, later cuts, cuts by this side and cuts beside a twin's request do
// not count.
func TestWhatMakesNoSuspect(t *testing.T) {
	for _, cut := range []struct {
		name          string
		after         time.Duration
		hungUp, alone bool
	}{
		{"later", 3 * time.Second, true, true},
		{"by this side", time.Second, false, true},
		{"beside a request", time.Second, true, false},
	} {
		r := start(t, courier.Limits{})
		r.offer("m", 1, false)
		for range 20 {
			r.want(cut.name, r.pump(), []string{"m"})
			r.now += cut.after
			if p := r.c.Cut(r.now, cut.hungUp, cut.alone); len(p) > 0 {
				t.Fatalf("%s: given up", cut.name)
			}
		}
	}
}

func TestCloseAfterABurstPauses(t *testing.T) {
	r := start(t, courier.Limits{})
	for i := range 40 {
		r.offer(fmt.Sprint(i), 1, false)
	}
	var pauses []time.Duration
	for range 4 { // the window may be 16, 8, 4, 2, and then 1
		for range 10 {
			ids := r.pump()
			if len(ids) != 1 {
				break
			}
			r.accept(ids...)
		}
		r.now += time.Second
		r.c.Cut(r.now, true, true)
		r.want("at once", r.pump(), []string(nil))
		before := r.now
		r.due()
		pauses = append(pauses, r.now-before)
	}
	r.want("pauses", pauses, []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second})
}

func TestLateAnswersHalveTheWindow(t *testing.T) {
	r := start(t, courier.Limits{})
	next := 0
	feed := func(n int) {
		for range n {
			r.offer(fmt.Sprint(next), 100, false)
			next++
		}
	}
	feed(16)
	for range 20 {
		ids := r.pump()
		r.now += 100 * time.Millisecond
		r.accept(ids...)
		feed(len(ids))
	}
	ids := r.pump()
	r.want("window", len(ids), 16)
	r.now += 10 * time.Second
	r.accept(ids...)
	feed(16)
	r.want("at once", len(r.pump()), 0)
	before := r.now
	r.due()
	r.want("pause", r.now-before, 5*time.Second)
	r.want("window", len(r.pump()), 8)
}

func TestFull(t *testing.T) {
	const each = 1000 + 256 + 2
	for _, c := range []struct {
		full    courier.Full
		left    string
		refused int
	}{
		{courier.DropOldest, "[u9 n6 n7 n8]", 0},
		{courier.DropNewest, "[u9 n0 n1 n2]", 0},
		{courier.Refuse, "[n0 n1 n2 n3]", 6},
	} {
		r := start(t, courier.Limits{Bytes: 4 * each, WhenFull: c.full})
		refused := 0
		for i := range 9 {
			if errors.Is(r.offer(fmt.Sprintf("n%d", i), 1000, false), courier.ErrFull) {
				refused++
			}
		}
		if errors.Is(r.offer("u9", 1000, true), courier.ErrFull) {
			refused++
		}
		r.want("what is left", r.pump(), c.left)
		r.want("refused", refused, c.refused)
		n, _ := r.c.Counts(r.now)
		r.want("dropped", n.Full, 6-int64(c.refused))
	}
	r := start(t, courier.Limits{Bytes: 2 * each})
	r.offer("u0", 1000, true)
	r.offer("u1", 1000, true)
	r.offer("n2", 1000, false)
	r.want("normal goes before urgent", r.pump(), "[u0 u1]")
	if err := r.offer("large", 3*each, false); !errors.Is(err, courier.ErrFull) {
		t.Errorf("larger than the queue: %v", err)
	}
}

func TestBudget(t *testing.T) {
	r := start(t, courier.Limits{PerSecond: 2, PerDay: 10, Bytes: 1 << 22})
	r.offer("large", 40<<10-10, false) // 10 units
	for i := range 3 {
		r.offer(fmt.Sprint(i), 1, false)
	}
	r.want("first", r.pump(), "[large]")
	r.accept("large")
	for len(r.sent) < 2 {
		r.due()
		r.pump()
	}
	if r.now < 12*time.Hour {
		t.Errorf("the next unit was spent at %v, on the same day", r.now)
	}
	r = start(t, courier.Limits{PerSecond: 2})
	for i := range 20 {
		r.offer(fmt.Sprint(i), 1, false)
	}
	for len(r.sent) < 20 {
		r.accept(r.pump()...)
		if len(r.sent) < 20 {
			r.due()
		}
	}
	if r.now < 9*time.Second || r.now > 10*time.Second {
		t.Errorf("20 units at 2 a second took %v", r.now)
	}
}

func TestWithdraw(t *testing.T) {
	r := start(t, courier.Limits{})
	a, b := r.wait("a", 1), r.wait("b", 1)
	if r.c.Withdraw(b) {
		t.Error("a message that was not sent has an unknown outcome")
	}
	r.want("sent", r.pump(), "[a]")
	if !r.c.Withdraw(a) {
		t.Error("a message on its way has a known outcome")
	}
	r.c.Cut(r.now, true, true)
	r.want("again", r.pump(), []string(nil))
	c := r.wait("c", 1)
	r.pump()
	r.now += time.Minute
	r.c.Cut(r.now, true, true)
	if !r.c.Withdraw(c) {
		t.Error("a message that was sent once has a known outcome")
	}
	r.want("empty", r.c.Empty(), true)
}

// TestStories: in any story every message that was taken is sent until it has an
// answer, none goes twice on one connection, and none goes after a newer one of
// its kind except marked.
func TestStories(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 14))
		r := start(t, courier.Limits{Bytes: 1 << 30, PerSecond: rnd.IntN(3) * 4})
		items := map[string]*courier.Item{}
		var order [2][]string
		next := 0
		for range 200 {
			switch rnd.IntN(8) {
			case 0, 1, 2:
				m := transport.Message{ID: fmt.Sprint(next), Body: make([]byte, rnd.IntN(9000)), Urgent: rnd.IntN(3) == 0}
				it := &courier.Item{Message: m, Answer: make(chan error, 1)}
				items[m.ID] = it
				r.c.Offer(it, r.now)
				next++
			case 3, 4:
				for id := range r.away {
					if rnd.IntN(2) == 0 {
						r.c.Accepted(r.away[id], r.now)
						delete(r.away, id)
					}
				}
			case 5:
				if rnd.IntN(3) == 0 {
					r.c.Cut(r.now, rnd.IntN(2) == 0, true)
					clear(r.away)
				}
			case 6:
				for id := range r.away {
					r.c.PutOff(r.away[id], r.now+time.Second)
					delete(r.away, id)
					break
				}
			case 7:
				r.now += time.Duration(rnd.Int64N(int64(3 * time.Second)))
			}
			r.pump()
		}
		for i := 0; !r.c.Empty(); i++ {
			if i > 5000 {
				t.Fatalf("seed %d: it does not come to an end", seed)
			}
			for id := range r.away {
				r.c.Accepted(r.away[id], r.now)
				delete(r.away, id)
			}
			if len(r.pump()) == 0 && !r.c.Empty() {
				r.due()
				r.pump()
			}
		}
		for id, it := range items {
			select {
			case err := <-it.Answer:
				if err != nil && !errors.Is(err, courier.ErrPoison) {
					t.Fatalf("seed %d: message %s: %v", seed, id, err)
				}
			default:
				t.Fatalf("seed %d: message %s has no answer", seed, id)
			}
		}
		for _, id := range r.sent {
			plain, again := id, false
			if id[len(id)-1] == '!' {
				plain, again = id[:len(id)-1], true
			}
			kind := 0
			if items[plain].Message.Urgent {
				kind = 1
			}
			if !again {
				order[kind] = append(order[kind], plain)
			}
		}
		for _, ids := range order {
			last := -1
			for _, id := range ids {
				var n int
				fmt.Sscan(id, &n)
				if n < last {
					t.Fatalf("seed %d: %d was sent for the first time after %d", seed, n, last)
				}
				last = n
			}
		}
	}
}

// Nothing is dropped for a message that has no room even so.
func TestNothingGoesForNothing(t *testing.T) {
	r := start(t, courier.Limits{Bytes: 4000})
	r.offer("u0", 1500, true)
	r.offer("n1", 100, false)
	r.offer("n2", 3000, false)
	r.want("what is left", r.pump(), "[u0 n1]")
	n, _ := r.c.Counts(r.now)
	r.want("dropped", n.Full, 1)
}

// A line that breaks before the last byte of a message has left says nothing of it.
func TestCutBeforeTheLastByteDoesNotCount(t *testing.T) {
	r := start(t, courier.Limits{})
	r.offer("m", 1, false)
	for i := range 10 {
		it, ok := r.c.Next(r.now, noon)
		if !ok {
			t.Fatalf("attempt %d: nothing to send", i)
		}
		r.c.Named(it, "f")
		if p := r.c.Cut(r.now+time.Second, true, true); len(p) > 0 {
			t.Fatal("given up")
		}
	}
}

// After a connection that ended at messages the next one leaves others their turn.
func TestBeginLeavesOthersTheirTurn(t *testing.T) {
	r := start(t, courier.Limits{})
	r.offer("m", 1, false)
	r.c.Begin(r.now)
	r.want("at first", r.pump(), "[m]")
	r.now += time.Second
	r.c.Cut(r.now, true, true)
	r.c.Begin(r.now)
	r.want("after a cut", r.pump(), "[]")
	r.due()
	r.want("then", r.pump(), "[m]")
	r.want("after", r.now, 11*time.Second)
	r.accept("m")
	r.offer("n", 1, false)
	r.c.Begin(r.now)
	r.want("after an answer", r.pump(), "[n]")
}

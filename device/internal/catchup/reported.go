package catchup

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A Ticket names a caller that waits for its report. 0 is nobody.
type Ticket uint64

// A Settlement says what became of the report of a waiting caller.
type Settlement struct {
	Ticket Ticket
	// Version is the one of the reported properties with the report in it. It is
	// 0 with an error, and at a hub that names no version.
	Version int64
	// Err is the hub's refusal, nil when the hub has the report.
	Err error
}

// Reported is the machine of the reported half. The zero value is ready. It
// does no I/O and has no clock. Its driver passes it what callers want and what
// the hub answers, sends what Next returns, makes a GET after Gap, and passes
// on what Settled returns. It is not safe for concurrent use.
//
// acked is what the hub has. wanted is what callers said, laid over what the
// hub had. Each wish is what was said once and is not known to be at the hub.
// At most one patch is in flight: the difference between acked and wanted, and
// what the wishes in it named. Reports that gather while the hub is away or
// throttles go out as one patch. A patch of unknown fate is decided by the
// version that the next GET shows.
type Reported struct {
	acked  twin.Properties
	known  bool // a GET has answered
	blind  bool // no GET is to be expected soon: values go without one
	wanted *tree.Node
	based  bool  // wanted is based on what the hub had, now or before a restart
	image  int64 // the version that a restored state belongs to, until the first GET

	wishes []*wish // what is not at the hub, in order
	flight *flight
	guess  bool // acked is a guess until the next GET
	doubt  bool // acked was a guess, and no GET has answered since

	taken   uint64 // reports so far
	dropped uint64 // deletions forgotten before the first GET
	rebased bool   // wanted was rebuilt since Rebased was called
	mended  []twin.Patch

	open    map[Ticket]*ticket
	last    Ticket
	settled []Settlement

	turn     kind // whose turn is next
	budget   budget
	pace     pace          // of plain wishes
	plainAt  time.Duration // when plain wishes were sent last
	families int
	guarded  bool          // the last guarded patch was refused
	putOffs  int           // plain patches in a row that the hub put off
	poor     *tree.Node    // what the hub refused lately, as names
	now      time.Duration // of the last call that returned it
}

// A flight is the patch on its way to the hub, or of unknown fate.
type flight struct {
	names  *tree.Node // what the wishes name, together
	patch  *tree.Node
	wishes []*wish
	proven bool // it names only what the hub has taken before
}

// guard is the wish with a precondition that the flight consists of, or nil.
func (f *flight) guard() *wish {
	if len(f.wishes) == 1 && f.wishes[0].guard != nil {
		return f.wishes[0]
	}
	return nil
}

// apart is the group that the flight consists of, nil for a plain flight.
func (f *flight) apart() *group { return f.wishes[0].group }

// maxReport bounds the JSON of one report and of one patch, in bytes, far above
// the 32 KB that a hub counts: control characters count nothing there and take
// six bytes here.
const maxReport = 128 << 10

// maxWanted bounds the JSON of the whole half, in bytes, so that a GET can be
// read back.
const maxWanted = 800 << 10

// Known reports whether the hub's state is known, from a first GET.
func (r *Reported) Known() bool { return r.known }

// Confirmed is what the hub has, as far as is known.
func (r *Reported) Confirmed() twin.Properties { return r.acked }

// Wanted is what callers said, laid over what the hub had.
func (r *Reported) Wanted() twin.Properties { return propertiesOf(r.wanted, r.acked.Version()) }

// InFlight reports whether a patch is on its way, or of unknown fate.
func (r *Reported) InFlight() bool { return r.flight != nil }

// Based reports whether the whole half is known, from a GET now or before a
// restart.
func (r *Reported) Based() bool { return r.based }

// Idle reports whether the hub has everything that callers want.
func (r *Reported) Idle() bool {
	return r.known && !r.guess && !r.doubt && r.flight == nil && len(r.wishes) == 0 && r.equal()
}

func (r *Reported) equal() bool {
	return tree.Equal(tree.OrEmpty(rootOf(r.acked)), tree.OrEmpty(r.wanted))
}

// Outstanding reports whether something was said that the hub is not known to
// have.
func (r *Reported) Outstanding() bool {
	if !r.known && !r.based {
		return len(r.underway()) > 0
	}
	return !r.Idle()
}

// Left counts the reports that the hub is not known to have, or to have
// refused. It is 1 where only earlier values differ.
func (r *Reported) Left() int {
	if !r.Outstanding() {
		return 0
	}
	n := 0
	for _, w := range r.underway() {
		n += max(w.reports, 1)
	}
	return max(min(n, int(r.taken-r.Covered())+r.Guards()), 1)
}

// Guards counts the reports with a precondition that are not decided.
func (r *Reported) Guards() (n int) {
	for _, w := range r.underway() {
		if w.guard != nil {
			n++
		}
	}
	return n
}

// Dropped counts the deletions that were forgotten before the first GET since
// there were too many of them.
func (r *Reported) Dropped() uint64 { return r.dropped }

// Want takes a report whose caller waits. Settled says what became of it. A
// patch that breaks a limit is refused whole, and changes nothing.
func (r *Reported) Want(p twin.Patch) (Ticket, error) {
	if err := r.check(p); err != nil {
		return 0, err
	}
	t := r.issue()
	r.take(p, t)
	return t.id, nil
}

// WantLater takes a report whose caller does not wait.
func (r *Reported) WantLater(p twin.Patch) error {
	if err := r.check(p); err != nil {
		return err
	}
	r.take(p, nil)
	return nil
}

// ErrStale says that the reported properties are not at the version that a report
// demands.
var ErrStale = errors.New("twin: the reported properties are at another version than demanded; get the twin again")

// WantIf takes a report that the hub is to apply only if the reported
// properties are at the version given, 1 or more. It travels alone, and is no
// part of what is wanted before the hub has it. Where the hub is at another
// version, its caller fails with the error that the driver gives to Refused, or
// with ErrStale, and nothing has changed.
func (r *Reported) WantIf(p twin.Patch, version int64) (Ticket, error) {
	if version < 1 {
		return 0, fmt.Errorf("%w: version %d; a hub's versions begin with 1", twin.ErrInvalid, version)
	}
	if err := r.check(p); err != nil {
		return 0, err
	}
	t := r.issue()
	w := &wish{names: tree.OrEmpty(rootOf(p)), guard: &guard{version: version}}
	w.attach(t)
	r.wishes = append(r.wishes, w)
	return t.id, nil
}

func (r *Reported) issue() *ticket {
	r.last++
	if r.open == nil {
		r.open = map[Ticket]*ticket{}
	}
	t := &ticket{id: r.last}
	r.open[r.last] = t
	return t
}

// check refuses what no hub takes, and what no line carries.
func (r *Reported) check(p twin.Patch) error {
	if err := twin.Validate(propertiesOf(r.wanted, 0), p); err != nil {
		return err
	}
	root := rootOf(p)
	if root == nil {
		return nil
	}
	if root.Wire() > maxReport {
		return twin.TooLong(tree.Key{}, root.Wire(), maxReport, "send it in parts")
	}
	before := tree.OrEmpty(r.wanted).Wire()
	if before+root.Wire() <= maxWanted {
		return nil
	}
	if after := tree.OrEmpty(tree.Apply(r.wanted, root)).Wire(); after > maxWanted && after > before {
		return twin.TooLong(tree.Key{}, after, maxWanted, "delete properties or shorten strings")
	}
	return nil
}

// take counts a report, and wants what it says.
func (r *Reported) take(p twin.Patch, t *ticket) {
	r.taken++
	w := &wish{names: tree.OrEmpty(rootOf(p)), first: r.taken, reports: 1}
	if t != nil {
		w.attach(t)
	}
	r.want(w)
}

// want lays a wish over what is wanted, and queues it.
func (r *Reported) want(w *wish) {
	r.wanted = tree.Apply(r.wanted, w.names)
	for _, other := range r.underway() {
		if other.guard != nil {
			other.guard.follow(w.names, other.names)
		}
	}
	r.absorb(w)
}

// underway is every wish, in flight or not. Inlined, it would cost a device program 2 KB.
//
//go:noinline
func (r *Reported) underway() []*wish {
	if r.flight == nil {
		return r.wishes
	}
	return append(r.flight.wishes[:len(r.flight.wishes):len(r.flight.wishes)], r.wishes...)
}

// Forget says that a caller stopped waiting. What it reported stays wanted,
// except with a precondition: that is dropped, if it is not in flight. Forget
// reports whether it stays wanted.
func (r *Reported) Forget(id Ticket) (wanted bool) {
	t := r.open[id]
	if t == nil {
		return false
	}
	wanted = true
	for _, w := range r.underway() {
		if w.guard != nil && slices.Contains(w.callers, t) {
			wanted = false
		}
	}
	delete(r.open, id)
	for _, w := range r.underway() {
		w.detach(t)
	}
	kept := r.wishes[:0]
	for _, w := range r.wishes {
		if w.guard == nil || len(w.callers) > 0 {
			kept = append(kept, w)
		}
	}
	clear(r.wishes[len(kept):])
	r.wishes = kept
	r.coalesceGroups()
	r.coalesce()
	return wanted
}

// Settled returns what became known of waiting callers since the last call.
func (r *Reported) Settled() []Settlement {
	s := r.settled
	r.settled = nil
	return s
}

// settle ends a wish for its callers. Inlined, it would cost a device program 7 KB.
//
//go:noinline
func (r *Reported) settle(w *wish, version int64, err error) {
	for _, t := range w.callers {
		if t.err == nil {
			t.err = err
		}
		if t.pieces--; t.pieces > 0 || r.open[t.id] != t {
			continue
		}
		delete(r.open, t.id)
		if t.err != nil {
			version = 0
		}
		r.settled = append(r.settled, Settlement{t.id, version, t.err})
	}
	w.callers = nil
}

// Due is when Next has something to send that it does not have now, on the
// clock that Next is given.
func (r *Reported) Due(now time.Duration) time.Duration {
	if !r.mayFly() {
		return never
	}
	due := never
	for k := range kinds {
		if at, ok := r.ready(k); ok {
			due = min(due, max(at, r.allowed(k, now)))
		}
	}
	return due
}

// mayFly reports whether a patch may go now, if there is one.
func (r *Reported) mayFly() bool {
	return (r.known || r.blind) && !r.guess && r.flight == nil
}

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

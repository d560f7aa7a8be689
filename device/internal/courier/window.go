package courier

import (
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// maxWindow is how many messages may be on their way: what the first hub with
// MQTT 5 announced.
const maxWindow = 16

const (
	// slowBase is what an answer may always take.
	slowBase = 2 * time.Second
	// minSamples is how many answers a median needs.
	minSamples = 5
	// pauseBase and pauseMax are the waits where a hub shows that it is too much.
	pauseBase = 5 * time.Second
	pauseMax  = 2 * time.Minute
)

// A window is how many messages may be on their way: over MQTT a hub that is
// asked too much has no word for it, but answers late or hangs up.
type window struct {
	size    int // now
	ceiling int // of size
	calm    int // answers since it was halved, or the ceiling rose
	halved  time.Duration
	pauses  int                // in a row
	seen    [3][]time.Duration // the last answers, by the size of the message
	rate    float64            // bytes a second, last seen
}

func newWindow() window { return window{size: maxWindow, ceiling: maxWindow, halved: -1} }

// acked takes an answer, and reports whether it came so late that the hub is
// asked too much.
func (w *window) acked(it *Item, now time.Duration) (slow bool) {
	took := now - it.sent
	class := 0
	for size := it.size; size > unit && class < len(w.seen)-1; size >>= 3 {
		class++
	}
	if n := len(w.seen[class]); n >= minSamples {
		sorted := slices.Clone(w.seen[class])
		slices.Sort(sorted)
		slow = took > 4*sorted[n/2] && took > slowBase+w.line(it.ahead)
	}
	if took > 0 {
		w.rate = float64(it.ahead) / took.Seconds()
	}
	if len(w.seen[class]) >= 3*minSamples {
		w.seen[class] = append(w.seen[class][:0], w.seen[class][1:]...)
	}
	w.seen[class] = append(w.seen[class], took)
	if slow {
		return it.sent > w.halved && w.halve(now)
	}
	w.size = min(w.size+1, w.ceiling)
	if w.calm++; w.calm >= maxWindow {
		w.calm = 0
		w.ceiling = min(w.ceiling+1, maxWindow)
		w.pauses = max(0, w.pauses-1)
	}
	return false
}

// line is what the line needs for that many bytes.
func (w *window) line(bytes int) time.Duration {
	if w.rate <= 0 {
		return 0
	}
	return time.Duration(min(float64(bytes)/w.rate, 3600) * float64(time.Second))
}

// halve allows half as many messages.
func (w *window) halve(now time.Duration) bool {
	w.ceiling = max(1, w.ceiling/2)
	w.size = min(w.size, w.ceiling)
	w.calm, w.halved = 0, now
	return true
}

// pause is how long nothing is sent after that.
func (w *window) pause() time.Duration {
	d := pauseMax
	if w.pauses < 5 {
		d = min(pauseBase<<w.pauses, pauseMax)
	}
	w.pauses++
	return d
}

// A budget is how much the user lets the hub be asked, in units of 4 KB.
type budget struct {
	at    time.Duration // of tokens
	begun bool
	left  float64 // tokens of this second; < 0 after a large message
	day   int64   // of spent, since 1970
	spent int     // of the day
}

func units(it *Item) int { return max(1, (it.size+unit-1)/unit) }

// allows reports whether a message may be sent now.
func (b *budget) allows(now time.Duration, wall time.Time, it *Item, limits Limits) bool {
	b.refill(now, limits.PerSecond)
	b.turn(wall)
	return (limits.PerSecond == 0 || b.left >= 1 || b.left >= float64(limits.PerSecond)) &&
		(limits.PerDay == 0 || b.spent == 0 || b.spent+units(it) <= limits.PerDay)
}

func (b *budget) refill(now time.Duration, perSecond int) {
	most := float64(perSecond)
	if !b.begun {
		b.begun, b.left = true, most
	} else {
		b.left = min(most, b.left+(now-b.at).Seconds()*most)
	}
	b.at = now
}

// turn begins a new day, as hubs do, at midnight UTC.
func (b *budget) turn(wall time.Time) {
	if day := wall.Unix() / 86400; day != b.day {
		b.day, b.spent = day, 0
	}
}

func (b *budget) spend(it *Item) {
	b.left -= float64(units(it))
	b.spent += units(it)
}

// refund takes back what was not sent.
func (b *budget) refund(it *Item) {
	b.left += float64(units(it))
	b.spent -= units(it)
}

// due is when allows may change its mind.
func (b *budget) due(now time.Duration, wall time.Time, limits Limits) time.Duration {
	due := now
	if limits.PerSecond > 0 && b.left < 1 {
		due = max(due, now+time.Duration((1-b.left)/float64(limits.PerSecond)*float64(time.Second))+time.Millisecond)
	}
	if limits.PerDay > 0 && b.spent > 0 && b.spent >= limits.PerDay-maxUnits {
		midnight := time.Duration(86400-wall.Unix()%86400) * time.Second
		due = max(due, now+midnight)
	}
	return due
}

// maxUnits is what the largest message costs.
const maxUnits = transport.MaxMessage / unit

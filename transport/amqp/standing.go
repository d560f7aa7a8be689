package amqp

import "time"

const (
	// maxOwed is how many sessions may wait for the hub's word on their end, for
	// over a second each, before nobody else is let on the line: it may never
	// come.
	maxOwed = 16
	// fullFor is for how long a line takes no new device once the hub took no
	// more tokens on it.
	fullFor = seatGrace
)

// A standing is what the hub has shown of a line. takes alone decides by it whether
// the line is worth another login.
type standing struct {
	sessions int       // that are, begin or end
	owed     int       // of these, whose END the hub has not answered in time
	muteAt   uint64    // guard.Heard when a login waited in vain for any frame, 0 for never
	full     time.Time // the hub took no more tokens, until then
}

// takes reports whether a line is worth another login: it lives, the hub takes
// another session on it, and the hub answers what it was asked there. isNew says
// that the login is of a device that is not on the line yet.
func (l *line) takes(isNew bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takesLocked(isNew)
}

func (l *line) takesLocked(isNew bool) bool {
	s := &l.standing
	answers := s.owed < maxOwed && (s.muteAt == 0 || s.muteAt != l.guard.Heard())
	return l.cause == nil && s.sessions < l.guard.Sessions() && answers &&
		!(isNew && time.Now().Before(s.full))
}

// takeSession makes room for another session, if there is any: go-amqp ends a
// connection that has none.
func (l *line) takeSession() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.takesLocked(false) {
		return false
	}
	l.standing.sessions++
	return true
}

// owe counts the sessions whose END the hub has not answered in time.
func (l *line) owe(more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing.owed += more
}

// heard is how many frames the hub has said something by.
func (l *line) heard() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guard.Heard()
}

// unheard notes that a login waited in vain since the hub had said something by
// so many frames. If it has said nothing since, it is mute.
func (l *line) unheard(since uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.guard.Heard() == since {
		l.standing.muteAt = since
	}
}

// fill notes that the hub takes no more tokens.
func (l *line) fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing.full = time.Now().Add(fullFor)
}

// spaces is how many devices the hub's channels allow: one is the tokens'.
func (l *line) spaces() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(1, l.guard.Sessions()-1)
}

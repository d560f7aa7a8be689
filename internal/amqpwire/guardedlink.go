package amqpwire

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"
)

// A GuardedLink is what a Guard knows of a link of ours.
type GuardedLink struct {
	// Wake gets a token when a link on which we send may have got room, or has
	// ended.
	Wake chan struct{}
	// Ended is closed when the server ends the link. Error is its reason, nil for
	// none.
	Ended chan struct{}
	Error *Error

	session *account
	name    string
	sends   bool // we do
	state   linkState

	count, limit uint32 // deliveries begun, and allowed in all

	// Of a link on which we send.
	theirMax uint64 // the largest message that the server takes, 0 for any
	freed    uint32 // count when go-amqp was last given credit
	drain    bool   // the server waits to hear that its credit is gone
	claimed  uint32 // transfers of the window that Claim keeps for it

	// Of a link on which we receive.
	maxSize int
	skew    uint32      // deliveries that go-amqp does not count
	lost    uint32      // those of them since go-amqp was last asked for its credit
	begun   *unfinished // a message of which some parts have come
}

// An unfinished is a message of which some parts have come.
type unfinished struct {
	head    transfer
	payload []byte
	empty   int // parts without payload
}

// Sender returns the link on which we send, of that name, once its ATTACH has
// left. It is nil before, and when the link has ended.
func (g *Guard) Sender(name string) *GuardedLink {
	for _, s := range g.sessions {
		if l := s.asked[linkName{name, true}]; l != nil {
			return l
		}
	}
	return nil
}

// Room reports whether the server lets a message of that many transfers leave
// now. A link that has ended has room: what is sent then fails at once.
func (l *GuardedLink) Room(parts int) bool {
	return l.state >= detaching || l.state == attached && int32(l.limit-l.count) > 0 && l.session.left() >= int32(parts)
}

// Window is how many transfers the server last let leave at once, at least 1. A
// message of more leaves as the window lets it.
func (l *GuardedLink) Window() int { return int(max(1, l.session.window)) }

// Claim reports whether there is room, and then keeps it for the message, until
// its transfers have left or Release is called: the links of a session share its
// window. A link has one claim at a time.
func (l *GuardedLink) Claim(parts int) bool {
	if !l.Room(parts) {
		return false
	}
	l.Release()
	l.claimed = uint32(parts)
	l.session.claimed += l.claimed
	return true
}

// Release gives back what a message did not need of its claim.
func (l *GuardedLink) Release() {
	s := l.session
	s.claimed -= l.claimed
	if l.claimed > 0 && s.open() {
		s.wake()
	}
	l.claimed = 0
}

// Takes reports whether the server takes messages of that size.
func (l *GuardedLink) Takes(size int) bool { return l.theirMax == 0 || uint64(size) <= l.theirMax }

// Limit is the size of the largest message that the hub takes, 0 for any.
func (l *GuardedLink) Limit() uint64 { return l.theirMax }

// wake puts a token into Wake.
func (l *GuardedLink) wake() {
	select {
	case l.Wake <- struct{}{}:
	default:
	}
}

// end notes that the link has ended, in one direction at least.
func (l *GuardedLink) end() {
	if l.state < detaching {
		l.state = detaching
		l.wake()
	}
}

// grant takes the server's credit.
func (l *GuardedLink) grant(p *flow) {
	if p.linkCredit.set {
		l.limit = p.deliveryCount.value + min(p.linkCredit.value, wideWindow)
	}
	if l.drain = p.drain.value; l.drain && int32(l.limit-l.count) > 0 {
		l.count = l.limit
	}
	if l.Room(1) {
		l.wake()
	}
}

// free gives go-amqp credit for a link on which we send: it can do without ours,
// and panics without any. For another link it passes an echo.
func (l *GuardedLink) free(remote uint16, handle uint32, echo bool) {
	s := l.session
	p := &flow{
		nextIncomingID: some(s.moved), incomingWindow: s.granted - s.moved,
		nextOutgoingID: s.nextIn, outgoingWindow: wideWindow,
		handle: some(handle), deliveryCount: some(l.count - l.skew), linkCredit: some[uint32](freeCredit), echo: echo,
	}
	l.freed = l.count
	s.guard.pass(remote, p, nil)
}

// say corrects what go-amqp is about to say of the link, and notes the credit
// that it gives.
func (l *GuardedLink) say(p *flow) {
	if !l.sends {
		p.deliveryCount = some(p.deliveryCount.value + l.skew)
		l.limit = p.deliveryCount.value + p.linkCredit.value
		return
	}
	p.deliveryCount, p.linkCredit, p.drain = some(l.count), some(uint32(max(0, int32(l.limit-l.count)))), some(l.drain)
	l.drain = false
}

// transfer takes a message or a part of one, and lets the message pass in one
// frame once it is whole: so go-amqp, which would let some parts count and others
// not, decodes the very bytes that were checked.
func (g *Guard) transfer(now time.Time, s *account, f *Frame) error {
	var p transfer
	if err := f.read(&p); err != nil {
		return err
	}
	s.nextIn++
	l := s.theirs[p.handle]
	if l == nil { // go-amqp ends the session
		return g.passCounted(now, f.Channel, &transfer{handle: p.handle, deliveryID: some[uint32](0)})
	}
	switch m := l.begun; {
	case l.sends:
		return fmt.Errorf("%w: a message on a link on which it receives", ErrProtocol)
	case m == nil && (!p.deliveryID.set || !p.format.set || p.tag == nil || len(p.tag) > maxTag):
		return fmt.Errorf("%w: a message without delivery-id, tag or format, or with a tag of over %d bytes", ErrProtocol, maxTag)
	case m != nil && !p.continues(&m.head):
		return fmt.Errorf("%w: a message inside another", ErrProtocol)
	case m == nil && int32(l.limit-l.count) <= 0:
		return fmt.Errorf("%w: a message without credit", ErrProtocol)
	case m == nil:
		l.count++
		p.tag = bytes.Clone(p.tag)
		l.begun = &unfinished{head: p}
	}
	m := l.begun
	if p.aborted {
		l.forget()
		l.skew++
		return l.renew(now, f.Channel, p.handle)
	}
	if len(f.payload) == 0 {
		m.empty++
	}
	if len(m.payload)+len(f.payload) > l.maxSize || m.empty > maxEmptyParts {
		return fmt.Errorf("%w: it is larger than %d bytes, or has parts without any", ErrMessage, l.maxSize)
	}
	m.head.settled = some(m.head.settled.value || p.settled.value)
	if p.more {
		if g.unfinished += len(f.payload); g.unfinished > maxUnfinished {
			return fmt.Errorf("%w: over %d bytes of unfinished messages", ErrMessage, maxUnfinished)
		}
		m.payload = append(m.payload, f.payload...)
		return nil
	}
	payload := f.payload
	if len(m.payload) > 0 {
		payload = append(m.payload, f.payload...)
	}
	l.forget()
	m.head.more = false
	if err := checkTaken(payload); err != nil {
		return err
	}
	g.pass(f.Channel, &m.head, payload)
	return nil
}

// forget drops the message of which some parts have come, if any.
func (l *GuardedLink) forget() {
	if l.begun != nil {
		l.session.guard.unfinished -= len(l.begun.payload)
		l.begun = nil
	}
}

// renew has go-amqp announce its credit where the server used up half of it for
// messages that it aborted: go-amqp, which hears nothing of them, would wait for
// the others for ever.
func (l *GuardedLink) renew(now time.Time, remote uint16, handle uint32) error {
	if l.lost++; l.lost <= l.limit-l.count {
		return nil
	}
	l.lost = 0
	if err := l.session.guard.charge(now); err != nil {
		return err
	}
	l.free(remote, handle, true)
	return nil
}

// continues reports whether a part agrees with the first.
func (p *transfer) continues(first *transfer) bool {
	return (!p.deliveryID.set || p.deliveryID == first.deliveryID) &&
		(!p.format.set || p.format == first.format) &&
		(p.tag == nil || bytes.Equal(p.tag, first.tag))
}

// checkTaken checks a message that go-amqp is to decode. What is beside its data
// takes many times its length when it is decoded.
func checkTaken(b []byte) error {
	if err := checkSections(b); err != nil {
		return err
	}
	notes, values := 0, 0
	for len(b) > 0 {
		v, n := consumeValue(b)
		values++
		if v.descriptor != descData {
			notes += n
			values += countValues(v)
		}
		b = b[n:]
	}
	if notes > maxNotes || values > maxValues {
		return fmt.Errorf("%w: %d values in %d bytes beside its data; at most %d in %d are taken", ErrMessage, values, notes, maxValues, maxNotes)
	}
	return nil
}

// countValues counts the values inside one that is well formed.
func countValues(v value) (count int) {
	switch v.code {
	case codeArray8, codeArray32:
		return int(v.count)
	case codeList8, codeList32, codeMap8, codeMap32:
		for rest := v.data; len(rest) > 0; {
			inner, n := consumeValue(rest)
			count += 1 + countValues(inner)
			rest = rest[n:]
		}
	}
	return count
}

// clip cuts a text between two characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

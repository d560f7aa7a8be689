package amqpwire

import (
	"fmt"
	"time"
)

// An account is what a Guard knows of a session of ours.
type account struct {
	guard         *Guard
	local, remote uint16
	answered      bool   // the server's BEGIN came
	ended         bool   // our END has left
	owed          bool   // the server's END came first, and is not answered
	next          []byte // a BEGIN that waits for that answer

	nextIn  uint32 // the id of the server's next transfer
	moved   uint32 // our transfers, all of them
	limit   uint32 // how many the server lets us send in all
	window  uint32 // how many it last let us send at once
	claimed uint32 // how many are promised to messages, of all links
	granted uint32 // how many go-amqp knows of. It never shrinks

	asked  map[linkName]*GuardedLink // from our ATTACH to our DETACH
	ours   map[uint32]*GuardedLink   // likewise, by our handle
	theirs map[uint32]*GuardedLink   // from the server's ATTACH to its DETACH, by its handle
}

// A linkName names a link in its session.
type linkName struct {
	name  string
	sends bool // we do
}

func newAccount(g *Guard, channel uint16) *account {
	return &account{
		guard: g, local: channel, asked: map[linkName]*GuardedLink{},
		ours: map[uint32]*GuardedLink{}, theirs: map[uint32]*GuardedLink{},
	}
}

// drop ends the session's links.
func (s *account) drop() {
	for _, l := range s.ours {
		l.end()
	}
	for _, l := range s.theirs {
		l.forget()
	}
	s.asked, s.ours, s.theirs = map[linkName]*GuardedLink{}, map[uint32]*GuardedLink{}, map[uint32]*GuardedLink{}
}

// attach takes the server's answer to an ATTACH of ours.
func (g *Guard) attach(now time.Time, s *account, f *Frame) error {
	var p attach
	if err := f.read(&p); err != nil {
		return err
	}
	sends := p.role == Receiver
	l := s.asked[linkName{p.name, sends}]
	if l == nil || l.state != asking || s.theirs[p.handle] != nil {
		return fmt.Errorf("%w: ATTACH that answers none, or with a handle that has a link", ErrProtocol)
	}
	l.state, s.theirs[p.handle] = attached, l
	if sends {
		l.theirMax = p.maxMessageSize
	} else {
		l.count, l.limit = p.deliveryCount.value, p.deliveryCount.value
	}
	p.name = l.name
	p.rcvSettleMode, p.maxMessageSize, p.properties = optional[byte]{}, 0, nil
	p.source.address, p.target.address = "", ""
	if err := g.passCounted(now, f.Channel, &p); err != nil {
		return err
	}
	if sends && p.target.present {
		l.free(f.Channel, p.handle, false)
	}
	return nil
}

// detach takes the end of a link. go-amqp knows only one that closes the link:
// for any other it would wait for another DETACH.
func (g *Guard) detach(now time.Time, s *account, f *Frame) error {
	var p detach
	if err := f.read(&p); err != nil {
		return err
	}
	p.closed, p.err = true, p.err.cut()
	if l := s.theirs[p.handle]; l != nil {
		if l.state < detaching {
			l.Error = p.err
			close(l.Ended)
		}
		l.end()
		l.forget()
		delete(s.theirs, p.handle)
	}
	return g.passCounted(now, f.Channel, &p)
}

// flow takes what the server grants. Some gateways leave next-incoming-id out:
// then it can only be all that we have sent.
func (g *Guard) flow(now time.Time, s *account, f *Frame) error {
	var p flow
	if err := f.read(&p); err != nil {
		return err
	}
	base := s.moved
	if p.nextIncomingID.set && int32(p.nextIncomingID.value-base) < 0 { // it cannot have more
		base = p.nextIncomingID.value
	}
	s.window = min(p.incomingWindow, wideWindow)
	s.limit = base + s.window
	if s.open() {
		s.wake()
	}
	widens := int32(s.limit-s.granted) > 0
	if widens {
		s.granted = s.limit
	}
	out := &flow{
		nextIncomingID: some(s.moved), incomingWindow: s.granted - s.moved,
		nextOutgoingID: s.nextIn, outgoingWindow: wideWindow, echo: p.echo && !p.handle.set,
	}
	if widens || out.echo {
		if err := g.passCounted(now, f.Channel, out); err != nil {
			return err
		}
	}
	if !p.handle.set {
		return nil
	}
	l := s.theirs[p.handle.value]
	switch {
	case l == nil: // go-amqp ends the session
		out.handle, out.linkCredit = p.handle, some[uint32](0)
		return g.passCounted(now, f.Channel, out)
	case l.sends:
		l.grant(&p)
	}
	if !p.echo && !l.drain && !(l.sends && l.count-l.freed > renewFree) {
		return nil
	}
	if err := g.charge(now); err != nil {
		return err
	}
	l.free(f.Channel, p.handle.value, p.echo || l.drain)
	return nil
}

// left is how many transfers the server's window takes, beside those that are
// promised.
func (s *account) left() int32 { return int32(s.limit - s.moved - s.claimed) }

// open reports whether the server's window takes another transfer.
func (s *account) open() bool { return s.left() > 0 }

// wake wakes who waits for the window.
func (s *account) wake() {
	for _, l := range s.ours {
		l.wake()
	}
}

// leaves corrects a frame of ours on the session, or notes what it says.
func (s *account) leaves(f *Frame, frame []byte) []byte {
	switch f.Kind {
	case KindAttach:
		var p attach
		if f.read(&p) == nil {
			s.ask(&p)
		}
	case KindTransfer:
		var p transfer
		if f.read(&p) != nil {
			break
		}
		s.moved++
		l := s.ours[p.handle]
		if l == nil {
			break
		}
		if p.deliveryID.set {
			l.count++
		}
		if l.claimed > 0 {
			l.claimed--
			s.claimed--
		}
	case KindFlow:
		var p flow
		if f.read(&p) != nil {
			break
		}
		p.nextIncomingID, p.incomingWindow, p.nextOutgoingID = some(s.nextIn), wideWindow, s.moved
		if l := s.ours[p.handle.value]; p.handle.set && l != nil {
			l.say(&p)
		}
		return appendFrame(nil, f.Channel, &p, nil)
	case KindDetach:
		var p detach
		if f.read(&p) != nil {
			break
		}
		if l := s.ours[p.handle]; l != nil {
			l.end()
			delete(s.ours, p.handle)
			delete(s.asked, linkName{l.name, l.sends})
		}
	}
	return frame
}

// ask begins the account of a link.
func (s *account) ask(p *attach) {
	l := &GuardedLink{
		session: s, name: p.name, sends: p.role == Sender, Wake: make(chan struct{}, 1), Ended: make(chan struct{}),
		maxSize: MaxTaken,
	}
	if p.maxMessageSize > 0 {
		l.maxSize = int(min(p.maxMessageSize, MaxTaken))
	}
	s.asked[linkName{l.name, l.sends}], s.ours[p.handle] = l, l
}

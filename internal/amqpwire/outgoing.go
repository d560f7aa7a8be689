package amqpwire

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// An Outgoing is what Link.Send sends.
type Outgoing struct {
	Payload []byte // the message, encoded by EncodeMessage; Send keeps it, so do not change it
	// Tag names the delivery in Settled: at most 32 bytes, different from those
	// of other messages of the link that are not settled. Nil makes one of 4.
	Tag     []byte
	Settled bool // the client is not to answer; false brings a Settled
}

// outgoing is a message that waits, or of which a part is sent.
type outgoing struct {
	Outgoing
	id      uint32 // once it is begun
	begun   bool
	written int
}

// unsettled is a message that was sent and waits for the client's outcome.
type unsettled struct {
	id   uint32
	link *Link
	tag  []byte
}

// Send sends a message on a link on which the client receives, or queues it
// until the client's credit and windows let it. It fails with ErrGone on a link
// that is not attached, with ErrTooLarge for a message over what the client
// and the hub take (1 MiB), and with ErrFull when 1,000 messages wait on the
// link or 16 MiB on the connection.
func (l *Link) Send(m Outgoing) error {
	c := l.session.conn
	switch {
	case l.state != attached || l.role != Receiver || c.state != opened:
		return ErrGone
	case uint64(len(m.Payload)) > l.maxSize || len(m.Tag) > maxTag:
		return fmt.Errorf("%w: %d bytes with a tag of %d; the link takes %d and %d",
			ErrTooLarge, len(m.Payload), len(m.Tag), l.maxSize, maxTag)
	case len(l.queue) >= maxQueued || c.queued+len(m.Payload) > maxQueuedBytes:
		return fmt.Errorf("%w: %d messages on the link, %d bytes on the connection", ErrFull, len(l.queue), c.queued)
	}
	if len(l.queue) == 0 {
		l.session.waiting = append(l.session.waiting, l)
	}
	l.queue = append(l.queue, &outgoing{Outgoing: m})
	c.queued += len(m.Payload)
	l.session.pump()
	return nil
}

// grant takes the credit that a client gives a link on which it receives
// (AMQP 1.0 part 2, section 2.6.7).
func (l *Link) grant(p *flow) {
	if p.linkCredit.set {
		// A client that has not seen our ATTACH counts from 0, where we began.
		l.credit = reduce(p.linkCredit.value, l.deliveryCount-p.deliveryCount.value)
	}
	l.drain = p.drain.value && l.state == attached
	if l.drain && len(l.queue) == 0 {
		l.giveBack()
	}
}

// giveBack ends a drain: what credit is left is gone.
func (l *Link) giveBack() {
	l.deliveryCount += l.credit
	l.credit = 0
	l.session.sendFlow(l, true)
	l.drain = false
}

// pump sends what waits, as far as credit and windows go.
func (s *Session) pump() {
	left := s.waiting[:0]
	for _, l := range s.waiting {
		for len(l.queue) > 0 && l.sendFirst() {
		}
		if s.conn.state != opened {
			return
		}
		if l.drain && (len(l.queue) == 0 || l.credit == 0) {
			l.giveBack()
		}
		if len(l.queue) > 0 {
			left = append(left, l)
		}
	}
	clear(s.waiting[len(left):])
	s.waiting = left
}

// sendFirst sends the first message of the queue, or what may go of it. It
// reports whether the whole went.
func (l *Link) sendFirst() bool {
	s, m := l.session, l.queue[0]
	if !m.begun {
		if l.credit == 0 || s.remoteWindow == 0 || !m.Settled && len(s.unsettled) >= maxUnsettled {
			return false
		}
		l.beginOutgoing(m)
	}
	for first := m.written == 0; s.remoteWindow > 0; first = false {
		if last := l.sendPart(m, first); last {
			l.queue[0] = nil
			if l.queue = l.queue[1:]; len(l.queue) == 0 {
				l.queue = nil
			}
			s.conn.queued -= len(m.Payload)
			return true
		}
	}
	return false
}

// beginOutgoing makes a message a delivery.
func (l *Link) beginOutgoing(m *outgoing) {
	s := l.session
	m.begun, m.id = true, s.nextDeliveryID
	s.nextDeliveryID++
	l.credit--
	l.deliveryCount++
	if m.Tag == nil {
		m.Tag = binary.LittleEndian.AppendUint32(nil, l.deliveryCount)
	}
	if !m.Settled {
		s.unsettled = append(s.unsettled, unsettled{id: m.id, link: l, tag: m.Tag})
	}
}

// sendPart sends a transfer with as much of the message as a frame holds, and
// reports whether it was the last. Only the first tells what the delivery is.
func (l *Link) sendPart(m *outgoing, first bool) (last bool) {
	s, c := l.session, l.session.conn
	p := transfer{handle: l.handle}
	if first {
		p.deliveryID, p.tag, p.format = some(m.id), m.Tag, some[uint32](0)
		if m.Settled {
			p.settled = some(true)
		}
	}
	out, at := openFrame(c.out, frameAMQP, s.channel)
	head := len(out)
	out = p.append(out)
	room := c.frameLimit - (len(out) - at)
	rest := m.Payload[m.written:]
	if last = len(rest) <= room; !last {
		rest = rest[:room]
		p.more = true
		out = p.append(out[:head]) // of the same length: true for false
	}
	c.out = closeFrame(append(out, rest...), at)
	m.written += len(rest)
	s.nextOutgoingID++
	s.remoteWindow--
	return last
}

// disposition takes what a client says of messages that it received.
func (s *Session) disposition(p *disposition) {
	if p.role == Sender {
		return // of messages that it sent: they end with our word
	}
	if !p.final {
		if !p.settled {
			return
		}
		p.outcome = Outcome{State: Accepted} // the default outcome
	}
	last := p.first
	if p.last.set {
		last = p.last.value
	}
	s.unsettled = slices.DeleteFunc(s.unsettled, func(u unsettled) bool {
		if u.id-p.first > last-p.first { // outside, by serial numbers
			return false
		}
		if !p.settled { // the client settles second, after us
			s.conn.send(s.channel, &disposition{role: Sender, first: u.id, settled: true, outcome: Outcome{State: p.outcome.State}, final: true})
		}
		s.conn.emit(&Settled{Link: u.link, Tag: u.tag, Outcome: p.outcome})
		return true
	})
	if s.conn.state == opened {
		s.pump() // what waited for fewer unsettled messages
	}
}

// forget lets go of a link's messages.
func (s *Session) forget(l *Link) {
	s.unsettled = slices.DeleteFunc(s.unsettled, func(u unsettled) bool { return u.link == l })
	s.waiting = slices.DeleteFunc(s.waiting, func(w *Link) bool { return w == l })
}

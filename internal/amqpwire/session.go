package amqpwire

import "fmt"

// A Session is a client's session, from Begun to Ended. Its zero value is of
// no use.
type Session struct {
	conn    *Conn
	channel uint16 // in both directions, as IoT hubs do
	ending  bool   // END is sent; only the client's is of interest
	gone    bool
	sent    *Error // what our END said

	links   map[uint32]*Link // by handle, the same in both directions
	waiting []*Link          // those with messages that wait, the first to wait first

	// What comes in (AMQP 1.0 part 2, section 2.5.6).
	nextIncomingID uint32
	incomingWindow uint32 // transfers that the client may send before our next FLOW

	// What goes out.
	nextOutgoingID uint32
	remoteWindow   uint32 // transfers that we may send before the client's next FLOW
	nextDeliveryID uint32
	handleLimit    uint32
	unsettled      []unsettled // in the order of their ids
}

// firstOutgoingID is where our transfers begin to count, as a real hub's do.
const firstOutgoingID = 1

// Channel is the session's number, for logs.
func (s *Session) Channel() uint16 { return s.channel }

// begin answers the client's BEGIN.
func (c *Conn) begin(channel uint16, f *fields) {
	var p begin
	if p.read(f); c.broken("BEGIN", f) {
		return
	}
	switch {
	case channel > c.channelLimit:
		c.fail(condNotAllowed, fmt.Errorf("%w: BEGIN on channel %d; the highest is %d", ErrProtocol, channel, c.channelLimit))
		return
	case c.sessions[channel] != nil:
		c.fail(condNotAllowed, fmt.Errorf("%w: BEGIN on channel %d, which has a session", ErrProtocol, channel))
		return
	case p.remoteChannel.set:
		c.fail(condNotAllowed, fmt.Errorf("%w: BEGIN that answers one; this end began none", ErrProtocol))
		return
	}
	s := &Session{
		conn: c, channel: channel, links: map[uint32]*Link{},
		nextIncomingID: p.nextOutgoingID, incomingWindow: window,
		nextOutgoingID: firstOutgoingID, remoteWindow: p.incomingWindow,
		handleLimit: min(p.handleMax, handleMax),
	}
	c.sessions[channel] = s
	c.send(channel, &begin{
		remoteChannel: some(channel), nextOutgoingID: firstOutgoingID,
		incomingWindow: window, outgoingWindow: outgoingWindow, handleMax: handleMax,
	})
	c.emit(&Begun{Session: s})
}

// perform reads one performative of the session.
func (s *Session) perform(code uint64, f *fields, payload []byte) {
	if code == descEnd {
		p := ended{}
		if p.read(f); !s.conn.broken("END", f) {
			s.endByClient(p.err)
		}
		return
	}
	if s.ending {
		return // sent before the client saw our END
	}
	switch code {
	case descAttach:
		var p attach
		if p.read(f); !s.conn.broken("ATTACH", f) {
			s.attach(&p)
		}
	case descFlow:
		var p flow
		if p.read(f); !s.conn.broken("FLOW", f) {
			s.flow(&p)
		}
	case descTransfer:
		var p transfer
		if p.read(f); !s.conn.broken("TRANSFER", f) {
			s.transfer(&p, payload)
		}
	case descDisposition:
		var p disposition
		if p.read(f); !s.conn.broken("DISPOSITION", f) {
			s.disposition(&p)
		}
	case descDetach:
		var p detach
		if p.read(f); !s.conn.broken("DETACH", f) {
			s.detach(&p)
		}
	}
}

// End ends the session with an END that tells why; nil tells nothing. Its
// links go with it, without events of their own. Ended comes when the client
// has answered. End does nothing when the session is ending already.
func (s *Session) End(err *Error) {
	if s.gone || s.ending || s.conn.state != opened {
		return
	}
	s.ending, s.sent = true, err
	s.drop()
	s.conn.send(s.channel, &ended{descriptor: descEnd, err: err})
}

// endByClient answers the client's END, unless it answers ours.
func (s *Session) endByClient(err *Error) {
	if !s.ending {
		s.drop()
		s.conn.send(s.channel, &ended{descriptor: descEnd})
	}
	s.gone = true
	delete(s.conn.sessions, s.channel)
	s.conn.emit(&Ended{Session: s, Error: err, Sent: s.sent})
}

// drop lets go of the session's links.
func (s *Session) drop() {
	s.waiting, s.unsettled = nil, nil
	for _, l := range s.links {
		l.drop()
	}
	s.links = nil
}

// flow takes the client's windows and, with a handle, a link's credit.
func (s *Session) flow(p *flow) {
	base := uint32(firstOutgoingID) // of a client that has not seen our BEGIN
	if p.nextIncomingID.set {
		base = p.nextIncomingID.value
	}
	s.remoteWindow = reduce(p.incomingWindow, s.nextOutgoingID-base)
	if p.handle.set {
		l := s.links[p.handle.value]
		switch {
		case l == nil:
			s.End(errorf(condUnattached, "FLOW for handle %d, which has no link", p.handle.value))
			return
		case (l.state == asking || l.state == attached) && l.role == Receiver:
			l.grant(p)
		}
	}
	s.pump()
	if p.echo && !s.ending {
		s.sendFlow(s.links[p.handle.value], p.handle.set)
	}
}

// reduce takes from a window what is under way, by serial numbers: a client
// that claims to have received what was not sent yet gets no window.
func reduce(window, underWay uint32) uint32 {
	if underWay >= window {
		return 0
	}
	return window - underWay
}

// sendFlow tells our windows and, if ofLink, a link's credit.
func (s *Session) sendFlow(l *Link, ofLink bool) {
	s.incomingWindow = window
	p := flow{
		nextIncomingID: some(s.nextIncomingID), incomingWindow: window,
		nextOutgoingID: s.nextOutgoingID, outgoingWindow: outgoingWindow,
	}
	if s.conn.opts.OmitNextIncomingID {
		p.nextIncomingID = optional[uint32]{}
	}
	if ofLink && l != nil && l.state == attached {
		p.handle, p.deliveryCount = some(l.handle), some(l.deliveryCount)
		p.linkCredit, p.available = some(l.offered()), some(uint32(len(l.queue)))
		if l.role == Receiver {
			p.drain = some(l.drain)
		}
	}
	s.conn.send(s.channel, &p)
}

// count takes a transfer into the account of the session's window, and renews
// the window when half of it is used: long before rhea would stop sending.
func (s *Session) count() bool {
	if s.incomingWindow == 0 {
		s.End(errorf(condWindow, "a TRANSFER beyond the incoming-window of %d", window))
		return false
	}
	s.nextIncomingID++
	s.incomingWindow--
	if s.incomingWindow < window/2 {
		s.sendFlow(nil, false)
	}
	return true
}

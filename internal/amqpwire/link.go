package amqpwire

// linkState is where in its life a link is.
type linkState byte

const (
	asking    linkState = iota // Attaching is out, the hub has not answered
	attached                   // in both directions
	detaching                  // DETACH is sent; only the client's is of interest
	detached
)

// A Link is one direction of messages between a client and a node of the hub,
// from Attaching to Detached. Its zero value is of no use.
type Link struct {
	session *Session
	name    string
	handle  uint32
	role    Role // the client's
	state   linkState
	request *attach // the client's ATTACH, until it is answered
	sent    *Error  // what our DETACH said

	deliveryCount uint32 // deliveries begun, from the sender's initial count on
	credit        uint32 // deliveries that may begin yet

	// Of a link on which the client sends.
	grants uint32   // the credit that we keep up
	stingy bool     // the client is not to know of its credit
	begun  *partial // the delivery whose rest is to come

	// Of a link on which the client receives.
	maxSize uint64 // the largest message that it takes
	queue   []*outgoing
	drain   bool // credit is to be used now or given back
}

// Name is the client's name for the link. It is unique in nothing but one
// direction of one session, if there.
func (l *Link) Name() string { return l.name }

// Role is the client's.
func (l *Link) Role() Role { return l.role }

// Session is where the link stands.
func (l *Link) Session() *Session { return l.session }

// attach takes the client's wish for a link.
func (s *Session) attach(p *attach) {
	c := s.conn
	switch {
	case p.handle > s.handleLimit:
		s.End(errorf(condNotAllowed, "ATTACH with handle %d; the highest is %d", p.handle, s.handleLimit))
		return
	case s.links[p.handle] != nil:
		s.End(errorf(condHandleInUse, "ATTACH with handle %d, which has a link", p.handle))
		return
	case len(p.name) > maxName:
		s.End(errorf(condInvalid, "ATTACH with a name of %d bytes; at most %d are kept", len(p.name), maxName))
		return
	case c.links >= maxLinks:
		s.End(errorf(condResources, "ATTACH of more than %d links", maxLinks))
		return
	}
	p.properties = append([]byte(nil), p.properties...)
	l := &Link{session: s, name: p.name, handle: p.handle, role: p.role, request: p, maxSize: maxMessage}
	if p.maxMessageSize > 0 {
		l.maxSize = min(p.maxMessageSize, maxMessage)
	}
	if p.role == Sender {
		l.deliveryCount = p.deliveryCount.value
	}
	s.links[p.handle] = l
	c.links++
	properties, _ := consumeValue(p.properties)
	ev := &Attaching{
		Link: l, Source: p.source.address, Target: p.target.address,
		SenderSettles: 2, ReceiverSettles: p.rcvSettleMode.value,
		MaxMessageSize: p.maxMessageSize, Properties: properties.texts(),
	}
	if p.sndSettleMode.set {
		ev.SenderSettles = p.sndSettleMode.value
	}
	c.emit(ev)
}

// Accept answers an Attaching: the link is there. A client that sends is
// granted credit for as many messages, kept up as they come; 0 is 1000. For a
// client that receives, credit says nothing. Accept does nothing when the
// answer is given, or the link gone, already.
func (l *Link) Accept(credit uint32) {
	if l.state != asking {
		return
	}
	reply := l.reply()
	reply.source, reply.target = l.request.source, l.request.target
	l.state, l.request = attached, nil
	l.session.conn.send(l.session.channel, reply)
	if l.role == Sender && l.state == attached {
		if l.grants = credit; credit == 0 {
			l.grants = defaultCredit
		}
		l.credit = l.grants
		l.session.sendFlow(l, true)
	}
}

// Withhold takes back the credit of a link on which the client sends, and gives
// it again. What the client sent before it knew of that is still delivered.
// Before Accept, it decides whether Accept grants any.
func (l *Link) Withhold(on bool) {
	if l.role != Sender || l.stingy == on {
		return
	}
	l.stingy = on
	if l.state == attached {
		l.credit = l.grants
		l.session.sendFlow(l, true)
	}
}

// offered is the credit that the client is to know of.
func (l *Link) offered() uint32 {
	if l.stingy {
		return 0
	}
	return l.credit
}

// Refuse answers an Attaching: there is no link, and err says why. It does
// nothing when the answer is given, or the link gone, already.
func (l *Link) Refuse(err *Error) {
	if l.state != asking {
		return
	}
	reply := l.reply() // with null termini (section 2.6.3)
	l.state, l.request = attached, nil
	l.session.conn.send(l.session.channel, reply)
	l.Detach(err)
}

// reply is our ATTACH without its termini. It echoes the settle modes exactly,
// null for null, and the properties, as a real hub does.
func (l *Link) reply() *attach {
	p := l.request
	reply := &attach{
		name: p.name, handle: p.handle, role: !p.role,
		sndSettleMode: p.sndSettleMode, rcvSettleMode: p.rcvSettleMode,
		maxMessageSize: l.maxSize,
	}
	if len(p.properties) > 0 {
		reply.properties = p.properties
	}
	if p.role == Receiver {
		reply.deliveryCount = some[uint32](0)
	}
	return reply
}

// Detach ends the link with a DETACH that tells why; nil tells nothing. What
// waits on it is dropped. Detached comes when the client has answered. Detach
// refuses a link that is not answered yet, and does nothing to one that is
// detaching already.
func (l *Link) Detach(err *Error) { l.end(err, true) }

// Suspend is Detach with a DETACH that does not close the link, as newer
// gateways of IoT Hub send. Our side forgets the link all the same.
func (l *Link) Suspend(err *Error) { l.end(err, false) }

func (l *Link) end(err *Error, closed bool) {
	switch l.state {
	case asking:
		l.Refuse(err)
		return
	case detaching, detached:
		return
	}
	l.release()
	l.state, l.sent = detaching, err
	l.session.conn.send(l.session.channel, &detach{handle: l.handle, closed: closed, err: err})
}

// detach answers the client's DETACH, unless it answers ours.
func (s *Session) detach(p *detach) {
	l := s.links[p.handle]
	if l == nil {
		s.End(errorf(condUnattached, "DETACH of handle %d, which has no link", p.handle))
		return
	}
	if l.state == asking { // a DETACH comes after an ATTACH
		l.Refuse(nil)
	}
	if l.state == attached {
		s.conn.send(s.channel, &detach{handle: l.handle, closed: true})
	}
	sent := l.sent
	l.drop()
	delete(s.links, p.handle)
	s.conn.emit(&Detached{Link: l, Error: p.err, Sent: sent})
}

// release gives back what the link holds of the connection's limits.
func (l *Link) release() {
	c := l.session.conn
	if l.begun != nil {
		c.partial -= len(l.begun.payload)
	}
	for _, m := range l.queue {
		c.queued -= len(m.Payload)
	}
	l.begun, l.queue, l.request, l.drain = nil, nil, nil, false
	l.session.forget(l)
}

// drop lets go of a link, once.
func (l *Link) drop() {
	if l.state == detached {
		return
	}
	l.release()
	l.state = detached
	l.session.conn.links--
}

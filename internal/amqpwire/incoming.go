package amqpwire

// A partial is a delivery whose last transfer has not come.
type partial struct {
	id      uint32
	tag     []byte
	format  uint32
	settled bool
	payload []byte
}

// transfer takes a message or a part of one.
func (s *Session) transfer(p *transfer, payload []byte) {
	if !s.count() {
		return
	}
	l := s.links[p.handle]
	switch {
	case l == nil:
		s.End(errorf(condUnattached, "TRANSFER on handle %d, which has no link", p.handle))
	case l.state == detaching: // sent before the client saw our DETACH
	case l.role == Receiver:
		s.End(errorf(condNotAllowed, "TRANSFER on handle %d, on which the client receives", p.handle))
	default: // a link that waits for the hub's answer has no credit
		l.take(p, payload)
	}
}

// take takes a transfer of the link.
func (l *Link) take(p *transfer, payload []byte) {
	if l.begun == nil && !l.beginDelivery(p) {
		return
	}
	d, c := l.begun, l.session.conn
	switch {
	case p.deliveryID.set && p.deliveryID.value != d.id:
		l.Detach(errorf(condNotAllowed, "a part of delivery %d inside delivery %d", p.deliveryID.value, d.id))
		return
	case p.resume:
		l.Detach(errorf(condNoCode, "deliveries are not resumed"))
		return
	case p.aborted:
		c.partial -= len(d.payload)
		l.begun = nil
		l.topUp()
		return
	case len(d.payload)+len(payload) > maxMessage:
		l.Detach(errorf(condSize, "a message of more than %d bytes", maxMessage))
		return
	case c.partial+len(payload) > maxPartial:
		l.Detach(errorf(condResources, "more than %d bytes of messages are begun", maxPartial))
		return
	}
	d.payload = append(d.payload, payload...)
	d.settled = d.settled || p.settled.value
	if p.more {
		c.partial += len(payload)
		return
	}
	c.partial -= len(d.payload) - len(payload)
	l.begun = nil
	l.topUp()
	c.emit(&Delivery{Link: l, ID: d.id, Tag: d.tag, Format: d.format, Settled: d.settled, Payload: d.payload})
}

// beginDelivery takes what only the first transfer of a delivery tells.
func (l *Link) beginDelivery(p *transfer) bool {
	switch {
	case l.credit == 0:
		l.Detach(errorf(condNoCredit, "a TRANSFER without credit"))
		return false
	case !p.deliveryID.set:
		l.Detach(errorf(condInvalid, "a delivery without delivery-id"))
		return false
	case len(p.tag) > maxTag:
		l.Detach(errorf(condInvalid, "a delivery-tag of %d bytes; at most %d are taken", len(p.tag), maxTag))
		return false
	}
	l.credit--
	l.deliveryCount++
	l.begun = &partial{id: p.deliveryID.value, tag: append([]byte(nil), p.tag...), format: p.format.value}
	return true
}

// topUp renews the client's credit when half of it is used.
func (l *Link) topUp() {
	if !l.stingy && l.credit <= l.grants/2 {
		l.credit = l.grants
		l.session.sendFlow(l, true)
	}
}

// Settle tells the client how a Delivery of this link ended. The hub calls it
// once for each that did not come settled; it does nothing once the link is
// gone.
func (l *Link) Settle(id uint32, o Outcome) {
	if l.state != attached || l.role != Sender {
		return
	}
	l.session.conn.send(l.session.channel, &disposition{
		role: Receiver, first: id, settled: true, outcome: o, final: true,
	})
}

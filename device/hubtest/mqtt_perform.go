package hubtest

import "github.com/devicetwin/devicetwin-go/internal/hubproto"

// perform implements passage.
func (r *mqttRequest) perform(mute bool) error {
	if r.msg.Op == PatchReported {
		r.patch(mute)
		return nil
	}
	c := r.mqttConn
	now := c.hub.opts.Now()
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if !c.live() {
		return errEnded
	}
	answer := func(m Message, codes []byte) {
		if !mute {
			r.reply(outgoing{msg: m}, codes)
		}
	}
	if r.ack {
		answer(Message{Op: Ack}, nil)
	}
	switch r.msg.Op {
	case Disconnect:
		return errPolite
	case Subscribe:
		granted, err := c.session.subscribe(c.who, r.msg.Topics, r.qos)
		if err != nil {
			return err
		}
		answer(Message{Op: Subscribe}, granted)
		c.who.touch() // a method may wait for its listener
		c.deliverInbox()
	case Unsubscribe:
		c.session.unsubscribe(r.msg.Topics)
		answer(Message{Op: Unsubscribe}, nil)
	case Telemetry:
		c.who.record.active = now
	case Ack:
		c.who.mqtt.complete(r.packetID)
	case Ping:
		answer(Message{Op: Ping}, nil)
	case MethodAnswer:
		c.hub.answered(c, r.msg)
	case GetTwin:
		answer(Message{Op: GetTwin, Status: 200, Body: c.who.twin.Document()}, nil)
	}
	return nil
}

// patch merges into the reported properties, or refuses the whole patch.
func (r *mqttRequest) patch(mute bool) {
	h := r.hub
	patch, f := h.opts.rules().Parse(r.msg.Body, true)
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.patched(r.who, &r.request, patch, f, now)
	if !ok || mute {
		return
	}
	if r.ack {
		r.reply(outgoing{msg: Message{Op: Ack}}, nil)
	}
	r.reply(outgoing{msg: m}, nil)
}

// reply pushes the answer to a request, if the connection still stands and the
// device listens to answers of this kind. codes are SUBACK's. hub.mu is held.
func (r *mqttRequest) reply(item outgoing, codes []byte) {
	c, op := r.mqttConn, item.msg.Op
	twin := op == GetTwin || op == PatchReported
	if !c.live() || twin && !c.session.has(hubproto.FilterTwinResponses) {
		return
	}
	item.msg.Device, item.msg.RequestID, item.msg.FromHub = c.who.id, r.msg.RequestID, true
	item.form = mqttForm{mqttConn: c, packetID: r.packetID, codes: codes}
	c.push(item)
}

// repeat implements passage: the request is performed twice.
func (r *mqttRequest) repeat() error { return r.perform(false) }

// hold implements passage.
func (r *mqttRequest) hold(act Action) error { return r.later(act, r) }

// edit implements passage.
func (r *mqttRequest) edit(act Action) { r.hub.edit(&r.msg, act) }

// answer implements passage.
func (r *mqttRequest) answer(act Action) error {
	form := mqttForm{mqttConn: r.mqttConn, codes: make([]byte, len(r.qos))}
	item := form.replace(outgoing{msg: Message{Op: r.msg.Op}, asIs: true}, act)
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	if r.ack {
		r.reply(outgoing{msg: Message{Op: Ack}, asIs: true}, nil)
	}
	switch r.msg.Op {
	case Subscribe, Unsubscribe, GetTwin, PatchReported:
		r.reply(item, form.codes)
	}
	return nil
}

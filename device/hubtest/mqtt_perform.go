package hubtest

import (
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// perform does what a request asks and answers it. An error ends the
// connection.
func (c *conn) perform(req request) error {
	if req.msg.Op == PatchReported {
		c.patch(req)
		return nil
	}
	now := c.hub.opts.Now()
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if !c.live() {
		return errEnded
	}
	if req.ack {
		c.reply(req, outgoing{msg: Message{Op: Ack}})
	}
	switch req.msg.Op {
	case Disconnect:
		return errPolite
	case Subscribe:
		granted, err := c.session.subscribe(c.who, req.msg.Topics, req.qos)
		if err != nil {
			return err
		}
		c.reply(req, outgoing{msg: Message{Op: Subscribe}, codes: granted})
		c.who.touch() // a method may wait for its listener
		c.deliverInbox()
	case Unsubscribe:
		c.session.unsubscribe(req.msg.Topics)
		c.reply(req, outgoing{msg: Message{Op: Unsubscribe}})
	case Telemetry:
		c.who.record.active = now
	case Ack:
		c.who.complete(req.packetID)
	case Ping:
		c.reply(req, outgoing{msg: Message{Op: Ping}})
	case MethodAnswer:
		c.hub.answered(c, req.msg)
	case GetTwin:
		c.reply(req, outgoing{msg: Message{Op: GetTwin, Status: 200, Body: c.who.twin.Document()}})
	}
	return nil
}

// patch merges into the reported properties, or refuses the whole patch.
func (c *conn) patch(req request) {
	h := c.hub
	patch, f := h.opts.rules().Parse(req.msg.Body, true)
	if req.bad != nil {
		f = req.bad
	}
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	who := c.who
	if h.identities[who.id] != who {
		return // removed since
	}
	if req.ack {
		c.reply(req, outgoing{msg: Message{Op: Ack}})
	}
	c.reply(req, h.patched(who, req, patch, f, now))
}

// patched merges a patch that was parsed with the outcome f, and returns its
// answer. h.mu is held.
func (h *Hub) patched(who *identity, req request, patch *jsondoc.Object, f *fault.Fault, now time.Time) outgoing {
	s := &who.twin.Reported
	if f == nil && req.expects && req.msg.Version != s.Version {
		f = fault.New(fault.Precondition, "PreconditionFailed: expected reported version %d, it is %d", req.msg.Version, s.Version)
	}
	var doc *jsondoc.Object
	if f == nil {
		doc = h.opts.rules().Apply(s.Doc, patch)
		f = section.CheckSize("Properties.Reported", s.Doc, doc)
	}
	if f != nil {
		h.faultCount++
		return outgoing{msg: Message{Op: PatchReported, Status: f.Status(), Body: f.Body(h.faultCount, now)}}
	}
	who.twin.Write(s, doc, patch, now)
	who.touch()
	return outgoing{msg: Message{Op: PatchReported, Status: 204, Version: s.Version}}
}

// reply pushes the answer to a request, if the connection still stands, the
// request is to be answered, and the device listens to answers of this kind.
// hub.mu is held.
func (c *conn) reply(req request, item outgoing) {
	op := item.msg.Op
	twin := op == GetTwin || op == PatchReported
	if req.mute || !c.live() || twin && !c.session.has(hubproto.FilterTwinResponses) {
		return
	}
	item.msg.Device, item.msg.RequestID, item.msg.FromHub = c.who.id, req.msg.RequestID, true
	item.packetID = req.packetID
	c.push(item)
}

// answer answers a request as Intercept wants it, without performing it.
func (c *conn) answer(req request, act Action) {
	item := c.hub.replace(outgoing{msg: Message{Op: req.msg.Op}, codes: make([]byte, len(req.qos)), asIs: true}, act)
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if req.ack {
		c.reply(req, outgoing{msg: Message{Op: Ack}, asIs: true})
	}
	switch req.msg.Op {
	case Subscribe, Unsubscribe, GetTwin, PatchReported:
		c.reply(req, item)
	}
}

// replace makes an answer say what Intercept wants.
func (h *Hub) replace(item outgoing, act Action) outgoing {
	body := []byte(act.body)
	if act.code != 0 {
		body = h.errorBody(fault.Usual(act.code))
	}
	item.pause = act.pause()
	op := item.msg.Op
	if item.by != nil && (op == Subscribe || op == Unsubscribe) {
		op = GetTwin // over AMQP they are requests like any other
	}
	switch op {
	case Connect:
		if item.by != nil { // AMQP has statuses
			item.msg.Status = amqpStatus(act.status)
			break
		}
		code := connackCode(act.status)
		item.msg.Status, item.final = int(code), code != 0
		item.present = item.present && code == 0
	case Subscribe:
		if act.status >= subackFailure {
			for i := range item.codes {
				item.codes[i] = subackFailure
			}
		}
	case GetTwin, PatchReported:
		item.msg.Status, item.msg.Version, item.msg.Body = act.status, 0, body
	case Desired, Method:
		item.msg.Body = body
	}
	return item
}

// subackFailure is SUBACK's word for a refused filter.
const subackFailure = 0x80

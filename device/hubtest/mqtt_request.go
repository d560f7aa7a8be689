package hubtest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// mqttRequest is one packet of a device, understood.
type mqttRequest struct {
	*mqttConn
	request
	packetID uint16
	ack      bool   // a PUBACK is due
	qos      []byte // SUBSCRIBE: what is asked for
}

// parse understands a packet. An error ends the connection: a real hub closes
// it for whatever it does not know, without a word.
func (c *mqttConn) parse(p packets.ControlPacket) (*mqttRequest, error) {
	req := &mqttRequest{mqttConn: c, request: request{msg: Message{Device: c.who.id}}}
	switch p := p.(type) {
	case *packets.PublishPacket:
		req.packetID, req.ack = p.MessageID, p.Qos == 1
		if p.Qos == 2 {
			return req, fmt.Errorf("PUBLISH with QoS 2")
		}
		return req, req.parsePublish(p)
	case *packets.SubscribePacket:
		req.msg.Op, req.msg.Topics, req.qos, req.packetID = Subscribe, p.Topics, p.Qoss, p.MessageID
	case *packets.UnsubscribePacket:
		req.msg.Op, req.msg.Topics, req.packetID = Unsubscribe, p.Topics, p.MessageID
	case *packets.PingreqPacket:
		req.msg.Op = Ping
	case *packets.PubackPacket:
		req.msg.Op, req.packetID = Ack, p.MessageID
	case *packets.DisconnectPacket:
		req.msg.Op = Disconnect
	default: // a second CONNECT [MQTT-3.1.0-2], QoS 2, or what only servers say
		return req, fmt.Errorf("%T has no place here", p)
	}
	return req, nil
}

// parsePublish understands a topic.
func (req *mqttRequest) parsePublish(p *packets.PublishPacket) error {
	req.msg.Body = p.Payload
	if rest, ok := strings.CutPrefix(p.TopicName, hubproto.PrefixGetTwin); ok {
		req.msg.Op, req.msg.Body = GetTwin, nil // a body means nothing
		return req.parameters(p.TopicName, rest)
	}
	if rest, ok := strings.CutPrefix(p.TopicName, hubproto.PrefixPatchReported); ok {
		req.msg.Op = PatchReported
		return req.parameters(p.TopicName, rest)
	}
	if rest, ok := strings.CutPrefix(p.TopicName, prefixMethodAnswer); ok {
		status, params, _ := strings.Cut(rest, "/?")
		n, err := strconv.Atoi(status)
		if err != nil {
			return fmt.Errorf("PUBLISH to %q, without a whole number as status", p.TopicName)
		}
		req.msg.Op, req.msg.Status = MethodAnswer, n
		return req.parameters(p.TopicName, "?"+params)
	}
	rest, ok := strings.CutPrefix(p.TopicName, req.who.ownTopics()+"messages/events")
	if ok && (rest == "" || rest[0] == '/') {
		return req.parseTelemetry(p, strings.TrimPrefix(rest, "/"))
	}
	return fmt.Errorf("PUBLISH to %q, which is no topic of this hub and device", p.TopicName)
}

// parameters reads "?$rid=…&$version=…", in any order; others are ignored.
func (req *mqttRequest) parameters(topic, text string) error {
	query, ok := strings.CutPrefix(text, "?")
	if !ok {
		return fmt.Errorf("PUBLISH to %q, which is malformed", topic)
	}
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case hubproto.ParamRequestID:
			req.msg.RequestID = value
		case hubproto.ParamVersion:
			v, err := strconv.ParseInt(value, 10, 64)
			req.msg.Version, req.expects = v, true
			if err != nil {
				req.bad = fault.New(fault.Invalid, "$version is not a whole number: %q", value)
			}
		}
	}
	if id := req.msg.RequestID; id == "" || len(id) > maxRequestID {
		return fmt.Errorf("PUBLISH to %q, without a fit $rid", topic)
	}
	return nil
}

// perform implements passage.
func (r *mqttRequest) perform(mute bool) error {
	if r.msg.Op == PatchReported {
		r.patch(mute)
		return nil
	}
	if r.msg.Op == Telemetry {
		return r.keep(mute)
	}
	c := r.mqttConn
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

// reply pushes the answer to a request, if the device is still on this connection
// and listens to answers of this kind. codes are SUBACK's. hub.mu is held.
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

// repeat implements passage: the request is performed twice. Telemetry has one
// PUBACK all the same.
func (r *mqttRequest) repeat() error { return r.perform(r.msg.Op == Telemetry) }

// hold implements passage.
func (r *mqttRequest) hold(act Action) error { return r.later(act, r) }

// edit implements passage.
func (r *mqttRequest) edit(act Action) { r.hub.edit(&r.msg, act) }

// answer implements passage.
func (r *mqttRequest) answer(act Action) error {
	if r.msg.Op == Telemetry {
		return errNotTaken
	}
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

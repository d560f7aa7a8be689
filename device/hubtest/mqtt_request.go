package hubtest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// request is one packet of a device, understood.
type request struct {
	msg      Message
	packetID uint16
	ack      bool         // a PUBACK is due
	qos      []byte       // SUBSCRIBE: what is asked for
	expects  bool         // PatchReported: msg.Version must be the section's
	bad      *fault.Fault // PatchReported: wrong before it is looked at
	mute     bool         // it is not answered

	from *amqpRequest // nil over MQTT
}

// parse understands a packet. An error ends the connection: a real hub closes
// it for whatever it does not know, without a word.
func (c *conn) parse(p packets.ControlPacket) (request, error) {
	req := request{msg: Message{Device: c.who.id}}
	switch p := p.(type) {
	case *packets.PublishPacket:
		req.packetID, req.ack = p.MessageID, p.Qos == 1
		if p.Qos == 2 {
			return req, fmt.Errorf("PUBLISH with QoS 2")
		}
		return req, c.who.parsePublish(&req, p)
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
func (id *identity) parsePublish(req *request, p *packets.PublishPacket) error {
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
	rest, ok := strings.CutPrefix(p.TopicName, id.ownTopics()+"messages/events")
	if ok && (rest == "" || rest[0] == '/') {
		req.msg.Op, req.msg.Topics = Telemetry, []string{p.TopicName}
		return nil
	}
	return fmt.Errorf("PUBLISH to %q, which is no topic of this hub and device", p.TopicName)
}

// parameters reads "?$rid=…&$version=…", in any order; others are ignored.
func (req *request) parameters(topic, text string) error {
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

// handle lets a request pass Intercept and performs it. An error ends the
// connection.
func (c *conn) handle(req request) error { return c.handleBy(c, req) }

// A performer does what requests ask in one protocol.
type performer interface {
	// perform does what a request asks and answers it. An error ends the line.
	perform(req request) error
	// answer answers a request as Intercept wants it, without performing it.
	answer(req request, act Action)
	// close ends the line that the request came by.
	close(reason string)
}

// handleBy is handle, with p to perform.
func (c *conn) handleBy(p performer, req request) error {
	c.trace(req.msg)
	c.hub.mu.Lock()
	c.hub.count(req.msg.Device, req.count)
	c.hub.mu.Unlock()

	act := c.hub.intercept(req.msg)
	switch act.kind {
	case actDrop:
		return nil
	case actDuplicate:
		if err := p.perform(req); err != nil {
			return err
		}
	case actDelay, actLate:
		stop := c.done
		if act.kind == actLate {
			stop = nil
		}
		c.hub.after(act.delay, stop, func() {
			if err := p.perform(req); err != nil {
				p.close(err.Error())
			}
		})
		return nil
	case actAnswer:
		p.answer(req, act)
		return nil
	case actCut:
		return errCut
	case actCutAfter:
		req.mute = true
		if err := p.perform(req); err != nil {
			return err
		}
		return errCut
	case actFreeze:
		c.freeze()
		c.passGate()
		return errEnded
	}
	return p.perform(req)
}

func (req *request) count(s *Stats) {
	switch req.msg.Op {
	case Subscribe:
		s.Subscribes++
	case GetTwin:
		s.Gets++
	case PatchReported:
		s.Patches++
	case Ping:
		s.Pings++
	case Telemetry:
		s.Telemetry++
	case Disconnect:
		s.Disconnects++
	}
}

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
		req.msg.Op, req.msg.Topics = Telemetry, []string{p.TopicName}
		return nil
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

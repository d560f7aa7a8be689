package hubtest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/bag"
	"github.com/devicetwin/devicetwin-go/transport"
)

// errNotTaken is why a connection ends over telemetry that Intercept refuses.
var errNotTaken = errors.New("telemetry refused by Intercept")

// parseTelemetry understands a message of the device, of whose topic the bag is
// given. An error ends the connection.
func (req *mqttRequest) parseTelemetry(p *packets.PublishPacket, properties string) error {
	m, err := messageOf(properties, p.Payload)
	if err != nil {
		return fmt.Errorf("PUBLISH to %.200q: %w", p.TopicName, err)
	}
	if p.Retain {
		m.setProperty(propRetain, "true")
	}
	req.msg.Op, req.msg.Topics, req.msg.RequestID = Telemetry, []string{p.TopicName}, m.ID
	req.events = []TelemetryMessage{m}
	return nil
}

// messageOf is a message as its bag and its body say it. One over the hub's limit
// is an error.
func messageOf(properties string, body []byte) (TelemetryMessage, error) {
	m := TelemetryMessage{Received: transport.Received{Message: transport.Message{Body: body}}}
	pairs, err := bag.Parse(properties)
	if err != nil {
		return m, err
	}
	size := len(body)
	for _, p := range pairs {
		if name, ok := systemName(p.Key); ok {
			size += m.setSystem(name, p.Value)
		} else {
			size += m.setProperty(p.Key, p.Value)
		}
	}
	if size > maxEvent {
		return m, fmt.Errorf("the message has %d bytes; at most %d are taken", size, maxEvent)
	}
	return m, nil
}

// systemName is the name of a system property by its key in a bag. One that is
// not known keeps its key.
func systemName(key string) (string, bool) {
	switch key {
	case "$.mid":
		return sysID, true
	case "$.cid":
		return sysCorrelationID, true
	case "$.uid":
		return "user-id", true
	case "$.to":
		return "to", true
	case "$.exp":
		return "absolute-expiry-time", true
	case "$.ct":
		return sysContentType, true
	case "$.ce":
		return sysContentEncoding, true
	case "$.ctime":
		return transport.PropertyCreated, true
	case "$.sub":
		return sysComponent, true
	case "$.on":
		return sysOutput, true
	case "$.ifid":
		return "iothub-interface-id", true
	case "$.cdid":
		return sysDevice, true
	case "$.cmid":
		return sysModule, true
	case "$.schema":
		return "iothub-message-schema", true
	case "$.diagid":
		return "Diagnostic-Id", true
	case "$.diagctx":
		return "Correlation-Context", true
	}
	return key, strings.HasPrefix(key, "$.")
}

// keep stores a message and acknowledges it, unless it is mute. One that is late
// is stored, and not acknowledged.
func (r *mqttRequest) keep(mute bool) error {
	h := r.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.store(r.who, r.edited(), now) {
		return errEnded
	}
	if r.ack && !mute && r.live() {
		r.who.held.push(r.conn, outgoing{
			msg:  Message{Device: r.who.id, Op: Ack, FromHub: true, RequestID: r.msg.RequestID},
			form: mqttForm{mqttConn: r.mqttConn, packetID: r.packetID},
		})
	}
	return nil
}

// edited are the messages of a request, with the body that Intercept may have
// changed.
func (r *request) edited() []TelemetryMessage {
	if len(r.events) == 1 {
		r.events[0].Body = r.msg.Body
	}
	return r.events
}

// willOf is the will of a login, nil for none, and for one that is not telemetry
// of this device: such a will is ignored.
func (c *mqttConn) willOf(p *packets.ConnectPacket) *mqttRequest {
	if !p.WillFlag {
		return nil
	}
	req := &mqttRequest{mqttConn: c, request: request{msg: Message{Device: c.who.id}}}
	publish := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	publish.TopicName, publish.Payload, publish.Retain = p.WillTopic, p.WillMessage, p.WillRetain
	if err := req.parsePublish(publish); err != nil || req.msg.Op != Telemetry {
		c.hub.log.Warn("will ignored", "device", c.who.id, "topic", p.WillTopic)
		return nil
	}
	req.events[0].setProperty(propMessageType, "Will")
	return req
}

// leaveWill stores the will of a connection that has ended, unless the device
// said goodbye. Intercept may take it, but for what would concern the line.
func (c *mqttConn) leaveWill(why error) {
	if c.will == nil || errors.Is(why, errPolite) || isClosed(c.hub.done) {
		return
	}
	_ = c.handle(c.will) // the connection has ended already
}

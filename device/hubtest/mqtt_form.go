package hubtest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
)

// Topics of direct methods.
const (
	prefixMethod       = "$iothub/methods/POST/"
	filterMethods      = hubproto.FilterMethods
	prefixMethodAnswer = "$iothub/methods/res/"
)

// mqttForm is what MQTT adds to a message to the device.
type mqttForm struct {
	*mqttConn
	packetID uint16 // of the packet that is answered, or of the Devicebound
	qos      byte   // Devicebound
	again    bool   // Devicebound: DUP
	codes    []byte // SUBACK
	present  bool   // CONNACK: session present
	final    bool   // the connection ends after it
}

// end implements form.
func (f mqttForm) end() error {
	if f.final {
		return errRefused
	}
	return nil
}

// spare implements form: a connection over MQTT has no parts.
func (f mqttForm) spare(error) bool { return false }

// write implements form.
func (f mqttForm) write(item outgoing) error {
	f.trace(item.msg)
	p, err := f.packet(item)
	if err != nil {
		return err
	}
	b, err := mqttwire.Encode(p)
	if err != nil {
		return err
	}
	if err := f.stream.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err = f.stream.Write(b)
	return f.wrote(err)
}

// replace implements form.
func (f mqttForm) replace(item outgoing, act Action) outgoing {
	item = f.hub.replace(item, item.msg.Op, act)
	switch item.msg.Op {
	case Connect:
		code := connackCode(act.status)
		item.msg.Status, f.final = int(code), code != 0
		f.present = f.present && code == 0
	case Subscribe:
		if act.status >= subackFailure {
			for i := range f.codes {
				f.codes[i] = subackFailure
			}
		}
	}
	item.form = f
	return item
}

// subackFailure is SUBACK's word for a refused filter.
const subackFailure = 0x80

// packet is the message as MQTT says it. Everything that is published is sent
// with QoS 0, whatever was granted, as real hubs do, except for messages from the
// cloud.
func (f mqttForm) packet(o outgoing) (packets.ControlPacket, error) {
	switch o.msg.Op {
	case Connect:
		p := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
		p.ReturnCode, p.SessionPresent = byte(o.msg.Status), f.present
		return p, nil
	case Subscribe:
		p := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		p.MessageID, p.ReturnCodes = f.packetID, f.codes
		return p, nil
	case Unsubscribe:
		p := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
		p.MessageID = f.packetID
		return p, nil
	case Ack:
		p := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		p.MessageID = f.packetID
		return p, nil
	case Ping:
		return packets.NewControlPacket(packets.Pingresp), nil
	case GetTwin, PatchReported, Desired, Method, Devicebound:
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload = f.topic(o), o.msg.Body
		p.Qos, p.Dup, p.MessageID = f.qos, f.again, f.packetID
		return p, nil
	}
	return nil, fmt.Errorf("no packet for %v", o.msg.Op)
}

// topic is where a message is published.
func (f mqttForm) topic(o outgoing) string {
	switch o.msg.Op {
	case Devicebound:
		return o.msg.Topics[0]
	case Method:
		return prefixMethod + o.msg.Method + "/?" + hubproto.ParamRequestID + "=" + o.msg.RequestID
	}
	version := hubproto.ParamVersion + "=" + strconv.FormatInt(o.msg.Version, 10)
	if o.msg.Op == Desired {
		return hubproto.PrefixDesired + "?" + version
	}
	t := hubproto.PrefixTwinResponse + strconv.Itoa(o.msg.Status) + "/?" + hubproto.ParamRequestID + "=" + o.msg.RequestID
	if o.msg.Version != 0 {
		t += "&" + version
	}
	if o.pause > 0 {
		t += "&" + hubproto.RetryAfter + "=" + strconv.Itoa(o.pause)
	}
	return t
}

// connackCode translates an HTTP-like status; a return code stays.
func connackCode(status int) byte {
	switch {
	case 1 <= status && status <= 5:
		return byte(status)
	case status == 400:
		return packets.ErrRefusedBadUsernameOrPassword
	case status == 429 || status >= 500:
		return packets.ErrRefusedServerUnavailable
	}
	return packets.ErrRefusedNotAuthorised
}

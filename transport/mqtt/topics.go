package mqtt

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

// openPacket subscribes to a feature.
func openPacket(f transport.Frame) (*packets.SubscribePacket, error) {
	var filter string
	switch f.Feature {
	case transport.TwinResponses:
		filter = hubproto.FilterTwinResponses
	case transport.DesiredChanges:
		filter = hubproto.FilterDesired
	default:
		return nil, fmt.Errorf("%w: feature %d", transport.ErrUnsupported, f.Feature)
	}
	if err := fate.CheckID(f); err != nil {
		return nil, err
	}
	return &packets.SubscribePacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, // [MQTT-3.8.1-1]
		Topics:      []string{filter}, Qoss: []byte{1},
	}, nil
}

// requestPacket publishes a request. It keeps the body no longer than until
// the packet is encoded.
func requestPacket(f transport.Frame) (*packets.PublishPacket, error) {
	if f.Kind != transport.Request {
		return nil, fmt.Errorf("%w: a device does not send a frame of kind %v", transport.ErrUnsupported, f.Kind)
	}
	if err := fate.CheckID(f); err != nil {
		return nil, err
	}
	p := &packets.PublishPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Publish}}
	switch f.Op {
	case transport.GetTwin:
		p.TopicName = hubproto.PrefixGetTwin + "?" + hubproto.ParamRequestID + "=" + f.ID
	case transport.PatchReported:
		if f.Version < 0 {
			return nil, fmt.Errorf("%w: version %d", transport.ErrUnsupported, f.Version)
		}
		p.TopicName = hubproto.PrefixPatchReported + "?" + hubproto.ParamRequestID + "=" + f.ID
		if f.Version > 0 {
			p.TopicName += "&" + hubproto.ParamVersion + "=" + strconv.FormatInt(f.Version, 10)
		}
		p.Payload = f.Body
	default:
		return nil, fmt.Errorf("%w: operation %d", transport.ErrUnsupported, f.Op)
	}
	return p, nil
}

// parsePublish reads what a hub publishes; not ok if it means nothing here. The
// frame's body is the payload.
func parsePublish(topic string, payload []byte) (f transport.Frame, ok bool) {
	if len(payload) > 0 {
		f.Body = payload
	}
	if rest, is := strings.CutPrefix(topic, hubproto.PrefixTwinResponse); is {
		status, query, _ := strings.Cut(rest, "/")
		f.Kind = transport.Response
		f.Status = parseStatus(status)
		f.ID, f.Version, ok = parseQuery(query)
		return f, ok && f.Status != 0 && fate.ValidID(f.ID)
	}
	if query, is := strings.CutPrefix(topic, hubproto.PrefixDesired); is {
		f.Kind = transport.Desired
		_, f.Version, ok = parseQuery(query)
		return f, ok
	}
	return transport.Frame{}, false
}

// parseStatus reads three digits as HTTP has them; 0 if it is none.
func parseStatus(s string) int {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) != 3 || n < 100 || n > 599 {
		return 0
	}
	return int(n)
}

// parseQuery reads the parameters behind a topic, in whatever order, skipping
// unknown ones; of two with one name the first counts. Not ok if there stands
// something else.
func parseQuery(query string) (id string, version int64, ok bool) {
	if query == "" {
		return "", 0, true
	}
	query, ok = strings.CutPrefix(query, "?")
	if !ok {
		return "", 0, false
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		switch unescape(key) {
		case hubproto.ParamRequestID:
			if id == "" {
				id = unescape(value)
			}
		case hubproto.ParamVersion:
			if version == 0 {
				version = parseVersion(unescape(value))
			}
		}
	}
	return id, version, true
}

// parseVersion reads a section's version, the first being 1; 0 if it is none.
func parseVersion(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// unescape takes "+" for a plus; what is no escape at all stays as it is.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

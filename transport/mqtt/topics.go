package mqtt

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

// featureFilter is the topic filter of a feature that is opened or closed.
func featureFilter(f transport.Frame) (string, error) {
	if err := fate.CheckID(f); err != nil {
		return "", err
	}
	switch f.Feature {
	case transport.TwinResponses:
		return hubproto.FilterTwinResponses, nil
	case transport.DesiredChanges:
		return hubproto.FilterDesired, nil
	}
	return "", fmt.Errorf("%w: feature %q", transport.ErrUnsupported, f.Feature)
}

// featurePacket subscribes to the filter of a feature, or unsubscribes.
func featurePacket(kind transport.Kind, filter string, packetID uint16) packets.ControlPacket {
	if kind == transport.Close {
		return unsubscribePacket([]string{filter}, packetID)
	}
	return &packets.SubscribePacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, // [MQTT-3.8.1-1]
		MessageID:   packetID, Topics: []string{filter}, Qoss: []byte{1},
	}
}

func unsubscribePacket(filters []string, packetID uint16) *packets.UnsubscribePacket {
	return &packets.UnsubscribePacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Unsubscribe, Qos: 1}, // [MQTT-3.10.1-1]
		MessageID:   packetID, Topics: filters,
	}
}

// requestPacket publishes a request. It keeps the body no longer than until
// the packet is encoded.
func requestPacket(f transport.Frame) (*packets.PublishPacket, error) {
	if err := fate.CheckID(f); err != nil {
		return nil, err
	}
	p := &packets.PublishPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Publish}}
	switch f.Kind {
	case transport.GetTwin:
		p.TopicName = hubproto.PrefixGetTwin + "?" + hubproto.ParamRequestID + "=" + f.ID
	case transport.PatchReported:
		switch {
		case f.Version < 0:
			return nil, fmt.Errorf("%w: version %d", transport.ErrUnsupported, f.Version)
		case len(f.Body) > transport.MaxBody:
			return nil, fmt.Errorf("%w: a patch of %d bytes; the limit is %d", transport.ErrTooLarge, len(f.Body), transport.MaxBody)
		}
		p.TopicName = hubproto.PrefixPatchReported + "?" + hubproto.ParamRequestID + "=" + f.ID
		if f.Version > 0 {
			p.TopicName += "&" + hubproto.ParamVersion + "=" + strconv.FormatInt(f.Version, 10)
		}
		p.Payload = f.Body
	default:
		return nil, fmt.Errorf("%w: a device does not send a frame of kind %q", transport.ErrUnsupported, f.Kind)
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
		p, ok := parseQuery(query)
		f.ID, f.Version, f.RetryAfter = p.id, p.version, p.retryAfter
		return f, ok && f.Status != 0 && fate.ValidID(f.ID)
	}
	if query, is := strings.CutPrefix(topic, hubproto.PrefixDesired); is {
		f.Kind = transport.Desired
		p, ok := parseQuery(query)
		f.Version = p.version
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

// parameters follow a topic. A missing one is zero.
type parameters struct {
	id         string
	version    int64
	retryAfter time.Duration
}

// parseQuery reads the parameters behind a topic, in whatever order, skipping
// unknown ones; of two with one name the first counts. Not ok if there stands
// something else.
func parseQuery(query string) (p parameters, ok bool) {
	if query == "" {
		return p, true
	}
	query, ok = strings.CutPrefix(query, "?")
	if !ok {
		return p, false
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		switch key = unescape(key); {
		case key == hubproto.ParamRequestID && p.id == "":
			p.id = unescape(value)
		case key == hubproto.ParamVersion && p.version == 0:
			p.version = parseVersion(unescape(value))
		case strings.ToLower(key) == hubproto.RetryAfter && p.retryAfter == 0:
			p.retryAfter = parseSeconds(unescape(value))
		}
	}
	return p, true
}

// parseSeconds reads whole seconds, or 0.
func parseSeconds(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
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

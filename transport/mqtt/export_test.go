package mqtt

import (
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// ParsePublish is how a published message becomes a frame.
func ParsePublish(topic string, payload []byte) (transport.Frame, bool) {
	return parsePublish(topic, payload)
}

// RequestMessage is how a request becomes a published message.
func RequestMessage(f transport.Frame) (topic string, payload []byte, err error) {
	p, err := requestPacket(f)
	if err != nil {
		return "", nil, err
	}
	return p.TopicName, p.Payload, nil
}

// EncodeRequest is a request as it goes over the wire.
func EncodeRequest(f transport.Frame) ([]byte, error) {
	p, err := requestPacket(f)
	if err != nil {
		return nil, err
	}
	return mqttwire.Encode(p)
}

// ConnectPacket is a login as it goes over the wire.
func ConnectPacket(login transport.Login) ([]byte, error) { return connectPacket(login) }

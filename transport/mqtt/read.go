package mqtt

import (
	"context"
	"fmt"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Receive implements transport.Conn. When ctx ends it, the error matches
// ctx.Err() and transport.ErrClosed.
func (c *conn) Receive(ctx context.Context) (transport.Frame, error) {
	if err := c.err(); err != nil {
		return transport.Frame{}, err
	}
	release := c.bind(ctx, linefail.Receive)
	defer release()
	if end := ctx.Err(); end != nil {
		c.fail(linefail.Receive(end))
		return transport.Frame{}, c.err()
	}
	c.quiet = time.Now()
	for {
		p, err := c.next()
		if err != nil {
			c.fail(lineError(err))
			return transport.Frame{}, c.err()
		}
		f, ok, err := c.handle(p)
		if err != nil {
			c.fail(err)
			return transport.Frame{}, c.err()
		}
		if ok {
			return f, nil
		}
	}
}

// next reads one packet.
func (c *conn) next() (packets.ControlPacket, error) {
	return mqttwire.Read(c.in, hubproto.MaxPacket)
}

// An ear reads the stream with a limit on its silence.
type ear struct{ c *conn }

// Read is given up when nothing came for the keep-alive, after which the keeper
// asked for a sign of life, and for the grace to give it. Any byte is one.
func (e ear) Read(b []byte) (int, error) {
	c := e.c
	if err := c.stream.SetReadDeadline(c.quiet.Add(c.keepAlive + grace)); err != nil {
		return 0, err
	}
	n, err := c.stream.Read(b)
	if n > 0 {
		c.quiet = time.Now()
		c.heard.Store(c.now())
	}
	return n, err
}

// handle turns a packet into a frame; not ok if it means nothing to the caller.
func (c *conn) handle(p packets.ControlPacket) (f transport.Frame, ok bool, err error) {
	switch p := p.(type) {
	case *packets.PublishPacket:
		return c.handlePublish(p)
	case *packets.SubackPacket:
		return c.handleSuback(p)
	case *packets.UnsubackPacket:
		id, ok := c.answered(p.MessageID, packets.Unsuback)
		return transport.Frame{Kind: transport.Accepted, ID: id}, ok, nil
	case *packets.PubackPacket:
		id, ok := c.answered(p.MessageID, packets.Puback)
		return transport.Frame{Kind: transport.Accepted, ID: id}, ok, nil
	case *packets.PingrespPacket:
		return f, false, nil // a sign of life; ear has noted it
	}
	return f, false, fmt.Errorf("%w: it sent %s, which answers nothing", transport.ErrProtocol, name(p))
}

// handlePublish turns a message into a frame. One that means nothing here is not
// acknowledged: it stays at the hub, for a program that takes it.
func (c *conn) handlePublish(p *packets.PublishPacket) (f transport.Frame, ok bool, err error) {
	f, ok = parsePublish(p.TopicName, p.Payload)
	switch {
	case !ok:
		return transport.Frame{}, false, nil
	case p.Qos == 2: // more than was subscribed to [MQTT-3.8.4-6]
		return f, false, fmt.Errorf("%w: it published with QoS 2 what was subscribed with QoS 1", transport.ErrProtocol)
	case p.Qos == 1:
		f.Delivery, ok = c.deliver(p.MessageID)
	}
	return f, ok, nil
}

// statusRefused is what a refused Open is answered with: MQTT has no finer
// word for it than 0x80.
const statusRefused = 403

func (c *conn) handleSuback(p *packets.SubackPacket) (f transport.Frame, ok bool, err error) {
	if len(p.ReturnCodes) != 1 { // [MQTT-3.8.4-5]: one code for one filter
		return f, false, fmt.Errorf("%w: SUBACK with %d codes for one filter", transport.ErrProtocol, len(p.ReturnCodes))
	}
	id, ok := c.answered(p.MessageID, packets.Suback)
	if !ok {
		return f, false, nil
	}
	if p.ReturnCodes[0] == 0x80 {
		return transport.Frame{Kind: transport.Response, ID: id, Status: statusRefused}, true, nil
	}
	return transport.Frame{Kind: transport.Accepted, ID: id}, true, nil
}

// name is the kind of a packet, for an error: its String would show content.
func name(p packets.ControlPacket) string {
	switch p.(type) {
	case *packets.ConnectPacket:
		return "CONNECT"
	case *packets.ConnackPacket:
		return "CONNACK"
	case *packets.PublishPacket:
		return "PUBLISH"
	case *packets.PubackPacket:
		return "PUBACK"
	case *packets.PubrecPacket, *packets.PubrelPacket, *packets.PubcompPacket:
		return "a packet of QoS 2"
	case *packets.SubackPacket:
		return "SUBACK"
	case *packets.PingrespPacket:
		return "PINGRESP"
	}
	return "a packet of a client's"
}

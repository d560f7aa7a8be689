package mqtt

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// connectPacket is the login as it goes over the wire.
func connectPacket(login transport.Login) ([]byte, error) {
	if err := checkIdentity(login.Identity); err != nil {
		return nil, err
	}
	if login.KeepAlive <= 0 || login.KeepAlive > hubproto.MaxKeepAlive {
		return nil, fmt.Errorf("%w: a keep-alive of %v; a hub honours up to %v",
			transport.ErrUnsupported, login.KeepAlive, hubproto.MaxKeepAlive)
	}
	p := &packets.ConnectPacket{
		FixedHeader:  packets.FixedHeader{MessageType: packets.Connect},
		ProtocolName: "MQTT", ProtocolVersion: 4,
		// What the hub queues for this device survives a lost line.
		CleanSession: false,
		// Rounded up, for 0 would switch the hub's watch off [MQTT-3.1.2-24].
		Keepalive:        uint16((login.KeepAlive + time.Second - 1) / time.Second),
		ClientIdentifier: clientID(login.Identity),
		UsernameFlag:     true,
		Username:         userName(login),
	}
	if !login.Token.IsZero() {
		p.PasswordFlag = true
		p.Password = []byte(login.Token.Reveal())
	}
	hello, err := mqttwire.Encode(p)
	if err != nil {
		return nil, fmt.Errorf("%w: login of %s: %w", transport.ErrUnsupported, login.Identity, err)
	}
	return hello, nil
}

// checkIdentity refuses an identity that is not well formed, or whose ids mean
// something else inside a topic.
func checkIdentity(id auth.Identity) error {
	for _, f := range []struct{ name, id string }{{"DeviceId", id.DeviceID}, {"ModuleId", id.ModuleID}} {
		if i := strings.IndexAny(f.id, "#+/"); i >= 0 {
			return fmt.Errorf("%w: %w: %s %q holds %q, which MQTT topics reserve; rename the device or use AMQP",
				transport.ErrUnsupported, errtext.Bare("auth", auth.ErrInvalid), f.name, f.id, f.id[i])
		}
	}
	if err := id.Validate(); err != nil {
		return fmt.Errorf("%w: %w", transport.ErrUnsupported, err)
	}
	return nil
}

func clientID(id auth.Identity) string {
	if id.ModuleID != "" {
		return id.DeviceID + "/" + id.ModuleID
	}
	return id.DeviceID
}

// userName names the hub, also where the line ends at a gateway.
func userName(login transport.Login) string {
	product := login.Product
	if product == "" {
		product = hubproto.Product + " (" + runtime.Version() + "; " + runtime.GOOS + "/" + runtime.GOARCH + ")"
	}
	s := login.Identity.Host + "/" + clientID(login.Identity) +
		"/?" + hubproto.ParamAPIVersion + "=" + hubproto.APIVersion +
		"&" + hubproto.ParamClientType + "=" + percent(product)
	if login.ModelID != "" {
		s += "&" + hubproto.ParamModelID + "=" + percent(login.ModelID)
	}
	return s
}

// percent encodes a value of the user name: a hub takes "+" for a plus, never
// for a space.
func percent(s string) string { return strings.Join(strings.Split(url.QueryEscape(s), "+"), "%20") }

// login sends CONNECT and waits for CONNACK; when it fails, the connection has
// ended.
func (c *conn) login(ctx context.Context, hello []byte) error {
	release := c.bind(ctx, linefail.Dial)
	err := c.greet(hello)
	release()
	if err != nil {
		c.fail(err)
	}
	// ctx may have ended the connection just after the hub accepted.
	return c.err()
}

func (c *conn) greet(hello []byte) error {
	if err := c.put(hello); err != nil {
		return lineError(err)
	}
	p, err := c.next()
	if err != nil {
		return lineError(err)
	}
	connack, ok := p.(*packets.ConnackPacket)
	switch {
	case !ok: // [MQTT-3.2.0-1]
		return fmt.Errorf("%w: it answered CONNECT with %s", transport.ErrProtocol, name(p))
	case connack.ReturnCode != packets.Accepted:
		return &ConnackError{Code: connack.ReturnCode}
	}
	c.resumed = connack.SessionPresent
	return nil
}

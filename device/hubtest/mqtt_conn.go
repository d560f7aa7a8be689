package hubtest

import (
	"errors"
	"os"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
)

// mqttConn is a connection over MQTT, which one identity has alone.
type mqttConn struct {
	*conn

	// Of the reading goroutine.
	silence  time.Duration // how long the client may be silent
	limit    time.Time     // when it will have been so for too long
	tokenEnd time.Time     // by the wall clock, grace included; zero for none
	will     *mqttRequest  // telemetry for an end without DISCONNECT; nil for none

	// hub.mu guards what follows.
	who     *identity // from its login on
	session *session  // from its login on
}

// speakMQTT serves a device.
func speakMQTT(c *conn) error { return c.speakAs(&mqttConn{conn: c, silence: firstPacket}) }

// serve implements front.
func (c *mqttConn) serve() error {
	err := c.serveAll()
	c.leaveWill(err)
	return err
}

// serveAll serves the device until the connection ends.
func (c *mqttConn) serveAll() error {
	if err := c.login(); err != nil {
		return err
	}
	for {
		p, err := c.next()
		if err != nil {
			return err
		}
		req, err := c.parse(p)
		if err != nil {
			return err
		}
		if err := c.handle(req); err != nil {
			return err
		}
	}
}

// leave implements front and presence. A clean session ends with its connection.
func (c *mqttConn) leave() {
	if !c.live() {
		return
	}
	c.who.conn = nil
	if c.who.mqtt.session == c.session && c.session.clean {
		c.who.mqtt.session = nil
	}
	c.who.touch()
}

// user implements front: nobody shares a connection over MQTT.
func (c *mqttConn) user(string) (user, bool) { return nil, false }

// withdraw implements presence: MQTT has no word for it.
func (c *mqttConn) withdraw(reason string) { c.close(reason) }

// hears implements presence.
func (c *mqttConn) hears() bool { return c.session.has(hubproto.FilterDesired) }

// live reports whether this is the connection of its identity. hub.mu is held.
func (c *mqttConn) live() bool { return c.who != nil && c.who.conn == presence(c) }

// tell implements presence.
func (c *mqttConn) tell(m Message) { c.push(outgoing{msg: m, form: mqttForm{mqttConn: c}}) }

// late implements front.
func (c *mqttConn) late() (time.Time, error) {
	err := c.look(true)
	return c.nextLook(), err
}

// next reads the next packet, unless the silence or the token ends first.
func (c *mqttConn) next() (packets.ControlPacket, error) {
	c.limit = time.Now().Add(c.silence)
	for {
		if err := c.readBy(c.nextLook()); err != nil {
			return nil, err
		}
		_, err := c.in.Peek(1) // loses nothing when it fails
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !late {
			return nil, err
		}
		if err := c.look(late); err != nil {
			return nil, err
		}
		if !late {
			return c.packet()
		}
	}
}

// look says why the connection ends now, if it does. Only one that is late can
// have been silent for too long.
func (c *mqttConn) look(late bool) error {
	switch {
	case !c.passGate() || c.ended.Load():
		return errEnded
	case !c.tokenEnd.IsZero() && !c.hub.opts.Now().Before(c.tokenEnd):
		return errTokenEnd
	case late && !time.Now().Before(c.limit):
		return errSilent
	}
	return nil
}

// nextLook is when to look at the clocks again: at the limit, or at the
// token's end as the wall clock sees it now.
func (c *mqttConn) nextLook() time.Time {
	if c.tokenEnd.IsZero() {
		return c.limit
	}
	end := time.Now().Add(c.tokenEnd.Sub(c.hub.opts.Now()))
	if end.Before(c.limit) {
		return end
	}
	return c.limit
}

// packet reads the packet whose first byte has come.
func (c *mqttConn) packet() (packets.ControlPacket, error) {
	c.limit = time.Now().Add(c.silence)
	if err := c.readBy(c.limit); err != nil {
		return nil, err
	}
	p, err := mqttwire.Read(c.in, hubproto.MaxPacket)
	if err != nil {
		return nil, err
	}
	if !c.passGate() { // stalled while the packet came
		return nil, errEnded
	}
	return p, nil
}

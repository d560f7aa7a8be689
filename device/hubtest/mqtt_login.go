package hubtest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// login reads CONNECT, which must come first, and answers it.
func (c *conn) login() error {
	p, err := c.next()
	if err != nil {
		return err
	}
	connect, ok := p.(*packets.ConnectPacket)
	if !ok {
		return fmt.Errorf("%T before CONNECT", p) // [MQTT-3.1.0-1]
	}
	c.hub.mu.Lock()
	c.name = connect.ClientIdentifier
	down := c.hub.down[c.name]
	c.hub.mu.Unlock()
	if down {
		return errLineDown
	}
	if !c.passGate() {
		return errEnded
	}

	msg := Message{Device: connect.ClientIdentifier, Op: Connect}
	c.trace(msg)
	act := c.hub.intercept(msg)
	switch act.kind {
	case actDelay, actLate:
		if !wait(act.delay, c.done, c.hub.done) {
			return errEnded
		}
	case actDrop:
		return c.ignore()
	case actFreeze:
		c.freeze()
		c.passGate()
		return errEnded
	case actCut:
		return errCut
	case actAnswer:
		return c.refuse(connackCode(act.status), "intercepted")
	}
	if err := c.admit(connect, act.kind == actCutAfter); err != nil {
		return err
	}
	if act.kind == actCutAfter {
		return errCut
	}
	return nil
}

// ignore reads on after a login that got lost, until the client gives up.
func (c *conn) ignore() error {
	for {
		if _, err := c.next(); err != nil {
			return err
		}
	}
}

// admit judges a login and answers it, unless it is mute.
func (c *conn) admit(p *packets.ConnectPacket, mute bool) error {
	if p.ProtocolName != "MQTT" && p.ProtocolName != "MQIsdp" {
		return fmt.Errorf("protocol %q", p.ProtocolName)
	}
	if p.ProtocolName != "MQTT" || p.ProtocolVersion != 4 {
		return c.refuse(packets.ErrRefusedBadProtocolVersion, "it speaks another version than MQTT 3.1.1") // [MQTT-3.1.2-2]
	}
	user, err := parseUserName(p.Username)
	if err != nil {
		return c.refuse(packets.ErrRefusedBadUsernameOrPassword, err.Error())
	}
	if user.id != p.ClientIdentifier {
		return c.refuse(packets.ErrRefusedIDRejected, fmt.Sprintf("client id %q is not the %q of the user name", p.ClientIdentifier, user.id))
	}
	old, err := c.enter(p, user, mute)
	if old != nil {
		old.close("taken over by a newer connection")
	}
	switch {
	case errors.Is(err, errEnded):
		return err
	case errors.Is(err, errDisabled):
		return c.refuse(packets.ErrRefusedServerUnavailable, err.Error())
	case err != nil:
		return c.refuse(packets.ErrRefusedNotAuthorised, err.Error())
	}
	c.hub.log.Info("connected", "device", user.id, "over", c.over(MQTT), "clean", p.CleanSession, "keepAlive", p.Keepalive,
		"apiVersion", user.apiVersion, "client", user.clientType, "model", user.modelID)
	return nil
}

// enter makes this the connection of its identity, if the credentials are
// good, and returns the one that it takes over from.
func (c *conn) enter(p *packets.ConnectPacket, user userName, mute bool) (old presence, err error) {
	h := c.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.ended.Load() {
		return nil, errEnded
	}
	who, expires, err := h.authenticate(user, proof{token: string(p.Password), peer: c.peer}, now)
	if err != nil {
		return nil, err
	}
	if old = who.conn; old != nil {
		h.count(who.id, func(s *Stats) { s.Takeovers++ })
		old.leave()
	}
	present := !p.CleanSession && who.session != nil
	if !present {
		who.session = newSession(p.CleanSession)
	}
	if p.CleanSession {
		who.inbox = nil
	}
	c.who, c.session = who, who.session
	c.silence = silence(p.Keepalive)
	c.tokenEnd = tokenEnd(expires, now, h.opts.TokenGrace)
	who.conn, who.modelID = c, user.modelID
	who.came(now)
	h.count(who.id, func(s *Stats) { s.Connects++ })
	if !mute {
		// Pushed before hub.mu is given up, so that nothing overtakes it.
		c.push(outgoing{msg: Message{Device: who.id, Op: Connect, FromHub: true}, present: present})
		c.deliverInbox()
	}
	who.touch()
	return old, nil
}

// tokenEnd is when a connection ends that a token let in: zero for never.
func tokenEnd(expires, now time.Time, grace time.Duration) time.Time {
	if expires.IsZero() { // let in by a certificate, which is judged once
		return expires
	}
	if end := expires.Add(grace); now.Before(end) {
		return end
	}
	return expires.Add(clockSkew + time.Second) // let in by the allowance for clocks
}

// authenticate finds the identity and judges its proof. h.mu is held.
func (h *Hub) authenticate(user userName, p proof, now time.Time) (*identity, time.Time, error) {
	if !strings.EqualFold(user.host, h.opts.Host) {
		return nil, time.Time{}, fmt.Errorf("user name: the hub %q is not this one", user.host)
	}
	who, err := h.enabled(user.id)
	if err != nil {
		return nil, time.Time{}, err
	}
	expires, err := h.judge(who, p, now)
	return who, expires, err
}

// silence is how long a client may be silent: 1.5 times its keep-alive
// [MQTT-3.1.2-24], within the hub's own limit, which also stands for none.
func silence(keepAlive uint16) time.Duration {
	d := time.Duration(keepAlive) * time.Second * 3 / 2
	if d == 0 || d > maxSilence {
		return maxSilence
	}
	return d
}

// refuse answers CONNACK with a return code, and waits until it is written.
func (c *conn) refuse(code byte, reason string) error {
	h := c.hub
	h.mu.Lock()
	name := c.name
	h.count(name, func(s *Stats) { s.Refused++ })
	h.mu.Unlock()
	h.log.Warn("login refused", "device", name, "code", code, "reason", reason)
	c.push(outgoing{msg: Message{Device: name, Op: Connect, FromHub: true, Status: int(code)}, final: true})
	<-c.done
	return errRefused
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

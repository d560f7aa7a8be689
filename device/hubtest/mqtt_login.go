package hubtest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// login reads CONNECT, which must come first, and answers it.
func (c *mqttConn) login() error {
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

	return c.handle(&mqttLogin{mqttConn: c, packet: connect, request: request{msg: Message{Device: connect.ClientIdentifier, Op: Connect}}})
}

// mqttLogin is a CONNECT as Intercept has it. It holds up all that follows it.
type mqttLogin struct {
	*mqttConn
	request
	packet *packets.ConnectPacket
}

// perform implements passage.
func (l *mqttLogin) perform(mute bool) error { return l.admit(l.packet, mute) }

// repeat implements passage: a login passes once.
func (l *mqttLogin) repeat() error { return nil }

// answer implements passage.
func (l *mqttLogin) answer(act Action) error {
	return l.refuse(connackCode(act.status), "intercepted")
}

// hold implements passage.
func (l *mqttLogin) hold(act Action) error {
	if !wait(act.delay, l.done, l.hub.done) {
		return errEnded
	}
	return l.perform(false)
}

// drop implements passage.
func (l *mqttLogin) drop() error { return l.ignore() }

// edit implements passage.
func (l *mqttLogin) edit(act Action) { l.hub.edit(&l.msg, act) }

// ignore reads on after a login that got lost, until the client gives up.
func (c *mqttConn) ignore() error {
	for {
		if _, err := c.next(); err != nil {
			return err
		}
	}
}

// admit judges a login and answers it, unless it is mute.
func (c *mqttConn) admit(p *packets.ConnectPacket, mute bool) error {
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
	supersede(old)
	if err == nil {
		c.will = c.willOf(p)
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
func (c *mqttConn) enter(p *packets.ConnectPacket, user userName, mute bool) (old presence, err error) {
	h := c.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.ended.Load() {
		return nil, errEnded
	}
	if err := h.isHere(user.host, "user name"); err != nil {
		return nil, err
	}
	who, expires, err := h.authenticate(user.id, proof{token: string(p.Password), peer: c.peer}, now)
	if err != nil {
		return nil, err
	}
	old = h.welcome(who, c, now)
	who.modelID = user.modelID
	present := !p.CleanSession && who.mqtt.session != nil
	if !present {
		who.mqtt.session = newSession(p.CleanSession)
	}
	if p.CleanSession {
		who.mqtt.inbox = nil
	}
	c.who, c.session = who, who.mqtt.session
	c.silence = silence(p.Keepalive)
	c.tokenEnd = tokenEnd(expires, now, h.opts.quirks.TokenGrace)
	if !mute {
		// Pushed before hub.mu is given up, so that nothing overtakes it.
		c.push(outgoing{msg: Message{Device: who.id, Op: Connect, FromHub: true}, form: mqttForm{mqttConn: c, present: present}})
		c.deliverInbox()
	}
	who.touch()
	return old, nil
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
func (c *mqttConn) refuse(code byte, reason string) error {
	c.hub.mu.Lock()
	name := c.name
	c.hub.mu.Unlock()
	c.hub.refused(name, int(code), reason)
	c.push(outgoing{
		msg:  Message{Device: name, Op: Connect, FromHub: true, Status: int(code)},
		form: mqttForm{mqttConn: c, final: true},
	})
	<-c.done
	return errRefused
}

// userName is what a device says of itself in CONNECT.
type userName struct {
	host string
	id   string // as in the client id: "device" or "device/module"
	// parameters, decoded
	apiVersion, clientType, modelID string
}

// parseUserName reads every form that the official SDKs send:
//
//	host/device[/module]/?api-version=…&key=value…
//	host/device[/module]/api-version=…
//	host/device[/module]
//
// Ids stand as they are, values are percent-encoded, unknown keys are ignored.
// A question mark is a legal character of an id, so only "/?" ends one.
func parseUserName(text string) (userName, error) {
	var u userName
	host, rest, ok := strings.Cut(text, "/")
	if !ok || host == "" {
		return u, errors.New("user name: no host and id")
	}
	ids, query, ok := strings.Cut(rest, "/?")
	if !ok {
		if ids, query, ok = strings.Cut(rest, "/api-version="); ok {
			query = "api-version=" + query
		}
	}
	ids = strings.TrimSuffix(ids, "/")
	device, module, isModule := strings.Cut(ids, "/")
	if device == "" || isModule && module == "" || strings.Contains(module, "/") {
		return u, errors.New("user name: no device, or device and module")
	}
	u.host, u.id = host, ids
	return u, u.parameters(query)
}

func (u *userName) parameters(query string) error {
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.PathUnescape(name)
		value, err2 := url.PathUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("user name: %q is not percent-encoded", part)
		}
		switch name {
		case "api-version":
			u.apiVersion = value
		case "DeviceClientType":
			u.clientType = value
		case "model-id":
			u.modelID = value
		}
	}
	return nil
}

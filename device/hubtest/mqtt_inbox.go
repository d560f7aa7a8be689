package hubtest

import (
	"slices"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// filterAnyDevicebound is a device's, too.
const filterAnyDevicebound = hubproto.PrefixDevices + "+/" + hubproto.FilterDevicebound

// devicebound is one message from the cloud, kept until its PUBACK. hub.mu
// guards it.
type devicebound struct {
	packetID uint16
	body     []byte
	on       *mqttConn // the connection that it was delivered on, nil for none
}

// ownTopics begins the topics of a device or module.
func (id *identity) ownTopics() string {
	own := hubproto.PrefixDevices + id.device + "/"
	if id.module != "" {
		own += hubproto.InfixModules + id.module + "/"
	}
	return own
}

// inboxQoS is the QoS that messages from the cloud were subscribed with. It
// reports false if they were not.
func (c *mqttConn) inboxQoS() (qos byte, ok bool) {
	own := c.who.ownTopics()
	for _, filter := range []string{own + hubproto.FilterDevicebound, own + "#", filterAnyDevicebound} {
		if granted, is := c.session.subs[filter]; is {
			qos, ok = max(qos, granted), true
		}
	}
	return qos, ok
}

// deliverInbox sends what waits and is not on its way. hub.mu is held.
func (c *mqttConn) deliverInbox() {
	qos, ok := c.inboxQoS()
	if !ok {
		return
	}
	for _, m := range slices.Clone(c.who.mqtt.inbox) {
		if m.on == c {
			continue
		}
		c.deliverMessage(m, qos)
	}
}

// deliverMessage sends one message, and again until it is acknowledged. hub.mu is
// held.
func (c *mqttConn) deliverMessage(m *devicebound, qos byte) {
	topic := c.who.ownTopics() + strings.TrimSuffix(hubproto.FilterDevicebound, "#")
	again := m.on != nil
	m.on = c
	c.push(outgoing{
		msg:  Message{Device: c.who.id, Op: Devicebound, FromHub: true, Topics: []string{topic}, Body: m.body},
		form: mqttForm{mqttConn: c, packetID: m.packetID, qos: qos, again: again && qos > 0},
	})
	if qos == 0 { // sent is done
		c.who.mqtt.complete(m.packetID)
		return
	}
	c.hub.wg.Go(func() {
		if !wait(messageLock, c.done, c.hub.done) {
			return
		}
		c.hub.mu.Lock()
		defer c.hub.mu.Unlock()
		qos, ok := c.inboxQoS()
		if ok && c.live() && m.on == c && slices.Contains(c.who.mqtt.inbox, m) {
			c.deliverMessage(m, qos)
		}
	})
}

// mqttState is what outlives the connections of an identity over MQTT. hub.mu
// guards it.
type mqttState struct {
	session *session // nil when there is none to resume
	inbox   []*devicebound
	lastID  uint16 // the packet id used last
}

// add queues a message from the cloud. hub.mu is held.
func (s *mqttState) add(body []byte) {
	if s.lastID++; s.lastID == 0 {
		s.lastID++
	}
	s.inbox = append(s.inbox, &devicebound{packetID: s.lastID, body: body})
}

// complete takes a message out of the queue. hub.mu is held.
func (s *mqttState) complete(packetID uint16) {
	s.inbox = slices.DeleteFunc(s.inbox, func(m *devicebound) bool { return m.packetID == packetID })
}

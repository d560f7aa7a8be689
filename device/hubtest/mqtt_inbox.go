package hubtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

const (
	// maxPending is how many messages may wait for a device.
	maxPending = 50
	// maxDevicebound bounds the body of a message from the cloud.
	maxDevicebound = 64 << 10
	// messageLock is how long a hub waits for PUBACK before it delivers again.
	messageLock = time.Minute
)

// filterAnyDevicebound is a device's, too.
const filterAnyDevicebound = hubproto.PrefixDevices + "+/" + hubproto.FilterDevicebound

// devicebound is one message from the cloud, kept until its PUBACK. hub.mu
// guards it.
type devicebound struct {
	packetID uint16
	body     []byte
	on       *conn // the connection that it was delivered on, nil for none
}

// SendMessage queues a message for a device or module ("device/module"), as a
// back end sends it from cloud to device. Over MQTT the hub delivers it to a
// client that has subscribed to such messages, at once or at its next login with
// clean session 0, and again after a minute and at each login, until PUBACK
// completes it. A login with clean session 1 drops what waits. Over AMQP nothing
// is delivered. An unknown device is ErrUnknown. The 51st message that waits, and
// a body of more than 64 KB, are a *transport.StatusError.
func (h *Hub) SendMessage(id string, body []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	who := h.identities[id]
	switch {
	case h.closed:
		return ErrClosed
	case who == nil:
		return fmt.Errorf("%w: %s", ErrUnknown, id)
	case len(body) > maxDevicebound:
		return statusError(fault.New(fault.TooLarge, "The message has %d bytes; at most %d are allowed.", len(body), maxDevicebound))
	case len(who.inbox) >= maxPending:
		return statusError(fault.New(fault.QueueDepth, "Total number of messages on IotHub device exceeded the maximum of %d.", maxPending))
	}
	if who.lastID++; who.lastID == 0 {
		who.lastID++
	}
	who.inbox = append(who.inbox, &devicebound{packetID: who.lastID, body: slices.Clone(body)})
	if c, ok := who.conn.(*conn); ok {
		c.deliverInbox()
	}
	return nil
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
func (c *conn) inboxQoS() (qos byte, ok bool) {
	own := c.who.ownTopics()
	for _, filter := range []string{own + hubproto.FilterDevicebound, own + "#", filterAnyDevicebound} {
		if granted, is := c.session.subs[filter]; is {
			qos, ok = max(qos, granted), true
		}
	}
	return qos, ok
}

// deliverInbox sends what waits and is not on its way. hub.mu is held.
func (c *conn) deliverInbox() {
	qos, ok := c.inboxQoS()
	if !ok {
		return
	}
	for _, m := range slices.Clone(c.who.inbox) {
		if m.on == c {
			continue
		}
		c.deliverMessage(m, qos)
	}
}

// deliverMessage sends one message, and again until it is acknowledged. hub.mu is
// held.
func (c *conn) deliverMessage(m *devicebound, qos byte) {
	topic := c.who.ownTopics() + strings.TrimSuffix(hubproto.FilterDevicebound, "#")
	again := m.on != nil
	m.on = c
	c.push(outgoing{
		msg:      Message{Device: c.who.id, Op: Devicebound, FromHub: true, Topics: []string{topic}, Body: m.body},
		packetID: m.packetID, qos: qos, again: again && qos > 0,
	})
	if qos == 0 { // sent is done
		c.who.complete(m.packetID)
		return
	}
	c.hub.wg.Go(func() {
		if !wait(messageLock, c.done, c.hub.done) {
			return
		}
		c.hub.mu.Lock()
		defer c.hub.mu.Unlock()
		qos, ok := c.inboxQoS()
		if ok && c.live() && m.on == c && slices.Contains(c.who.inbox, m) {
			c.deliverMessage(m, qos)
		}
	})
}

// complete takes a message out of the queue. hub.mu is held.
func (id *identity) complete(packetID uint16) {
	id.inbox = slices.DeleteFunc(id.inbox, func(m *devicebound) bool { return m.packetID == packetID })
}

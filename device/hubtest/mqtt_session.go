package hubtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// session is what outlives a connection: the subscriptions. hub.mu guards it.
type session struct {
	clean bool            // it ends with its connection
	subs  map[string]byte // filter to granted QoS
}

func newSession(clean bool) *session {
	return &session{clean: clean, subs: map[string]byte{}}
}

func (s *session) has(filter string) bool {
	_, ok := s.subs[filter]
	return ok
}

// subscribe adds filters and returns what is granted; an error ends the
// connection, and nothing is added.
func (s *session) subscribe(who *identity, filters []string, qos []byte) ([]byte, error) {
	all := maps.Clone(s.subs)
	granted := make([]byte, len(filters))
	for i, f := range filters {
		if !who.maySubscribe(f) {
			return nil, fmt.Errorf("SUBSCRIBE to %q, which is no topic of this hub and device", f)
		}
		granted[i] = min(qos[i], 1) // QoS 2 is granted as 1
		all[f] = granted[i]
	}
	if len(all) > maxSubscriptions {
		return nil, fmt.Errorf("%d subscriptions; at most %d are allowed", len(all), maxSubscriptions)
	}
	s.subs = all
	return granted, nil
}

// maySubscribe knows the documented filters. Real hubs close the connection
// for any other.
func (id *identity) maySubscribe(filter string) bool {
	known := []string{hubproto.FilterTwinResponses, hubproto.FilterDesired, filterMethods}
	own := id.ownTopics()
	known = append(known, own+hubproto.FilterDevicebound)
	if id.module == "" {
		known = append(known, filterAnyDevicebound)
	} else {
		// The C and .NET SDKs ask for all of it.
		known = append(known, own+hubproto.FilterInputs, own+"#")
	}
	if slices.Contains(known, filter) {
		return true
	}
	// One method alone may be subscribed to.
	name, ok := strings.CutPrefix(filter, prefixMethod)
	name, ok2 := strings.CutSuffix(name, "/#")
	return ok && ok2 && name != "" && !strings.ContainsAny(name, "/+#")
}

func (s *session) unsubscribe(filters []string) {
	all := maps.Clone(s.subs)
	for _, f := range filters {
		delete(all, f)
	}
	s.subs = all
}

// invoke implements presence: a device subscribes to all methods, or to one.
func (c *mqttConn) invoke(n uint64, m Message) *call {
	if !c.session.has(filterMethods) && !c.session.has(prefixMethod+m.Method+"/#") {
		return nil
	}
	m.RequestID = strconv.FormatUint(n, 16)
	c.tell(m)
	return newCall(m.RequestID, c, c.done)
}

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

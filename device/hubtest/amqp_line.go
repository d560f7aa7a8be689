package hubtest

import (
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// amqpLine is one identity's part of a connection over AMQP: its token and its
// twin links.
type amqpLine struct {
	*amqpConn
	id string

	// hub.mu guards what follows.
	who      *identity // from its login on
	tokenEnd time.Time // by the wall clock, grace included; zero for none
	desired  bool      // it asked for changes

	// amqpConn.mu guards what follows.
	links  map[amqpwire.Role]*amqpwire.Link // of the twin
	pair   map[amqpwire.Role]string         // what pairs them
	others []*amqpwire.Link                 // telemetry, methods, messages
}

// live reports whether this is the line of its identity. hub.mu is held.
func (l *amqpLine) live() bool { return l.who != nil && l.who.conn == presence(l) }

// push implements presence.
func (l *amqpLine) push(item outgoing) {
	if item.by == nil {
		item.by = &amqpOutgoing{line: l}
	}
	l.amqpConn.push(item)
}

// leave implements presence.
func (l *amqpLine) leave() {
	if !l.live() {
		return
	}
	l.who.conn = nil
	l.desired = false
	l.who.touch()
}

// hears implements presence.
func (l *amqpLine) hears() bool { return l.desired }

// close implements presence: it ends the connection of whoever has it alone, and
// no more than the links of one who shares it.
func (l *amqpLine) close(reason string) {
	l.hub.mu.Lock()
	l.leave()
	alone := !l.several
	l.hub.mu.Unlock()
	if alone {
		l.conn.close(reason)
		return
	}
	l.hub.log.Info("links ended", "device", l.id, "reason", reason)
	l.detach(&amqpwire.Error{Condition: condForced, Description: reason})
	l.nudge()
}

// detach ends the line's links. Who calls it sees to the output.
func (l *amqpLine) detach(err *amqpwire.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, link := range l.links {
		link.Detach(err)
	}
	for _, link := range l.others {
		link.Detach(err)
	}
	l.links, l.pair, l.others = nil, nil, nil
}

// adopt makes a link part of the line. One of the twin takes the place of an
// older one, and ends its counterpart when they are no pair.
func (l *amqpLine) adopt(link *amqpwire.Link, n node, pair string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	link.Accept(0)
	if n != nodeTwin {
		l.others = append(l.others, link)
		return
	}
	if l.links == nil {
		l.links, l.pair = map[amqpwire.Role]*amqpwire.Link{}, map[amqpwire.Role]string{}
	}
	role := link.Role()
	if old := l.links[role]; old != nil {
		old.Detach(nil)
	}
	if other := l.links[!role]; other != nil && l.pair[!role] != pair {
		other.Detach(nil)
		delete(l.links, !role)
	}
	l.links[role], l.pair[role] = link, pair
}

// drop forgets a link that is gone, and reports whether it was the line's last.
func (l *amqpLine) drop(link *amqpwire.Link) (last, receiver bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if role := link.Role(); l.links[role] == link {
		delete(l.links, role)
		receiver = role == amqpwire.Receiver
	}
	l.others = slices.DeleteFunc(l.others, func(o *amqpwire.Link) bool { return o == link })
	return len(l.links) == 0 && len(l.others) == 0, receiver
}

// detached takes note of a link that is gone. A desired-changes subscription
// goes with the link on which it is told; a device whose last link is gone has
// left.
func (a *amqpConn) detached(link *amqpwire.Link) {
	a.hub.mu.Lock()
	at, ok := a.nodes[link]
	delete(a.nodes, link)
	if a.cbs[link.Role()] == link {
		delete(a.cbs, link.Role())
	}
	a.hub.mu.Unlock()
	if !ok || at.line == nil {
		return
	}
	last, receiver := at.line.drop(link)
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	if receiver {
		at.line.desired = false
	}
	if last && at.line.live() {
		a.hub.count(at.line.id, func(s *Stats) { s.Disconnects++ })
		at.line.leave()
	}
}

// lost reports whether a message of the device is lost: its line stalls, and it
// shares the connection, which so cannot be held up.
func (l *amqpLine) lost() bool {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	return l.several && l.hub.stalled[l.id]
}

// spare reports whether a failure over one message ends only its line, and ends
// it.
func (c *conn) spare(item outgoing, err error) bool {
	if item.by == nil || item.by.line == nil || err == errEnded {
		return false
	}
	item.by.line.close(err.Error())
	return !c.ended.Load()
}

// blame ends the line that a request failed on, when others share the
// connection; else the error ends all of it.
func (l *amqpLine) blame(err error) error {
	l.hub.mu.Lock()
	several := l.several
	l.hub.mu.Unlock()
	if err == nil || err == errEnded || !several {
		return err
	}
	l.close(err.Error())
	return nil
}

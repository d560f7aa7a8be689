package hubtest

import (
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// amqpLine is one identity's part of a connection over AMQP: its token and its
// links.
type amqpLine struct {
	*amqpConn
	id string

	// hub.mu guards what follows.
	who      *identity     // from its login on
	named    string        // as its last put-token spelt it
	knocking bool          // a login waits to be judged
	token    string        // of its last login, if it proved itself by one
	tokenEnd time.Time     // by the wall clock, grace included; zero for none
	desired  bool          // it asked for changes
	left     chan struct{} // of its last login; closed when it leaves

	// amqpConn.mu guards what follows. It may be taken with hub.mu held, never
	// the other way round.
	links  map[end]half     // of the twin and of methods: pairs
	others []*amqpwire.Link // telemetry, messages
}

// end is a link's place: one of the two of a pair.
type end struct {
	node node
	role amqpwire.Role
}

// half is a link of a pair.
type half struct {
	link *amqpwire.Link
	pair string // tells which other link it belongs to
}

// live reports whether this is the line of its identity. hub.mu is held.
func (l *amqpLine) live() bool { return l.who != nil && l.who.conn == presence(l) }

// tell implements presence.
func (l *amqpLine) tell(m Message) { l.push(outgoing{msg: m, form: amqpForm{amqpLine: l}}) }

// deliverInbox implements presence: over AMQP nothing is delivered.
func (l *amqpLine) deliverInbox() {}

// leave implements presence.
func (l *amqpLine) leave() {
	if !l.live() {
		return
	}
	l.who.conn = nil
	l.desired = false
	close(l.left)
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
	l.endLinks(reason)
}

// withdraw implements presence: it ends the links, and leaves the connection to
// the client.
func (l *amqpLine) withdraw(reason string) {
	l.hub.mu.Lock()
	l.leave()
	l.hub.mu.Unlock()
	l.endLinks(reason)
}

// endLinks ends the line's links by force. No lock is held.
func (l *amqpLine) endLinks(reason string) {
	l.hub.log.Info("links ended", "device", l.id, "reason", reason)
	l.detach(&amqpwire.Error{Condition: condForced, Description: reason})
	l.nudge()
}

// detach ends the line's links. Who calls it sees to the output.
func (l *amqpLine) detach(err *amqpwire.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := (*amqpwire.Link).Detach
	if l.hub.opts.quirks.SuspendLinks {
		end = (*amqpwire.Link).Suspend
	}
	for _, h := range l.links {
		end(h.link, err)
	}
	for _, link := range l.others {
		end(link, err)
	}
	l.links, l.others = nil, nil
}

// adopt makes a link part of the line. One of a pair takes the place of an older
// one, and ends its counterpart when they do not belong together. hub.mu is held.
func (l *amqpLine) adopt(link *amqpwire.Link, n node, pair string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	link.Withhold(n == nodeEvents && l.who != nil && l.who.held.on)
	link.Accept(0)
	if n != nodeTwin && n != nodeMethods {
		l.others = append(l.others, link)
		return
	}
	if l.links == nil {
		l.links = map[end]half{}
	}
	here, there := end{n, link.Role()}, end{n, !link.Role()}
	l.retire(here)
	if l.links[there].pair != pair {
		l.retire(there)
	}
	l.links[here] = half{link, pair}
}

// retire ends a link in favour of a newer one. hub.mu and amqpConn.mu are held.
func (l *amqpLine) retire(at end) {
	old, ok := l.links[at]
	if !ok {
		return
	}
	old.link.Detach(nil)
	delete(l.links, at)
	if at == (end{nodeTwin, amqpwire.Receiver}) {
		l.desired = false // the subscription goes with the link
	}
}

// paired reports whether both links of a node are there.
func (l *amqpLine) paired(n node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, in := l.links[end{n, amqpwire.Sender}]
	_, out := l.links[end{n, amqpwire.Receiver}]
	return in && out
}

// forget forgets a link that is gone, and reports whether it was the line's last,
// and whether it was the one on which changes are told. One that was forgotten
// before is neither: the client confirms its end when a newer login may be there.
func (l *amqpLine) forget(link *amqpwire.Link, n node) (last, told bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	here, other := end{n, link.Role()}, slices.Index(l.others, link)
	switch {
	case l.links[here].link == link:
		delete(l.links, here)
		told = here == end{nodeTwin, amqpwire.Receiver}
	case other >= 0:
		l.others = slices.Delete(l.others, other, other+1)
	default:
		return false, false
	}
	return len(l.links) == 0 && len(l.others) == 0, told
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
	last, told := at.line.forget(link, at.node)
	a.hub.mu.Lock()
	if told {
		at.line.desired = false
	}
	left := last && at.line.live()
	if left {
		a.hub.count(at.line.id, func(s *Stats) { s.Disconnects++ })
		at.line.leave()
	}
	a.hub.mu.Unlock()
	if left {
		a.hub.log.Info("left", "device", at.line.id)
	}
}

// lost reports whether a message of the device is lost: its line stalls, and it
// shares the connection, which so cannot be held up.
func (l *amqpLine) lost() bool {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	return l.several && l.hub.stalled[l.id]
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

package hubtest

import (
	"fmt"
	"strings"
	"time"
)

// user is a device on a connection, or the connection with all of its devices.
type user interface {
	// close ends it; only the first reason counts. No lock is held.
	close(reason string)
	// leave takes it offline. Leaving again does nothing. hub.mu is held.
	leave()
}

// presence is what an identity has that is online: a whole connection over
// MQTT, a part of one over AMQP.
type presence interface {
	user
	// tell queues a message for the writing goroutine. hub.mu is held.
	tell(m Message)
	// withdraw ends it because its identity is gone, or disabled. No lock is
	// held.
	withdraw(reason string)
	// hears reports whether the device asked for changes of its desired
	// properties. hub.mu is held.
	hears() bool
	// invoke hands the device the hub's nth call of a direct method, and returns
	// it; nil when the device does not listen to that method. hub.mu is held.
	invoke(n uint64, m Message) *call
	// deliverInbox sends the messages from the cloud that wait and are not on
	// their way. hub.mu is held.
	deliverInbox()
}

// usersOf returns the users that claim to be id, or all of them for "".
// h.mu is held.
func (h *Hub) usersOf(id string) []user {
	var out []user
	for c := range h.conns {
		if id == "" || c.name == id {
			out = append(out, c)
		} else if c.front != nil {
			if u, ok := c.front.user(id); ok {
				out = append(out, u)
			}
		}
	}
	return out
}

// What every front does when a client logs in.

// authenticate finds an identity and judges its proof, and says until when a
// connection may stand on it: zero for ever. The error is for the hub's log. h.mu
// is held.
func (h *Hub) authenticate(id string, p proof, now time.Time) (who *identity, expires time.Time, err error) {
	if who, err = h.enabled(id); err != nil {
		return nil, expires, err
	}
	if expires, err = h.judge(who, p, now); err == nil {
		who.method = who.authMethod(p)
	}
	return who, expires, err
}

// isHere fails where a login names another hub; place says in what.
func (h *Hub) isHere(host, place string) error {
	if !strings.EqualFold(host, h.opts.Host) {
		return fmt.Errorf("%s: the hub %q is not this one", place, host)
	}
	return nil
}

// welcome makes p the presence of an identity. It returns the one that p takes
// over from, for supersede, or nil. h.mu is held.
func (h *Hub) welcome(who *identity, p presence, now time.Time) (old presence) {
	if old = who.conn; old != nil {
		h.count(who.id, func(s *Stats) { s.Takeovers++ })
		old.leave()
	}
	who.conn = p
	who.came(now)
	h.count(who.id, func(s *Stats) { s.Connects++ })
	return old
}

// supersede closes the presence that another took over from. No lock is held.
func supersede(old presence) {
	if old != nil {
		old.close("taken over by a newer connection")
	}
}

// refused counts and logs a login that the hub does not accept. No lock is held.
func (h *Hub) refused(id string, code int, reason any) {
	h.mu.Lock()
	h.count(id, func(s *Stats) { s.Refused++ })
	h.mu.Unlock()
	h.log.Warn("login refused", "device", id, "code", code, "reason", reason)
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

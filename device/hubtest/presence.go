package hubtest

// user is who uses a connection: all of it, or a part.
type user interface {
	// close ends it; only the first reason counts. No lock is held.
	close(reason string)
	// leave ends its part in its identity's life. Leaving again does
	// nothing. hub.mu is held.
	leave()
}

// presence is what an identity has that is online: a whole connection over
// MQTT, a part of one over AMQP.
type presence interface {
	user
	// tell hands a message to whoever writes; nothing waits. hub.mu is held.
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

// usersOf returns those of whoever claims to be id, or all of them for "".
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

package amqpwire

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// An Event is what happened to a connection: one of the types of this file, by
// pointer.
type Event interface{ event() }

// A Role is the client's part in a link, or in what it says of deliveries.
type Role bool

// The roles, with their values on the wire.
const (
	Sender   Role = false // the client sends, the hub receives
	Receiver Role = true  // the client receives, the hub sends
)

// String is "sender" or "receiver".
func (r Role) String() string {
	if r == Receiver {
		return "receiver"
	}
	return "sender"
}

// A Login is a client's SASL login, which waits for AcceptLogin or
// RefuseLogin. Nothing that the client sends is read before.
type Login struct {
	Mechanism string // ANONYMOUS, MSSBCBS, PLAIN or EXTERNAL
	User      string // of PLAIN
	Password  string // of PLAIN: a token, so it does not print
}

// String leaves out the password.
func (l Login) String() string { return fmt.Sprintf("SASL %s login of %q", l.Mechanism, l.User) }

// Format is String, whatever the verb.
func (l Login) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// LogValue is String for slog.
func (l Login) LogValue() slog.Value { return slog.StringValue(l.String()) }

// An Opened says that the connection is open in both directions.
type Opened struct {
	ContainerID string
	Hostname    string        // empty for none
	IdleTimeout time.Duration // the silence that the client bears; 0 for any
}

// A Begun says that the client began a session.
type Begun struct{ Session *Session }

// An Attaching says that the client wants a link, which waits for Accept or
// Refuse. Classify it by role and address: its properties may be another
// link's (rhea carries them over).
type Attaching struct {
	Link            *Link
	Source, Target  string            // addresses; empty for none
	SenderSettles   byte              // 0 later, 1 by sending, 2 either
	ReceiverSettles byte              // 0 at once, 1 after the sender
	MaxMessageSize  uint64            // what the client takes; 0 for any
	Properties      map[string]string // those that are texts; nil for none
}

// A Delivery is a whole message from the client.
type Delivery struct {
	Link    *Link
	ID      uint32 // for Link.Settle
	Tag     []byte
	Format  uint32 // 0 for what DecodeMessage decodes
	Settled bool   // the client wants no answer
	Payload []byte // the event's own memory
}

// A Settled says how a message that the hub did not send settled has ended.
type Settled struct {
	Link    *Link
	Tag     []byte // the message's
	Outcome Outcome
}

// A Detached says that a link is gone.
type Detached struct {
	Link  *Link
	Error *Error // what the client said; nil for nothing
	Sent  *Error // what this end said; nil for nothing
}

// An Ended says that a session is gone, with its links.
type Ended struct {
	Session *Session
	Error   *Error // what the client said; nil for nothing
	Sent    *Error // what this end said; nil for nothing
}

// A Closed says that the connection is at its end: what is left is to write
// the output and to close the stream.
type Closed struct {
	Error *Error // what the client's CLOSE said; nil for nothing
	// Cause is why this end ended it: the *Error given to Conn.Close, or what
	// matches ErrProtocol, ErrIdle or ErrLogin; nil when the client did.
	Cause error
}

func (*Login) event()     {}
func (*Opened) event()    {}
func (*Begun) event()     {}
func (*Attaching) event() {}
func (*Delivery) event()  {}
func (*Settled) event()   {}
func (*Detached) event()  {}
func (*Ended) event()     {}
func (*Closed) event()    {}

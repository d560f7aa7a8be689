package transport

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A Dialer opens connections to a hub in one protocol.
//
// Dial returns once the hub has accepted the login, or with an error that
// matches one of this package's sentinels. It honours ctx at every stage and
// leaves no goroutine and no socket behind when it fails. A Dialer may be used
// by many goroutines and for many identities at once.
type Dialer interface {
	Dial(ctx context.Context, login Login) (Conn, error)
}

// A Login is what one session with the hub needs, and no more: a Dialer never
// mints a token and never sees a key. The caller owns the token's life: it
// knows when the token ends, and replaces or renews the connection before.
type Login struct {
	// Identity is who logs in, and at which hub.
	Identity auth.Identity
	// Token is the proof of a SAS identity. The zero Token means none, as
	// X.509 wants it.
	Token auth.Token
	// Certificate is the client certificate of an X.509 identity, nil for none.
	Certificate *tls.Certificate
	// ModelID is the Plug and Play model (a DTMI) to announce; empty for none.
	ModelID string
	// Product is the user agent to announce, in plain text; empty for the
	// library's own.
	Product string
	// KeepAlive is the longest silence on the line, after which the connection
	// asks for a sign of life. It is always positive here: package device fills
	// in its default and checks the hub's limit.
	KeepAlive time.Duration
	// Now is the wall clock that TLS judges certificates by; nil for time.Now.
	Now func() time.Time
	// Sessions is the TLS session cache to resume from; nil for none. It must
	// not outlive the certificate: on a resumed session the hub sees the
	// certificate of the first.
	Sessions tls.ClientSessionCache
	// Tidy removes what an earlier program of this identity subscribed to and no
	// feature of this library takes, such as cloud-to-device messages over MQTT,
	// if the hub restored it. The request for that leaves together with the first
	// GetTwin and its answer is not waited for. AMQP has no such session and
	// ignores it.
	Tidy bool
}

// A Conn is one live session with a hub.
//
// Every rule below is a case of internal/transporttest, which each transport
// passes. Where the far end of those cases cannot do what a rule is about, the
// tests of the transport hold it.
type Conn interface {
	// Send hands one frame to the connection and returns. Nil says that the
	// frame is on its way, not that the hub has it. Send may be called
	// concurrently, and frames never interleave. The body is not kept.
	//
	// Send never waits for credit, for a window or for a full queue: without
	// room for the frame it returns ErrBusy at once, and a frame of kind Ready
	// comes from Receive when there is room. ctx bounds the wait for this
	// frame's turn to be written. A frame whose first byte is written is finished
	// within the transport's own write limit, since half a frame would end the
	// connection.
	//
	// A frame that the transport cannot say returns ErrUnsupported, and one that
	// is larger than it carries returns ErrTooLarge. Nothing of them is sent. A
	// body of up to MaxBody bytes is carried. After a failed write the Conn is
	// dead.
	//
	// A Conn acknowledges nothing by itself: a frame with a Delivery is the
	// hub's until a Complete or a Release settles it. Settling never waits for the
	// line: it is queued, and the queue is bounded by the number of deliveries
	// that a Conn gives out before they are settled. Hubs expect the frames that
	// settle those of one feature in the order of arrival. For a delivery that is
	// unknown or settled already, Send returns ErrUnsupported.
	Send(ctx context.Context, f Frame) error
	// Receive returns the next frame from the hub, in the order of arrival.
	// Everything that the hub answers comes this way, with the ID of the frame
	// that it answers. One goroutine calls Receive. The frame's body belongs to
	// the receiver. Reading never waits for writing: Receive returns frames also
	// while the line takes nothing.
	//
	// A message from the hub that belongs to no feature in use is no frame, and
	// is not acknowledged: it stays at the hub, for a program that takes it.
	//
	// When Receive fails, also because ctx ended, the Conn is dead, its error
	// says why, and it never comes back by itself.
	Receive(ctx context.Context) (Frame, error)
	// Close ends the session, politely if the line allows it, and waits for
	// every goroutine of the Conn. It may be called at any time, from any
	// goroutine, and more than once; a Receive or Send under way returns an
	// error that matches ErrClosed.
	Close() error
}

// A Resumer is a Conn that can tell that the hub kept the features opened in
// an earlier session of the same identity, so that a request may follow the
// Open frames without waiting for their Accepted: one round trip less.
type Resumer interface {
	Resumed() bool
}

// A Renewer is a Conn that takes another token without a new connection: its
// features stay open, and nothing is missed.
type Renewer interface {
	// Renew has the hub judge the token, and returns nil once it was taken. An
	// error that leaves the Conn alive leaves it with the token before. ctx
	// bounds the wait. It may be called while Send and Receive are under way.
	Renew(ctx context.Context, token auth.Token) error
}

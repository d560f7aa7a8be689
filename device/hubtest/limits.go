package hubtest

import (
	"time"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// The limits of every front, side by side. LIMITS.md names those that
// are this hub's own.

// How long a client may take. The first four are the same over MQTT, AMQP, REST
// and WebSocket. None of them waits for a token to judge.
const (
	// firstPacket is how long a client has until its CONNECT, its OPEN or the
	// end of its request's header, TLS included.
	firstPacket = 30 * time.Second
	// requestBody is how long it has for the body of a request.
	requestBody = 30 * time.Second
	// writeLimit is how long it may leave a piece of what it is sent unread.
	writeLimit = 30 * time.Second
	// linger is how long it has to close a socket that the hub has ended.
	linger = 5 * time.Second
	// maxSilence is the longest silence over MQTT, whatever the keep-alive.
	maxSilence = 1767 * time.Second
	// messageLock is how long a hub waits for PUBACK before it delivers again.
	messageLock = time.Minute
	// httpIdle is how long an HTTP connection may wait for its next request.
	httpIdle = 3 * time.Minute
	// clockSkew is how far a device's clock may be behind or ahead: a token is
	// good for as long after its end.
	clockSkew = 5 * time.Minute
	// defaultResponseTimeout is how long a direct method waits for its answer.
	defaultResponseTimeout = 30 * time.Second
	// maxMethodTimeout is the longest that one may wait. The documentation's
	// limit was 3600 s, and is 300 s in newer pages.
	maxMethodTimeout = time.Hour
)

// How much the hub reads and holds at a time, in bytes unless it says otherwise.
const (
	// maxBody bounds a request's body, as hubproto.MaxPacket does a packet: both
	// halves of a twin, escaped at their worst, stay below.
	maxBody = hubproto.MaxPacket
	// maxHeader bounds a request's header lines together.
	maxHeader = 64 << 10
	// maxQueue bounds what waits for a client that does not read. One that lets
	// it fill is cut.
	maxQueue = 4 << 20
	// maxRESTPiece is the most of an answer that is written at a time.
	maxRESTPiece = 64 << 10
	// maxMessage bounds one WebSocket message to the hub. It is passed on as it
	// comes, so nothing as large is ever held.
	maxMessage = 1 << 20
	// maxPiece is the most that one from the hub holds: a larger packet spans
	// several, as a client must be ready for.
	maxPiece = 4 << 10
	// maxToken, maxAddress and maxRequestID bound what is taken apart or echoed.
	maxToken     = 8 << 10
	maxAddress   = 2 << 10
	maxRequestID = 1 << 10
	// maxEncodings is how often a token's resource may be percent-encoded.
	maxEncodings = 3
	// maxSubscriptions is how many topic filters a device may have at a time.
	maxSubscriptions = 5
)

// What a hub's documentation allows in identities, methods and pages. Package
// section has the limits of twins, package query those of a query's text.
const (
	maxPayload = 128 << 10 // of a method, each way

	// maxEvent bounds the size of a message from a device, and that of a batch.
	maxEvent = 256 << 10
	// maxBatch bounds the messages of a batch.
	maxBatch = 10_000
	// defaultKept and defaultKeptBytes bound the messages of a device that are
	// kept for who reads them.
	defaultKept      = 10_000
	defaultKeptBytes = 8 << 20

	maxPending     = 50       // messages that wait for a device
	maxDevicebound = 64 << 10 // the body of one

	maxListed       = 1000 // identities of GET /devices
	maxStatusReason = 128  // characters, as .NET counts them: UTF-16
	minKeyBytes     = 16
	maxKeyBytes     = 64

	defaultPage = 100  // rows
	maxPage     = 1000 // rows
)

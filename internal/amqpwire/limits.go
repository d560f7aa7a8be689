package amqpwire

import "time"

// What an IoT hub tells its clients, and what bounds the memory of one
// connection.
const (
	// maxFrame is the largest frame taken, and the largest sent.
	maxFrame = 64 << 10
	// maxMessage is the largest message taken or sent, as an IoT hub announces.
	maxMessage = 1 << 20
	// channelMax is the highest channel, as the first generation of IoT hub
	// gateways announces.
	channelMax = 8191
	// handleMax is the highest handle of a session, likewise.
	handleMax = 262143
	// maxLinks bounds the links of all sessions: 1,000 devices with 16 each.
	maxLinks = 16_000
	// maxName is the longest name of a link that is kept, in bytes.
	maxName = 1 << 10
	// window is how many transfers of a session the hub announces to take.
	window = 5000
	// outgoingWindow is what the hub says of its own: without bound.
	outgoingWindow = 1<<32 - 1
	// defaultCredit is what an IoT hub grants a link that sends to it.
	defaultCredit = 1000
	// maxPartial bounds the beginnings of messages whose rest is to come, in
	// bytes over all links: a client may begin one on each.
	maxPartial = 16 << 20
	// maxQueued and maxQueuedBytes bound what waits for a client's credit and
	// settlement: messages on one link, and bytes over all links.
	maxQueued      = 1000
	maxQueuedBytes = 16 << 20
	// maxUnsettled is how many messages a client may leave unsettled in one
	// session before further ones wait. Node's client stops at 2048.
	maxUnsettled = 2048
	// maxWaiting is how many bytes a client may send ahead of an answer to its
	// login.
	maxWaiting = 2 * maxFrame
	// maxTag is the longest delivery tag (AMQP 1.0 part 2, section 2.8.7).
	maxTag = 32
	// minHeartbeat bounds how often a client can make the hub write.
	minHeartbeat = 100 * time.Millisecond
	// defaultIdle is the silence that a hub bears.
	defaultIdle = 4 * time.Minute
)

package amqpwire

// The performatives of connections and sessions (AMQP 1.0 part 2, section
// 2.7). Each is read from a list's fields, and appended with all its fields, as
// a real hub writes them; what nothing here needs is passed over and written
// as null.

// Descriptors.
const (
	descOpen        = 0x10
	descBegin       = 0x11
	descAttach      = 0x12
	descFlow        = 0x13
	descTransfer    = 0x14
	descDisposition = 0x15
	descDetach      = 0x16
	descEnd         = 0x17
	descClose       = 0x18
	descSource      = 0x28
	descTarget      = 0x29
)

// open is the first performative of a connection.
type open struct {
	containerID  string
	hostname     string
	maxFrameSize uint32
	channelMax   uint16
	idleTimeout  uint32 // milliseconds; 0 for none
}

func (p *open) read(f *fields) {
	p.containerID = must(f, "container-id", value.text)
	p.hostname = or(f, "hostname", value.text, "")
	p.maxFrameSize = or(f, "max-frame-size", value.uint, 1<<32-1)
	p.channelMax = or(f, "channel-max", readUshort, 1<<16-1)
	p.idleTimeout = or(f, "idle-time-out", value.uint, 0)
}

func (p *open) append(b []byte) []byte {
	b, at := openDescribed(b, descOpen)
	b = appendString(b, p.containerID)
	b = appendText(b, p.hostname)
	b = appendUint(b, p.maxFrameSize)
	b = appendUshort(b, p.channelMax)
	b = appendUint(b, p.idleTimeout)
	return closeList(appendNulls(b, 5), at, 10)
}

// begin opens a session.
type begin struct {
	remoteChannel  optional[uint16]
	nextOutgoingID uint32
	incomingWindow uint32
	outgoingWindow uint32
	handleMax      uint32
}

func (p *begin) read(f *fields) {
	p.remoteChannel = takeOptional(f, "remote-channel", readUshort)
	p.nextOutgoingID = must(f, "next-outgoing-id", value.uint)
	p.incomingWindow = must(f, "incoming-window", value.uint)
	p.outgoingWindow = must(f, "outgoing-window", value.uint)
	p.handleMax = or(f, "handle-max", value.uint, 1<<32-1)
}

func (p *begin) append(b []byte) []byte {
	b, at := openDescribed(b, descBegin)
	b = appendOptional(b, p.remoteChannel, appendUshort)
	b = appendUint(b, p.nextOutgoingID)
	b = appendUint(b, p.incomingWindow)
	b = appendUint(b, p.outgoingWindow)
	b = appendUint(b, p.handleMax)
	return closeList(appendNulls(b, 3), at, 8)
}

// flow tells windows and credit: of a session and, with a handle, of a link.
type flow struct {
	nextIncomingID optional[uint32]
	incomingWindow uint32
	nextOutgoingID uint32
	outgoingWindow uint32
	handle         optional[uint32]
	deliveryCount  optional[uint32]
	linkCredit     optional[uint32]
	available      optional[uint32]
	drain          optional[bool]
	echo           bool
}

func (p *flow) read(f *fields) {
	p.nextIncomingID = takeOptional(f, "next-incoming-id", value.uint)
	p.incomingWindow = must(f, "incoming-window", value.uint)
	p.nextOutgoingID = must(f, "next-outgoing-id", value.uint)
	p.outgoingWindow = must(f, "outgoing-window", value.uint)
	p.handle = takeOptional(f, "handle", value.uint)
	p.deliveryCount = takeOptional(f, "delivery-count", value.uint)
	p.linkCredit = takeOptional(f, "link-credit", value.uint)
	p.available = takeOptional(f, "available", value.uint)
	p.drain = takeOptional(f, "drain", value.boolean)
	p.echo = or(f, "echo", value.boolean, false)
}

func (p *flow) append(b []byte) []byte {
	b, at := openDescribed(b, descFlow)
	b = appendOptional(b, p.nextIncomingID, appendUint)
	b = appendUint(b, p.incomingWindow)
	b = appendUint(b, p.nextOutgoingID)
	b = appendUint(b, p.outgoingWindow)
	b = appendOptional(b, p.handle, appendUint)
	b = appendOptional(b, p.deliveryCount, appendUint)
	b = appendOptional(b, p.linkCredit, appendUint)
	b = appendOptional(b, p.available, appendUint)
	b = appendOptional(b, p.drain, appendBool)
	b = appendBool(b, p.echo)
	return closeList(appendNulls(b, 1), at, 11)
}

// ended is the one field of end and close.
type ended struct {
	descriptor byte // descEnd or descClose
	err        *Error
}

func (p *ended) read(f *fields) { p.err = takeError(f, "error") }

func (p *ended) append(b []byte) []byte {
	if p.err == nil {
		return append(b, codeDescribed, codeSmallUlong, p.descriptor, codeList0)
	}
	b, at := openDescribed(b, p.descriptor)
	return closeList(appendError(b, p.err), at, 1)
}

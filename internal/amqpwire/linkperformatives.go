package amqpwire

// The performatives of links (AMQP 1.0 part 2, section 2.7).

// attach opens a link.
type attach struct {
	name           string
	handle         uint32
	role           Role
	sndSettleMode  optional[byte]
	rcvSettleMode  optional[byte]
	source, target terminus
	deliveryCount  optional[uint32] // the initial one, of a sender
	maxMessageSize uint64           // 0 for no limit
	properties     []byte           // a map as it was written, well formed; nil for none
}

func (p *attach) read(f *fields) {
	p.name = must(f, "name", value.text)
	p.handle = must(f, "handle", value.uint)
	p.role = Role(must(f, "role", value.boolean))
	p.sndSettleMode = takeOptional(f, "snd-settle-mode", readUbyte)
	p.rcvSettleMode = takeOptional(f, "rcv-settle-mode", readUbyte)
	p.source = takeTerminus(f, "source")
	p.target = takeTerminus(f, "target")
	f.skip(2) // unsettled, incomplete-unsettled
	p.deliveryCount = takeOptional(f, "initial-delivery-count", value.uint)
	p.maxMessageSize = or(f, "max-message-size", value.ulong, 0)
	f.skip(2) // offered and desired capabilities
	v, raw, present := f.next("properties")
	switch {
	case !present:
	case v.code != codeMap8 && v.code != codeMap32 || !wellFormed(raw):
		f.fail("properties", "are no map")
	default:
		p.properties = raw
	}
}

func (p *attach) append(b []byte) []byte {
	b, at := openDescribed(b, descAttach)
	b = appendString(b, p.name)
	b = appendUint(b, p.handle)
	b = appendBool(b, bool(p.role))
	b = appendOptional(b, p.sndSettleMode, appendUbyte)
	b = appendOptional(b, p.rcvSettleMode, appendUbyte)
	b = p.source.append(b, descSource, 11)
	b = p.target.append(b, descTarget, 7)
	b = appendNulls(b, 2)
	b = appendOptional(b, p.deliveryCount, appendUint)
	if p.maxMessageSize == 0 {
		b = appendNulls(b, 1)
	} else {
		b = appendUlong(b, p.maxMessageSize)
	}
	b = appendNulls(b, 2)
	if p.properties == nil {
		b = appendNulls(b, 1)
	} else {
		b = append(b, p.properties...)
	}
	return closeList(b, at, 14)
}

// A terminus is a source or a target: of its fields only the address.
type terminus struct {
	present bool   // false for null, which says that there is none
	address string // empty for none
}

func takeTerminus(f *fields, name string) terminus {
	v, _, present := f.next(name)
	if !present {
		return terminus{}
	}
	list, ok := v.list()
	if !ok || !v.described {
		f.fail(name, "is no terminus")
		return terminus{}
	}
	if v.descriptor != descSource && v.descriptor != descTarget {
		return terminus{present: true} // a coordinator: nothing of ours
	}
	t := terminus{present: true, address: or(&list, "address", value.text, "")}
	if list.wrong != "" {
		f.fail(name, "whose "+list.wrong)
		return terminus{}
	}
	return t
}

func (t terminus) append(b []byte, descriptor byte, count int) []byte {
	if !t.present {
		return append(b, codeNull)
	}
	b, at := openDescribed(b, descriptor)
	b = appendText(b, t.address)
	return closeList(appendNulls(b, count-1), at, count)
}

// transfer carries a message or a part of one.
type transfer struct {
	handle     uint32
	deliveryID optional[uint32] // of the first part, as the next three
	tag        []byte           // nil for none; shares memory when read
	format     optional[uint32]
	settled    optional[bool]
	more       bool
	resume     bool
	aborted    bool
}

func (p *transfer) read(f *fields) {
	p.handle = must(f, "handle", value.uint)
	p.deliveryID = takeOptional(f, "delivery-id", value.uint)
	p.tag, _ = take(f, "delivery-tag", value.binary)
	p.format = takeOptional(f, "message-format", value.uint)
	p.settled = takeOptional(f, "settled", value.boolean)
	p.more = or(f, "more", value.boolean, false)
	f.skip(2) // rcv-settle-mode, state
	p.resume = or(f, "resume", value.boolean, false)
	p.aborted = or(f, "aborted", value.boolean, false)
}

func (p *transfer) append(b []byte) []byte {
	b, at := openDescribed(b, descTransfer)
	b = appendUint(b, p.handle)
	b = appendOptional(b, p.deliveryID, appendUint)
	if p.tag == nil {
		b = appendNulls(b, 1)
	} else {
		b = appendBinary(b, p.tag)
	}
	b = appendOptional(b, p.format, appendUint)
	b = appendOptional(b, p.settled, appendBool)
	b = appendBool(b, p.more)
	b = appendNulls(b, 2)
	b = appendTrueOrNull(b, p.resume)
	b = appendTrueOrNull(b, p.aborted)
	return closeList(appendBool(b, false), at, 11) // batchable
}

func appendTrueOrNull(b []byte, set bool) []byte {
	if set {
		return append(b, codeTrue)
	}
	return append(b, codeNull)
}

// disposition tells how messages ended.
type disposition struct {
	role    Role // of who says it, towards the messages
	first   uint32
	last    optional[uint32] // absent: first
	settled bool
	outcome Outcome
	final   bool // outcome is set
}

func (p *disposition) read(f *fields) {
	p.role = Role(must(f, "role", value.boolean))
	p.first = must(f, "first", value.uint)
	p.last = takeOptional(f, "last", value.uint)
	p.settled = or(f, "settled", value.boolean, false)
	p.outcome, p.final = takeOutcome(f, "state")
}

func (p *disposition) append(b []byte) []byte {
	b, at := openDescribed(b, descDisposition)
	b = appendBool(b, bool(p.role))
	b = appendUint(b, p.first)
	b = appendOptional(b, p.last, appendUint)
	b = appendBool(b, p.settled)
	if p.final {
		b = appendOutcome(b, p.outcome)
	} else {
		b = appendNulls(b, 1)
	}
	return closeList(appendNulls(b, 1), at, 6) // batchable
}

// detach ends a link.
type detach struct {
	handle uint32
	closed bool
	err    *Error
}

func (p *detach) read(f *fields) {
	p.handle = must(f, "handle", value.uint)
	p.closed = or(f, "closed", value.boolean, false)
	p.err = takeError(f, "error")
}

func (p *detach) append(b []byte) []byte {
	b, at := openDescribed(b, descDetach)
	b = appendUint(b, p.handle)
	b = appendBool(b, p.closed)
	return closeList(appendError(b, p.err), at, 3)
}

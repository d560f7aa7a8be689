package amqpwire

import "fmt"

// A Frame is a frame that Inspect has found sound. It shares the memory it was
// read from.
type Frame struct {
	Channel uint16
	// Kind is the performative, KindNone for a heartbeat.
	Kind Kind

	fields  fields
	payload []byte // of a transfer
}

// A Kind is a performative that Inspect knows, by its descriptor.
type Kind byte

// The kinds.
const (
	KindNone        Kind = 0
	KindOpen        Kind = descOpen
	KindBegin       Kind = descBegin
	KindAttach      Kind = descAttach
	KindFlow        Kind = descFlow
	KindTransfer    Kind = descTransfer
	KindDisposition Kind = descDisposition
	KindDetach      Kind = descDetach
	KindEnd         Kind = descEnd
	KindClose       Kind = descClose
	KindOther       Kind = 0xff
)

// Inspect reads the frame that b begins with, and returns how many bytes it
// has, 0 when b does not hold all of it yet.
//
// It refuses with ErrProtocol a frame over 64 KB, values that do not
// hold what they announce or are nested deeper than 8, and keys of maps that
// are not plain. The fields and the payload of a transfer are not looked at.
func Inspect(b []byte) (f Frame, n int, err error) { return inspect(b, maxFrame) }

// inspect is Inspect with another bound.
func inspect(b []byte, bound int) (f Frame, n int, err error) {
	raw, n, err := consumeFrame(b, bound)
	if err != nil || n == 0 {
		return Frame{}, 0, err
	}
	f.Channel = raw.channel
	if raw.kind != frameAMQP {
		return Frame{}, 0, fmt.Errorf("%w: a frame of type %d", ErrProtocol, raw.kind)
	}
	if len(raw.body) == 0 {
		return f, n, nil
	}
	code, fields, payload, err := consumePerformative(raw.body)
	if err != nil {
		return Frame{}, 0, err
	}
	if !wellFormed(raw.body[:len(raw.body)-len(payload)]) {
		return Frame{}, 0, fmt.Errorf("%w: performative %#x does not hold what it announces, or is nested deeper than %d", ErrProtocol, code, maxDepth)
	}
	f.Kind, f.fields, f.payload = KindOther, fields, payload
	if code >= descOpen && code <= descClose {
		f.Kind = Kind(code)
	}
	return f, n, nil
}

// read reads the fields of a performative.
func (f *Frame) read(p interface{ read(*fields) }) error {
	p.read(&f.fields)
	if f.fields.wrong != "" {
		return fmt.Errorf("%w: performative %#x: %s", ErrProtocol, byte(f.Kind), f.fields.wrong)
	}
	return nil
}

// appendFrame appends a frame of a performative and a payload.
func appendFrame(dst []byte, channel uint16, p performative, payload []byte) []byte {
	dst, at := openFrame(dst, frameAMQP, channel)
	return closeFrame(append(p.append(dst), payload...), at)
}

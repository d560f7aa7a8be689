package amqpwire

import (
	"fmt"

	"github.com/Azure/go-amqp"
)

// What a message consists of is go-amqp's. Its Go types stand for AMQP's: an
// int32 is an int and an int64 a long (a twin's status and version), a string
// that is a key of annotations is a symbol.
type (
	// A Message is a message with its sections decoded.
	Message = amqp.Message
	// MessageProperties are a message's standard properties. The types of
	// MessageID and CorrelationID survive decoding and encoding: uint64, UUID,
	// []byte or string.
	MessageProperties = amqp.MessageProperties
	// Annotations are what message annotations hold.
	Annotations = amqp.Annotations
	// A UUID is an AMQP uuid.
	UUID = amqp.UUID
)

// Sections of a message (AMQP 1.0 part 3, section 3.2).
const (
	descHeader                = 0x70
	descDeliveryAnnotations   = 0x71
	descMessageAnnotations    = 0x72
	descProperties            = 0x73
	descApplicationProperties = 0x74
	descData                  = 0x75
	descSequence              = 0x76
	descValue                 = 0x77
	descFooter                = 0x78
)

// DecodeMessage decodes a message, such as a Delivery's payload. The message
// shares no memory with b.
//
// It refuses with ErrMessage sections out of order, values that do not hold
// what they announce, are nested deeper than 8, or are of types that go-amqp
// does not decode (char, decimals, arrays of arrays). go-amqp sees bytes only
// after they passed: it recurses as deep as its input says, and an annotation
// under a described key makes it panic.
func DecodeMessage(b []byte) (*Message, error) {
	if err := checkSections(b); err != nil {
		return nil, err
	}
	m := &Message{}
	if err := m.UnmarshalBinary(b); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMessage, err)
	}
	return m, nil
}

// EncodeMessage encodes a message for Link.Send. It fails for Go values that
// have no AMQP type.
func EncodeMessage(m *Message) ([]byte, error) {
	b, err := m.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode AMQP message: %w", err)
	}
	return b, nil
}

// checkSections checks the bytes of a message, section by section.
func checkSections(b []byte) error {
	last := uint64(0)
	for len(b) > 0 {
		v, n := consumeValue(b)
		switch {
		case n == 0:
			return fmt.Errorf("%w: a section is cut short", ErrMessage)
		case !v.described || v.descriptor < descHeader || v.descriptor > descFooter:
			return fmt.Errorf("%w: no section of a message where one is to begin", ErrMessage)
		case !follows(v.descriptor, last):
			return fmt.Errorf("%w: section %#x after section %#x", ErrMessage, v.descriptor, last)
		case !sectionHolds(v):
			return fmt.Errorf("%w: section %#x is of another type", ErrMessage, v.descriptor)
		case !wellFormed(b[:n]):
			return fmt.Errorf("%w: section %#x does not hold what it announces, or is nested deeper than %d", ErrMessage, v.descriptor, maxDepth)
		}
		last, b = v.descriptor, b[n:]
	}
	return nil
}

// follows reports whether a section may stand behind the one before it. Of the
// three kinds of body there is one; data and sequences may repeat.
func follows(section, last uint64) bool {
	switch last {
	case descData, descSequence:
		return section == last || section == descFooter
	}
	return section > last
}

// sectionHolds reports whether a section's value is of the section's type.
func sectionHolds(v value) bool {
	switch v.descriptor {
	case descHeader, descProperties, descSequence:
		_, ok := v.list()
		return ok
	case descData:
		_, ok := v.binary()
		return ok
	case descValue:
		return true
	}
	return v.code == codeMap8 || v.code == codeMap32
}

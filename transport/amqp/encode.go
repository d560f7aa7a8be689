package amqp

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/devicetwin/devicetwin-go/transport"
)

// Types of AMQP, each with sizes of one byte, and of four.
const (
	typeNull                 = 0x40
	typeBinary8, typeBinary  = 0xa0, 0xb0
	typeString8, typeString  = 0xa1, 0xb1
	typeSymbol8, typeSymbol  = 0xa3, 0xb3
	typeList8, typeList      = 0xc0, 0xd0
	typeMap8, typeMap        = 0xc1, 0xd1
	sectionNotes, sectionApp = 0x72, 0x74
	sectionData              = 0x75
	sectionProperties        = 0x73
)

// appendEvent appends a message as a batch holds it. It is the same bytes each
// time, and shorter than go-amqp's.
func appendEvent(b []byte, m *transport.Message) []byte {
	if m.Component != "" {
		note := appendText(appendText(nil, typeSymbol8, typeSymbol, noteComponent), typeString8, typeString, m.Component)
		b = appendCompound(appendSection(b, sectionNotes), typeMap8, typeMap, 2, note)
	}
	var list []byte
	fields := 0
	for i, f := range [...]string{0: m.ID, 5: m.CorrelationID, 6: m.ContentType, 7: m.ContentEncoding} {
		if f == "" {
			continue
		}
		for ; fields < i; fields++ {
			list = append(list, typeNull)
		}
		if fields++; i < 6 {
			list = appendText(list, typeString8, typeString, f)
		} else {
			list = appendText(list, typeSymbol8, typeSymbol, f)
		}
	}
	if fields > 0 {
		b = appendCompound(appendSection(b, sectionProperties), typeList8, typeList, fields, list)
	}
	if pairs := applicationProperties(m, propertyCreatedInBatch); len(pairs) > 0 {
		list = list[:0]
		for _, name := range slices.Sorted(maps.Keys(pairs)) {
			list = appendText(appendText(list, typeString8, typeString, name), typeString8, typeString, pairs[name].(string))
		}
		b = appendCompound(appendSection(b, sectionApp), typeMap8, typeMap, 2*len(pairs), list)
	}
	return appendText(appendSection(b, sectionData), typeBinary8, typeBinary, m.Body)
}

func appendSection(b []byte, section byte) []byte { return append(b, 0, 0x53, section) }

// appendText appends a string, a symbol or a binary.
func appendText[T string | []byte](b []byte, short, long byte, s T) []byte {
	if len(s) <= 0xff {
		b = append(b, short, byte(len(s)))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, long), uint32(len(s)))
	}
	return append(b, s...)
}

// appendCompound appends a list or a map with its content.
func appendCompound(b []byte, short, long byte, count int, content []byte) []byte {
	if len(content) < 0xff && count <= 0xff {
		b = append(b, short, byte(len(content)+1), byte(count))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, long), uint32(len(content)+4))
		b = binary.BigEndian.AppendUint32(b, uint32(count))
	}
	return append(b, content...)
}

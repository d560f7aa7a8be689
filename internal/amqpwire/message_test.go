package amqpwire

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const twinID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

// samples are messages as they were seen: of rhea, with its empty header and
// wide forms, and of a real hub.
func samples() []struct {
	name string
	in   string
	want *Message
} {
	text := func(s string) *string { return &s }
	return []struct {
		name string
		in   string
		want *Message
	}{
		{
			"rhea's GET", `005370 45 005372 d1 00000014 00000002 a309 "operation" a103 "GET" 005373 d0 0000002f 00000006 4040404040 a124 "` + twinID + `" 005375 a00120`,
			&Message{
				Header: nil, Annotations: Annotations{"operation": "GET"},
				Properties: &MessageProperties{CorrelationID: twinID}, Data: [][]byte{{0x20}},
			},
		},
		{
			"a hub's CBS reply", `005373c00e0d 4040404040 44 40404040404040 005374c12b04 a10b "status-code" 71000000c8 a112 "status-description" a1024f4b`,
			&Message{
				Properties:            &MessageProperties{CorrelationID: uint64(0)},
				ApplicationProperties: map[string]any{"status-code": int32(200), "status-description": "OK"},
			},
		},
		{
			"a hub's GET reply", `005372c10e02 a306 "status" 71000000c8 005373c0340d 40404040 a100 a124 "` + twinID + `" 40404040404040 005375 a002 "{}"`,
			&Message{
				Annotations: Annotations{"status": int32(200)},
				Properties:  &MessageProperties{CorrelationID: twinID, ReplyTo: text("")}, Data: [][]byte{[]byte("{}")},
			},
		},
		{
			"a hub's PUT reply, without body", `005372c10e02 a306 "status" 71000000c8 005373c0330d 4040404040 a124 "` + twinID + `" 40404040404040`,
			&Message{Annotations: Annotations{"status": int32(200)}, Properties: &MessageProperties{CorrelationID: twinID}},
		},
		{
			"a put-token with a UUID", `005373 c02006 98 "0123456789abcdef" 40 a104 "$cbs" 40 a103 "cbs" 40 005374 c10f02 a104 "name" a106 "h/d/d1" 005377 a105 "token"`,
			&Message{
				Properties:            &MessageProperties{MessageID: UUID([]byte("0123456789abcdef")), To: text("$cbs"), ReplyTo: text("cbs")},
				ApplicationProperties: map[string]any{"name": "h/d/d1"}, Value: "token",
			},
		},
		{"no section", "", &Message{}},
	}
}

func TestDecodeMessage(t *testing.T) {
	for _, tt := range samples() {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeMessage(unhex(t, tt.in))
			if err != nil {
				t.Fatalf("got error %v", err)
			}
			got.Header = nil
			if !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got %+v, want %+v", got, tt.want)
			}
			b, err := EncodeMessage(got)
			if err != nil {
				t.Fatalf("encode: got error %v", err)
			}
			if again, err := DecodeMessage(b); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("encoded and decoded: got %+v, %v; want %+v", again, err, got)
			}
		})
	}
}

// TestMessagePrefixes cuts each sample at every byte. What is left must be
// refused, or end where a section ends.
func TestMessagePrefixes(t *testing.T) {
	for _, tt := range samples() {
		whole := unhex(t, tt.in)
		ends := map[int]bool{}
		for at := 0; at < len(whole); {
			ends[at] = true
			_, n := consumeValue(whole[at:])
			if n == 0 {
				t.Fatalf("%s: no section at %d", tt.name, at)
			}
			at += n
		}
		for cut := range whole {
			if _, err := DecodeMessage(whole[:cut]); (err == nil) != ends[cut] || err != nil && !errors.Is(err, ErrMessage) {
				t.Errorf("%s cut to %d bytes: got error %v; want %v unless a section ends there", tt.name, cut, err, ErrMessage)
			}
		}
	}
}

func TestWrongMessages(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"a bare value":                          {"a10161", "no section"},
		"a symbolic descriptor":                 {`00a30161 45`, "no section"},
		"a descriptor that is no section":       {"005324 45", "no section"},
		"a section twice":                       {"005372c10100 005372c10100", "after section"},
		"a section behind a later one":          {"005373 45 005372c10100", "after section"},
		"two bodies":                            {"005375a000 00537740", "after section"},
		"two values":                            {"00537740 00537740", "after section"},
		"annotations that are a list":           {"005372 45", "another type"},
		"properties that are a map":             {"005373 c10100", "another type"},
		"data that are a text":                  {"005375 a10161", "another type"},
		"a map of an odd count":                 {"005372 c10301 a30161", "does not hold"},
		"a map that announces too much":         {"005372 c104ff a30161 40", "does not hold"},
		"a map with bytes to spare":             {"005372 c10602 a30161 40 4040", "does not hold"},
		"a list of a billion nothings":          {"005376 d0 00000004 3b9aca00", "does not hold"},
		"an array of a billion nothings":        {"005377 f0 00000005 3b9aca00 40", "does not hold"},
		"an array of described elements":        {"005377 e0 05 01 00 5377 a1", "does not hold"},
		"an array of lists":                     {"005377 e0 04 01 c0 01 00", "does not hold"},
		"an array of numbers that is too long":  {"005377 e0 04 01 50 01 02", "does not hold"},
		"an array of texts that is cut":         {"005377 e0 04 01 a1 05 61", "does not hold"},
		"an array without constructor":          {"005377 e0 01 00", "does not hold"},
		"annotations under a key of null":       {"005372 c10302 40 40", "does not hold"},
		"annotations under a described key":     {"005372 c10f02 00 8000000000000f8201 a00161 40", "does not hold"},
		"annotations under a key that is a map": {"005372 c10502 c10100 40", "does not hold"},
		"annotations under binary":              {"005372 c10502 a00161 40", "does not hold"},
		"a value nested too deep":               {"005377" + nest(9), "nested deeper"},
		"a value that go-amqp does not know":    {"005377 7300000041", "malformed AMQP message: char"},
		"header fields beyond the last":         {"005370 c00706 404040404040", "invalid field count"},
	}
	for name, tt := range tests {
		if m, err := DecodeMessage(unhex(t, tt.in)); !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %+v and error %v; want %q in an error", name, m, err, tt.want)
		}
	}
	if _, err := DecodeMessage(unhex(t, "005377"+nest(8))); err != nil {
		t.Errorf("a value nested as deep as may be: got error %v", err)
	}
	if _, err := DecodeMessage(unhex(t, "005377 e005 03 50 010203 ")); err != nil {
		t.Errorf("an array of numbers: got error %v", err)
	}
	if _, err := EncodeMessage(&Message{Value: struct{}{}}); err == nil {
		t.Error("encode a Go struct: got no error")
	}
}

// nest is depth lists in one another.
func nest(depth int) string {
	if depth == 1 {
		return "c00100"
	}
	inner := nest(depth - 1)
	size := len(strings.ReplaceAll(inner, " ", "")) / 2
	const digits = "0123456789abcdef"
	size++
	return "c0" + string([]byte{digits[size>>4], digits[size&15]}) + "01" + inner
}

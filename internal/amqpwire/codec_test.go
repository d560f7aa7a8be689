package amqpwire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// unhex reads hexadecimal digits; spaces are for the eye, and what stands in
// quotes is text.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var b []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			b = append(b, part...)
			continue
		}
		x, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatalf("%q: %v", part, err)
		}
		b = append(b, x...)
	}
	return b
}

const (
	nulls6  = "404040404040"
	nulls10 = "40404040404040404040"
)

// A readable is a performative that tests read back.
type readable interface {
	performative
	read(*fields)
}

// goldens are frames of a real hub, byte for byte. (Captures of the first
// generation of gateways, from the fuzzing corpus of Microsoft's C SDK.)
func goldens() []struct {
	name  string
	frame string
	want  readable
} {
	return []struct {
		name  string
		frame string
		want  readable
	}{
		{
			"OPEN", `0000005b02000000 005310 c04e0a a12e "DeviceGateway_0123456789abcdef0123456789abcdef" a109 "localhost" 7000010000 601fff 700003a980 4040404040`,
			&open{containerID: "DeviceGateway_0123456789abcdef0123456789abcdef", hostname: "localhost", maxFrameSize: 65536, channelMax: 8191, idleTimeout: 240000},
		},
		{
			"BEGIN", `0000002502000000 005311 c01808 600000 5201 7000001388 70ffffffff 700003ffff 404040`,
			&begin{remoteChannel: some[uint16](0), nextOutgoingID: 1, incomingWindow: 5000, outgoingWindow: 1<<32 - 1, handleMax: 262143},
		},
		{
			"FLOW for $cbs", `0000002302000000 005313 c0160b 43 7000001388 5201 70ffffffff 43 43 5264 43 40 42 40`,
			&flow{
				nextIncomingID: some[uint32](0), incomingWindow: 5000, nextOutgoingID: 1, outgoingWindow: 1<<32 - 1,
				handle: some[uint32](0), deliveryCount: some[uint32](0), linkCredit: some[uint32](100), available: some[uint32](0),
			},
		},
		{
			"FLOW for another link", `0000002802000000 005313 c01b0b 5201 7000001388 5202 70ffffffff 5202 43 70000003e8 43 40 42 40`,
			&flow{
				nextIncomingID: some[uint32](1), incomingWindow: 5000, nextOutgoingID: 2, outgoingWindow: 1<<32 - 1,
				handle: some[uint32](2), deliveryCount: some[uint32](0), linkCredit: some[uint32](1000), available: some[uint32](0),
			},
		},
		{
			"ATTACH", `0000005802000000 005312 c04b0e a10b "$cbs-sender" 43 41 5000 5000 005328 c0110b a104 "$cbs" ` + nulls10 +
				` 005329 c00d07 a104 "$cbs" ` + nulls6 + ` 40 40 40 800000000000100000 40 40 40`,
			&attach{
				name: "$cbs-sender", role: Receiver, sndSettleMode: some[byte](0), rcvSettleMode: some[byte](0),
				source: terminus{true, "$cbs"}, target: terminus{true, "$cbs"}, maxMessageSize: 1 << 20,
			},
		},
		{
			"DISPOSITION", `0000001702000000 005315 c00a06 41 43 40 41 00532445 40`,
			&disposition{role: Receiver, settled: true, outcome: Outcome{State: Accepted}, final: true},
		},
		{
			"TRANSFER without its payload", `0000001f02000000 005314 c0120b 5201 43 a00401000000 43 40 42 40404040 42`,
			&transfer{handle: 1, deliveryID: some[uint32](0), tag: []byte{1, 0, 0, 0}, format: some[uint32](0)},
		},
		{
			"TRANSFER that is settled", `0000002c02000000 005314 c01f0b 5205 5201 a010 "0123456789abcdef" 43 41 42 40404040 42`,
			&transfer{handle: 5, deliveryID: some[uint32](1), tag: []byte("0123456789abcdef"), format: some[uint32](0), settled: some(true)},
		},
	}
}

func readFrame(t testing.TB, b []byte) (readable, error) {
	t.Helper()
	f, n, err := consumeFrame(b, maxFrame)
	if err != nil || n != len(b) {
		t.Fatalf("got %d bytes and error %v; want a frame of %d", n, err, len(b))
	}
	code, fs, _, err := consumePerformative(f.body)
	if err != nil {
		return nil, err
	}
	p := newPerformative(code)
	if p == nil {
		t.Fatalf("no performative %#x", code)
	}
	p.read(&fs)
	if fs.wrong != "" {
		return nil, errors.New(fs.wrong)
	}
	return p, nil
}

func newPerformative(code uint64) readable {
	switch code {
	case descOpen:
		return &open{}
	case descBegin:
		return &begin{}
	case descAttach:
		return &attach{}
	case descFlow:
		return &flow{}
	case descTransfer:
		return &transfer{}
	case descDisposition:
		return &disposition{}
	case descDetach:
		return &detach{}
	case descEnd, descClose:
		return &ended{descriptor: byte(code)}
	}
	return nil
}

func writeFrame(p performative) []byte {
	b, at := openFrame(nil, frameAMQP, 0)
	return closeFrame(p.append(b), at)
}

func TestGoldenFrames(t *testing.T) {
	for _, tt := range goldens() {
		t.Run(tt.name, func(t *testing.T) {
			golden := unhex(t, tt.frame)
			got, err := readFrame(t, golden)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("read: got %+v, %v; want %+v", got, err, tt.want)
			}
			if got := writeFrame(tt.want); !bytes.Equal(got, golden) {
				t.Errorf("written:\ngot  %x\nwant %x", got, golden)
			}
		})
	}
}

// TestGoldenLogin is the two SASL frames of a real hub.
func TestGoldenLogin(t *testing.T) {
	got := appendMechanisms(nil, mechanisms())
	if want := unhex(t, `0000003f02010000 005340 c03201 e02f04b3 00000008 "EXTERNAL" 00000007 "MSSBCBS" 00000009 "ANONYMOUS" 00000005 "PLAIN"`); !bytes.Equal(got, want) {
		t.Errorf("mechanisms:\ngot  %x\nwant %x", got, want)
	}
	got = appendOutcomeOfLogin(nil, saslOK, "Welcome!")
	if want := unhex(t, `0000001a02010000 005344 c00d02 5000 a008 "Welcome!"`); !bytes.Equal(got, want) {
		t.Errorf("outcome:\ngot  %x\nwant %x", got, want)
	}
}

// performativeOf is the body of a frame with a described list of the narrow
// form, whose sizes it counts.
func performativeOf(t testing.TB, descriptor byte, count int, items string) []byte {
	t.Helper()
	b := unhex(t, items)
	return append([]byte{codeDescribed, codeSmallUlong, descriptor, codeList8, byte(len(b) + 1), byte(count)}, b...)
}

// framed puts a frame around a body.
func framed(channel uint16, body []byte) []byte {
	b, at := openFrame(nil, frameAMQP, channel)
	return closeFrame(append(b, body...), at)
}

const accepted = "00532445"

// TestClientFrames reads what clients write and a hub does not: rhea's wide
// lists, lists cut at their last field, fields beyond the last.
func TestClientFrames(t *testing.T) {
	const uuid = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	list := func(descriptor byte, count int, items string) []byte {
		return performativeOf(t, descriptor, count, items)
	}
	tests := []struct {
		name string
		body []byte
		want readable
	}{
		{
			"rhea's OPEN", unhex(t, `005310 d0 00000035 00000002 a124 "`+uuid+`" a109 "localhost"`),
			&open{containerID: uuid, hostname: "localhost", maxFrameSize: 1<<32 - 1, channelMax: 65535},
		},
		{
			"rhea's BEGIN", unhex(t, `005311 d0 00000010 00000004 40 43 70 00000800 70 ffffffff`),
			&begin{incomingWindow: 2048, outgoingWindow: 1<<32 - 1, handleMax: 1<<32 - 1},
		},
		{
			"rhea's FLOW", unhex(t, `005313 d0 0000001a 00000007 52 01 70 00000800 52 02 70 fffffffd 52 03 43 70 000003e8`),
			&flow{
				nextIncomingID: some[uint32](1), incomingWindow: 2048, nextOutgoingID: 2, outgoingWindow: 0xfffffffd,
				handle: some[uint32](3), deliveryCount: some[uint32](0), linkCredit: some[uint32](1000),
			},
		},
		{
			"rhea's TRANSFER", unhex(t, `005314 d0 0000000e 00000006 52 02 52 01 a0 01 30 43 41 42`),
			&transfer{handle: 2, deliveryID: some[uint32](1), tag: []byte("0"), format: some[uint32](0), settled: some(true)},
		},
		{
			"rhea's DISPOSITION", unhex(t, `005315 d0 0000000c 00000005 41 43 43 41 `+accepted),
			&disposition{role: Receiver, last: some[uint32](0), settled: true, outcome: Outcome{State: Accepted}, final: true},
		},
		{
			"an ATTACH by go-amqp, cut behind the target", list(descAttach, 7, `a101 "l" 43 42 40 40 00532845 005329 c00401 a101 "t"`),
			&attach{name: "l", source: terminus{present: true}, target: terminus{true, "t"}},
		},
		{
			"an ATTACH to a coordinator", list(descAttach, 7, `a101 "l" 43 42 40 40 00532845 005330 c00401 a301 "x"`),
			&attach{name: "l", source: terminus{present: true}, target: terminus{present: true}},
		},
		{
			"an ATTACH with properties", list(descAttach, 14, `a101 "l" 43 41 5001 5000 40 40 40 40 40 40 40 40 c10702 a301 "k" a101 "v"`),
			&attach{
				name: "l", role: Receiver, sndSettleMode: some[byte](1), rcvSettleMode: some[byte](0),
				properties: unhex(t, `c10702 a301 "k" a101 "v"`),
			},
		},
		{"a DETACH cut behind its handle", list(descDetach, 1, "5207"), &detach{handle: 7}},
		{
			"a DETACH with an error", list(descDetach, 3, `5202 41 00531d c00902 a301 "c" a103 "why"`),
			&detach{handle: 2, closed: true, err: &Error{"c", "why"}},
		},
		{"a boolean of one byte", list(descDetach, 2, "5207 5601"), &detach{handle: 7, closed: true}},
		{"an empty END", unhex(t, "005317 45"), &ended{descriptor: descEnd}},
		{"a CLOSE with more than its field", list(descClose, 3, "40 43 43"), &ended{descriptor: descClose}},
		{"a descriptor of eight bytes", unhex(t, "00 800000000000000017 45"), &ended{descriptor: descEnd}},
		{
			"a DISPOSITION that rejects", list(descDisposition, 5, `41 5207 5209 41 005325 c00a01 00531d c00401 a301 "c"`),
			&disposition{
				role: Receiver, first: 7, last: some[uint32](9), settled: true,
				outcome: Outcome{State: Rejected, Error: &Error{Condition: "c"}}, final: true,
			},
		},
		{
			"a DISPOSITION on the way", list(descDisposition, 5, `41 43 40 42 005323 c00302 43 44`),
			&disposition{role: Receiver},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readFrame(t, framed(0, tt.body))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
			}
			again, err := readFrame(t, writeFrame(got))
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("written and read: got %+v, %v; want %+v", again, err, got)
			}
		})
	}
}

// TestWrongPerformatives must be refused, each for its own reason.
func TestWrongPerformatives(t *testing.T) {
	tests := []struct {
		name       string
		descriptor byte
		count      int
		items      string
		want       string
	}{
		{"no container", descOpen, 0, "", "container-id is missing"},
		{"a container that is null", descOpen, 1, "40", "container-id is missing"},
		{"a container that is a number", descOpen, 1, "43", "container-id is of another type"},
		{"a container that is not UTF-8", descOpen, 1, "a101ff", "container-id is of another type"},
		{"a container that is described", descOpen, 1, `005377 a101 "c"`, "container-id is of another type"},
		{"fewer fields than announced", descOpen, 3, `a101 "c" 40`, "max-frame-size is cut short or no AMQP value"},
		{"a field that reaches past the list", descOpen, 2, `a101 "c" a1ff "h"`, "hostname is cut short or no AMQP value"},
		{"a constructor that is none", descOpen, 2, `a101 "c" 3f`, "hostname is cut short or no AMQP value"},
		{"a channel-max that is a uint", descOpen, 4, `a101 "c" 40 40 5207`, "channel-max is of another type"},
		{"no window", descBegin, 2, "40 43", "incoming-window is missing"},
		{"an ATTACH without role", descAttach, 2, `a101 "l" 43`, "role is missing"},
		{"a settle mode that is a uint", descAttach, 4, `a101 "l" 43 41 43`, "snd-settle-mode is of another type"},
		{"a source that is a text", descAttach, 6, `a101 "l" 43 41 40 40 a101 "s"`, "source is no terminus"},
		{"a source whose address is a number", descAttach, 6, `a101 "l" 43 41 40 40 005328 c00201 43`, "source whose address is of another type"},
		{"properties that are a list", descAttach, 14, `a101 "l" 43 41 ` + nulls10 + ` 45`, "properties are no map"},
		{"properties that lie about their items", descAttach, 14, `a101 "l" 43 41 ` + nulls10 + ` c10404 a301 "k"`, "properties are no map"},
		{"a boolean of neither value", descDetach, 2, "43 5602", "closed is of another type"},
		{"an error that is a text", descEnd, 1, `a101 "e"`, "error is no error"},
		{"an error without condition", descEnd, 1, "00531d 45", "error whose condition is missing"},
		{"a state that is a number", descDisposition, 5, "41 43 40 41 43", "state is no delivery state"},
		{"a rejection whose error is none", descDisposition, 5, "41 43 40 41 005325 c00201 43", "state whose error is no error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readFrame(t, framed(0, performativeOf(t, tt.descriptor, tt.count, tt.items)))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %+v and error %v; want the error %q", got, err, tt.want)
			}
		})
	}
}

// TestPrefixes cuts every golden frame at every byte. A frame that is cut is
// waited for; one whose size agrees with the cut is refused, or is one whose
// last fields are absent.
func TestPrefixes(t *testing.T) {
	for _, tt := range goldens() {
		whole := unhex(t, tt.frame)
		for cut := range whole {
			if _, n, err := consumeFrame(whole[:cut], maxFrame); n != 0 || err != nil {
				t.Errorf("%s cut to %d bytes: got %d bytes and error %v; want to wait for the rest", tt.name, cut, n, err)
			}
			if cut < frameHead {
				continue
			}
			if _, _, _, err := consumePerformative(whole[frameHead:cut]); !errors.Is(err, ErrProtocol) {
				t.Errorf("%s with a body cut to %d bytes: got error %v; want %v", tt.name, cut-frameHead, err, ErrProtocol)
			}
		}
	}
}

func TestWrongFrames(t *testing.T) {
	for name, head := range map[string]string{
		"shorter than its header":     "00000007 02000000",
		"one byte over the limit":     "00010001 02000000",
		"as long as can be announced": "ffffffff",
		"whose data begin too early":  "00000008 01000000",
		"whose data begin too late":   "00000008 03000000",
	} {
		if f, n, err := consumeFrame(unhex(t, head), maxFrame); !errors.Is(err, ErrProtocol) {
			t.Errorf("a frame %s: got %+v of %d bytes and error %v; want %v", name, f, n, err, ErrProtocol)
		}
	}
}

// TestWideForms writes what is too long for the narrow forms.
func TestWideForms(t *testing.T) {
	for _, n := range []int{200, 240, 250, 251, 252, 253, 254, 255, 256, 300, 30000} {
		want := &open{containerID: strings.Repeat("c", n), maxFrameSize: 1 << 20, channelMax: 7}
		if got, err := readFrame(t, writeFrame(want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("a container of %d bytes: got %+v, %v; want it back", n, got, err)
		}
	}
}

// TestTexts reads what it can of a map, and passes over the rest.
func TestTexts(t *testing.T) {
	tests := map[string]struct {
		in   string
		want map[string]string
	}{
		"no map":                 {"43", nil},
		"an empty map":           {"c10100", nil},
		"symbols and strings":    {`c11106 a301 "a" a101 "1" a101 "b" a301 "2" a301 "c" 43`, map[string]string{"a": "1", "b": "2"}},
		"a key without value":    {`c10703 a301 "a" a101 "1"`, map[string]string{"a": "1"}},
		"values that are cut":    {`c10a04 a301 "a" a101 "1" a301 "b"`, map[string]string{"a": "1"}},
		"a wide map of a map":    {`d1 0000000b 00000002 a301 "a" d1 00000000`, nil},
		"a key that is a number": {`c10502 5201 a101 "1"`, nil},
	}
	for name, tt := range tests {
		v, _ := consumeValue(unhex(t, tt.in))
		if got := v.texts(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

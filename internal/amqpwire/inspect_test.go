package amqpwire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestInspect(t *testing.T) {
	kinds := map[string]Kind{"OPEN": KindOpen, "ATTACH": KindAttach, "BEGIN": KindBegin, "FLOW for $cbs": KindFlow, "FLOW for another link": KindFlow, "TRANSFER without its payload": KindTransfer, "TRANSFER that is settled": KindTransfer}
	for _, tt := range goldens() {
		want, ok := kinds[tt.name]
		if !ok {
			want = KindOther
		}
		b := unhex(t, tt.frame)
		for cut := range b {
			if _, n, err := Inspect(b[:cut]); n != 0 || err != nil {
				t.Errorf("%s: of %d bytes %d make a frame, %v", tt.name, cut, n, err)
			}
		}
		if f, n, err := Inspect(append(b, "more"...)); n != len(b) || err != nil || f.Kind != want || f.Channel != 0 {
			t.Errorf("%s: got %+v of %d bytes, %v; want kind %#x of %d", tt.name, f, n, err, want, len(b))
		}
	}
	if f, n, err := Inspect([]byte{0, 0, 0, 8, 2, 0, 0, 7}); n != 8 || err != nil || f.Kind != KindNone || f.Channel != 7 {
		t.Errorf("a heartbeat: got %+v of %d bytes, %v", f, n, err)
	}
	part := framed(3, append(performativeOf(t, descTransfer, 10, `5205 43 a00101 43 40 41 40 40 40 41`), "payload"...))
	f, _, err := Inspect(part)
	got := f.Transfer
	got.head = transfer{}
	if want := (Part{Handle: 5, More: true, Aborted: true, Payload: []byte("payload")}); err != nil || !reflect.DeepEqual(got, want) || f.Channel != 3 {
		t.Errorf("a transfer: got %+v, %v; want %+v", got, err, want)
	}
}

// TestParts joins messages as go-amqp would, before it sees them.
func TestParts(t *testing.T) {
	part := func(fields string, count int, payload string) Part {
		f, _, err := Inspect(framed(3, append(performativeOf(t, descTransfer, count, fields), payload...)))
		if err != nil {
			t.Fatal(err)
		}
		return f.Transfer
	}
	first := part(`5205 43 a00101 43 42 41`, 6, "one, ")
	for fields, want := range map[string][2]bool{ // Begins, Continues
		`5205 43 a00101 43`:   {true, true},
		`5205 40 40 40`:       {false, true},
		`5205 43 a00101 40`:   {false, true},
		`5205 5201 a00101 43`: {true, false},
		`5205 43 a00102 43`:   {true, false},
		`5205 43 a000 43`:     {true, false},
		`5205 43 a00101 5201`: {true, false},
	} {
		if p := part(fields, 4, ""); p.Begins() != want[0] || p.Continues(first) != want[1] {
			t.Errorf("%s: begins %v, continues %v; want %v", fields, p.Begins(), p.Continues(first), want)
		}
	}
	whole := first.Keep().AppendWhole([]byte("before"), 3, true, []byte("one, two"))
	f, n, err := Inspect(whole[len("before"):])
	if err != nil || n != len(whole)-len("before") || f.Channel != 3 || !f.Transfer.Continues(first) || !f.Transfer.Begins() ||
		f.Transfer.More || !f.Transfer.Settled || f.Transfer.Handle != 5 || string(f.Transfer.Payload) != "one, two" {
		t.Errorf("the whole: got %+v, %v", f.Transfer, err)
	}
}

func TestCloseLink(t *testing.T) {
	for fields, missing := range map[string]bool{`5207 41`: false, `5207 42`: true, `5207`: true, `5207 42 00531d c00902 a305 "a:b:c" 40`: true} {
		f, _, err := Inspect(framed(4, performativeOf(t, descDetach, countOf(t, unhex(t, fields)), fields)))
		if err != nil || f.Kind != KindDetach || f.Handle != 7 {
			t.Fatalf("%s: got %+v, %v", fields, f, err)
		}
		b, got := f.CloseLink([]byte("before"))
		if got != missing {
			t.Errorf("%s: missing is %v, want %v", fields, got, missing)
		}
		if !missing {
			continue
		}
		closed, n, err := Inspect(b[len("before"):])
		if err != nil || n != len(b)-len("before") || closed.Handle != 7 || closed.Channel != 4 || !closed.detach.closed || (closed.detach.err == nil) != (f.detach.err == nil) {
			t.Errorf("%s: became %+v, %v", fields, closed.detach, err)
		}
	}
}

func TestInspectRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame []byte
	}{
		{"a size under a header", []byte{0, 0, 0, 7, 2, 0, 0, 0}},
		{"a size over the largest frame", []byte{0, 1, 0, 1, 2, 0, 0, 0}},
		{"data inside the header", []byte{0, 0, 0, 8, 1, 0, 0, 0}},
		{"no performative", framed(0, []byte{codeNull})},
		{"a performative that is no list", framed(0, []byte{codeDescribed, codeSmallUlong, descOpen, codeNull})},
		{"a map with a list for a key", framed(0, performativeOf(t, descOpen, 10, `a10178 40 40 40 40 40 40 40 40 c10402 c00100 40`))},
		{"a list of more than it holds", framed(0, performativeOf(t, descOpen, 10, `a10178`))},
		{"a FLOW without windows", framed(0, performativeOf(t, descFlow, 1, `43`))},
		{"a TRANSFER without handle", framed(0, performativeOf(t, descTransfer, 1, `40`))},
		{"a BEGIN without windows", framed(0, performativeOf(t, descBegin, 1, `600000`))},
		{"a disposition without its first", framed(0, performativeOf(t, descDisposition, 2, `41 40`))},
		{"a disposition of too many", framed(0, performativeOf(t, descDisposition, 5, `41 43 7000002711 41 40`))},
		{"a disposition to the last there is", framed(0, performativeOf(t, descDisposition, 5, `41 70fffffffe 70ffffffff 41 40`))},
	} {
		if f, n, err := Inspect(tt.frame); !errors.Is(err, ErrProtocol) || n != 0 {
			t.Errorf("%s: got %+v of %d bytes, %v; want ErrProtocol", tt.name, f, n, err)
		}
	}
	if _, _, err := Inspect(framed(0, performativeOf(t, descDisposition, 5, `41 7000002710 43 41 40`))); err != nil {
		t.Errorf("a disposition that ends before it begins, which concerns none: %v", err)
	}
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     *flow // nil: nothing is missing
	}{
		{"whole, of a session", `5203 5264 5201 5264`, nil},
		{"whole, of a link", `5203 5264 5201 5264 43 43 5205`, nil},
		{"no id", `40 5264 5201 5264`, &flow{nextIncomingID: some[uint32](9), incomingWindow: 100, nextOutgoingID: 1, outgoingWindow: 100}},
		{"no id, of a link", `40 5264 5201 5264 43 5202 5205 40 40 41`, &flow{nextIncomingID: some[uint32](9), incomingWindow: 100, nextOutgoingID: 1, outgoingWindow: 100,
			handle: some[uint32](0), deliveryCount: some[uint32](2), linkCredit: some[uint32](5), echo: true}},
		{"no credit", `5203 5264 5201 5264 43 5202`, &flow{nextIncomingID: some[uint32](3), incomingWindow: 100, nextOutgoingID: 1, outgoingWindow: 100}},
	} {
		items := unhex(t, tt.in)
		f, _, err := Inspect(framed(6, performativeOf(t, descFlow, countOf(t, items), tt.in)))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got, missing := f.Complete([]byte("before"), 9)
		if missing != (tt.want != nil) || !bytes.HasPrefix(got, []byte("before")) {
			t.Errorf("%s: missing is %v; want %v", tt.name, missing, tt.want != nil)
		}
		if !missing {
			continue
		}
		fr, _, err := consumeFrame(got[len("before"):], maxFrame)
		if err != nil || fr.channel != 6 {
			t.Errorf("%s: got channel %d, %v", tt.name, fr.channel, err)
		}
		if p, err := readFrame(t, got[len("before"):]); err != nil || !reflect.DeepEqual(p, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, p, err, tt.want)
		}
	}
}

// countOf counts values.
func countOf(t *testing.T, b []byte) (count int) {
	for len(b) > 0 {
		_, n := consumeValue(b)
		if n == 0 {
			t.Fatalf("%x is no value", b)
		}
		b = b[n:]
		count++
	}
	return count
}

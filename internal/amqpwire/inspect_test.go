package amqpwire

import (
	"errors"
	"testing"
)

func TestInspect(t *testing.T) {
	for _, tt := range goldens() {
		b := unhex(t, tt.frame)
		want := Kind(b[10]) // behind the frame's head, 0x00 and 0x53
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
		{"a frame of SASL", append([]byte{0, 0, 0, 12, 2, 1, 0, 0}, 0, 0x53, 0x40, 0x45)},
	} {
		if f, n, err := Inspect(tt.frame); !errors.Is(err, ErrProtocol) || n != 0 {
			t.Errorf("%s: got %+v of %d bytes, %v; want ErrProtocol", tt.name, f, n, err)
		}
	}
}

package amqp_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// What go-amqp puts together is what the guard has checked. lethal is, on its own,
// a message that makes go-amqp panic, for a key of a map is a map; cover is the beginning of one that makes it
// look like the content of a data section.
func TestReviewGuardSeesWhatGoAMQPDoes(t *testing.T) {
	const (
		lethal = "\x00\x53\x72\xc1\x05\x02\xc1\x01\x00\x40"
		cover  = "\x00\x53\x75\xa0\x0a" // a section of 10 bytes
		fine   = "\x00\x53\x75\xa0\x02hi"
	)
	if len(lethal) != 0x0a {
		t.Fatalf("lethal has %d bytes", len(lethal))
	}
	f := frameSet(5)
	part := func(handle, payload string, more string) string {
		return frame(5, kindTransfer, payload, handle, zero, tag, zero, yes, more)
	}
	detach := frame(5, kindDetach, "", zero, yes)
	attach := frame(5, kindAttach, "", "\xa1\x01n", zero, no, null, null, "\x00\x53\x28\x45", "\x00\x53\x29\x45", null, null, zero)
	for _, test := range []struct {
		desc, in string
		ok       bool
	}{
		{"lethal as it is", part(zero, lethal, no), false},
		// go-amqp begins anew on a handle that was detached.
		{"a link that ends inside a message", part(zero, cover, yes) + detach + attach + part(zero, lethal, no), false},
		{"the same with a message that is fine", part(zero, "\x00\x53\x75\xa0\x09", yes) + detach + attach + part(zero, fine, no), true},
	} {
		_, err := amqp.Guard([]byte(f.begin+test.in), 1<<20, []byte(f.ourBegin))
		if ok := err == nil; ok != test.ok {
			t.Errorf("%s: passes is %v (%v), want %v", test.desc, ok, err, test.ok)
		}
		if err != nil && !errors.Is(err, amqpwire.ErrMessage) && !errors.Is(err, amqpwire.ErrProtocol) {
			t.Errorf("%s: %v", test.desc, err)
		}
	}
}

// Beginnings of messages on many handles fill no memory, however short they are.
func TestReviewGuardBoundsHandles(t *testing.T) {
	for _, payload := range []string{"", "x"} {
		w := amqp.NewWay()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const links = 300_000
		for i := range links {
			handle := string([]byte{0x70, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
			w.Comes([]byte(frame(5, kindTransfer, payload, handle, zero, tag, zero, yes, yes)))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if mb := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20; mb > 8 {
			t.Errorf("%d handles with parts of %d bytes hold %d MB, and nothing ends it", links, len(payload), mb)
		}
		runtime.KeepAlive(w)
	}
}

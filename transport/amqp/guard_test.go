package amqp_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// frames are what both sides send: we on channel 0, the hub on another.
type frames struct {
	ourBegin, ourMove, ourEnd string
	begin, end                string // of the session that answers ours
	flow, repaired            string // without next-incoming-id, and after 3 transfers
	whole, given, bare        string // of a session; of a link, with and without its credit
	single, first, second     string // a message of one part, and one of two
	joined                    string // the latter as go-amqp gets it
	aborted                   string // a second part that takes the first back
	notes, lethal             string // a message that makes go-amqp panic, in two parts
}

func frameSet(hub byte) frames {
	return frames{
		ourBegin: frame(0, kindBegin, "", null, zero, hundred, zero),
		ourMove:  frame(0, kindTransfer, "", zero),
		ourEnd:   frame(0, kindEnd, ""),
		begin:    frame(hub, kindBegin, "", "\x60\x00\x00", one, hundred, zero),
		end:      frame(hub, kindEnd, ""),
		flow:     frame(hub, kindFlow, "", null, hundred, one, hundred),
		repaired: frame(hub, kindFlow, "", three, hundred, one, hundred, null, null, null, null, null, no, null),
		whole:    frame(hub, kindFlow, "", three, hundred, one, hundred),
		given:    frame(hub, kindFlow, "", three, hundred, one, hundred, zero, zero, hundred),
		bare:     frame(hub, kindFlow, "", three, hundred, one, hundred, zero, zero),
		single:   frame(hub, kindTransfer, "\x00\x53\x75\xa0\x02hi", zero, zero, tag, zero, yes),
		first:    frame(hub, kindTransfer, "\x00\x53\x75", zero, zero, tag, zero, yes, yes),
		second:   frame(hub, kindTransfer, "\xa0\x02hi", zero),
		joined:   frame(hub, kindTransfer, "\x00\x53\x75\xa0\x02hi", zero, zero, tag, zero, yes, no, null, null, null, null, no),
		aborted:  frame(hub, kindTransfer, "", zero, null, null, null, null, no, null, null, null, yes),
		notes:    frame(hub, kindTransfer, "\x00\x53\x72", zero, zero, tag, zero, yes, yes),
		lethal:   frame(hub, kindTransfer, "\xc1\x05\x02\xc1\x01\x00\x40", zero),
	}
}

func TestGuard(t *testing.T) {
	const (
		lethal = "\x00\x53\x72\xc1\x05\x02\xc1\x01\x00\x40" // makes go-amqp panic: a map is the key of a map
		cover  = "\x00\x53\x75\xa0\x0a"                     // of which the former looks like the content
		short  = "\x00\x53\x75\xa0\x09"
		fine   = "\x00\x53\x75\xa0\x02hi"
	)
	f := frameSet(5)
	part := func(payload, more string) string {
		return frame(5, kindTransfer, payload, zero, zero, tag, zero, yes, more)
	}
	anew := frame(5, kindDetach, "", zero, yes) +
		frame(5, kindAttach, "", "\xa1\x01n", zero, no, null, null, "\x00\x53\x28\x45", "\x00\x53\x29\x45", null, null, zero)
	for _, test := range []struct {
		desc, in, want string
		err            error
	}{
		{"nothing", "", "", nil},
		{"header and heartbeats", protoHeader + heartbeat + heartbeat, protoHeader + heartbeat + heartbeat, nil},
		{"a good FLOW", protoHeader + f.begin + f.whole + f.given, protoHeader + f.begin + f.whole + f.given, nil},
		{"FLOW without the field", protoHeader + f.begin + f.flow + heartbeat, protoHeader + f.begin + f.repaired + heartbeat, nil},
		{"two of them", f.begin + f.flow + f.flow, f.begin + f.repaired + f.repaired, nil},
		{"FLOW of a link that tells no credit", f.begin + f.bare, f.begin + f.repaired, nil},
		{"messages", f.single + f.first + f.second + f.single, f.single + f.joined + f.single, nil},
		{"a message given up", f.first + f.aborted + f.single, f.single, nil},
		{"a session's end inside a message", f.begin + f.first + f.end + f.begin + f.single, f.begin + f.end + f.begin + f.single, nil},
		{"a link's end inside a message", part(short, yes) + anew + part(fine, no), anew + part(fine, no), nil},
		{"the same around a message that makes go-amqp panic", part(cover, yes) + anew + part(lethal, no), anew, amqpwire.ErrMessage},
		{"a message that makes go-amqp panic", part(fine, no) + part(lethal, no), part(fine, no), amqpwire.ErrMessage},
		{"the same in two parts", f.single + f.notes + f.lethal + f.single, f.single, amqpwire.ErrMessage},
		{"a message that does not begin", f.second, "", amqpwire.ErrProtocol},
		{"a message inside another", f.first + frame(5, kindTransfer, "", zero, one), "", amqpwire.ErrProtocol},
		{"DETACH that does not close", frame(5, kindDetach, "", one), frame(5, kindDetach, "", one, yes, null), nil},
		{"DETACH that does", frame(5, kindDetach, "", one, yes), frame(5, kindDetach, "", one, yes), nil},
		{"a frame that is too large", f.begin + "\x00\x01\x00\x01\x02\x00\x00\x05", f.begin, amqpwire.ErrProtocol},
		{"an empty FLOW", frame(5, kindFlow, ""), "", amqpwire.ErrProtocol},
		{"a list that lies", "\x00\x00\x00\x0f\x02\x00\x00\x05\x00\x53\x13\xc0\x09\x04\x40", "", amqpwire.ErrProtocol},
		{"no frame at all", "\x00\x00\x00\x01HTTP/1.1 400", "", amqpwire.ErrProtocol},
		{"a disposition of all there are", frame(5, kindDisposition, "", no, zero, "\x70\xff\xff\xff\xff", yes, null), "", amqpwire.ErrProtocol},
		{"a disposition of two", frame(5, kindDisposition, "", no, zero, one, yes, null), frame(5, kindDisposition, "", no, zero, one, yes, null), nil},
	} {
		begun := [][]byte{[]byte(f.ourBegin), []byte(f.ourMove), []byte(f.ourMove), []byte(f.ourMove)}
		for _, piece := range []int{1, 3, 7, 1 << 20} {
			got, err := amqp.Guard([]byte(test.in), piece, begun...)
			if string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s, in pieces of %d: %v\ngot  %x\nwant %x", test.desc, piece, err, got, test.want)
			}
		}
	}
}

// Messages that do not end fill no memory, be they long, or short and many.
func TestGuardBoundsParts(t *testing.T) {
	for _, test := range []struct {
		size, links int
	}{{60 << 10, 1}, {60 << 10, 1000}, {1, 300_000}, {0, 300_000}} {
		w, payload := amqp.NewWay(), strings.Repeat("x", test.size)
		before, came := heap(), 0
		for ; came < 300_000 && w.Err() == nil; came++ {
			n := came % test.links
			handle := string([]byte{0x70, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			w.Comes([]byte(frame(5, kindTransfer, payload, handle, zero, tag, zero, yes, yes)))
		}
		held := heap() - before
		if err := w.Err(); !errors.Is(err, amqpwire.ErrMessage) || held > 8<<20 {
			t.Errorf("%d parts of %d bytes on %d links: %d bytes are held, and then %v; want an end at 4 MB", came, test.size, test.links, held, err)
		}
		runtime.KeepAlive(w)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A hub that does not mind the credit it is given is not listened to.
func TestGuardMindsCredit(t *testing.T) {
	f := frameSet(5)
	gave := frame(0, kindFlow, "", three, hundred, one, hundred, zero, zero, hundred)
	for _, test := range []struct {
		desc  string
		gives int // every how many messages credit is given
		ok    bool
	}{{"credit all the time", 50, true}, {"never", 1 << 20, false}} {
		w := amqp.NewWay()
		w.Leaves([]byte(f.ourBegin))
		w.Comes([]byte(f.begin))
		for i := range 1000 {
			if i%test.gives == 0 {
				w.Leaves([]byte(gave))
			}
			w.Comes([]byte(f.single))
		}
		if err := w.Err(); (err == nil) != test.ok || err != nil && !errors.Is(err, amqpwire.ErrProtocol) {
			t.Errorf("%s: %v", test.desc, err)
		}
	}
}

// A channel is not used anew before its session has said goodbye.
func TestChannelIsFreeBeforeItIsUsed(t *testing.T) {
	leaves := func(w amqp.Way, desc, frame, want string) {
		t.Helper()
		if got := string(w.Leaves([]byte(frame))); got != want {
			t.Errorf("%s: %x leaves, want %x", desc, got, want)
		}
	}
	f, w := frameSet(5), amqp.NewWay()
	leaves(w, "BEGIN", f.ourBegin, f.ourBegin)
	w.Comes([]byte(f.begin + f.end))
	leaves(w, "BEGIN while an END is owed", f.ourBegin, "")
	leaves(w, "that END", f.ourEnd, f.ourEnd+f.ourBegin)
	w.Comes([]byte(f.begin))
	leaves(w, "a session's END", f.ourEnd, f.ourEnd)
	w.Comes([]byte(f.end))
	leaves(w, "BEGIN after both", f.ourBegin, f.ourBegin)
	leaves(w, "END", f.ourEnd, f.ourEnd)
	w.Comes([]byte(f.begin + f.end + heartbeat))
	leaves(w, "BEGIN after that", f.ourBegin, f.ourBegin)
}

// FuzzGuard holds that what comes out is the same however the stream was cut, and
// that it is frames, which pass once more as they are.
func FuzzGuard(f *testing.F) {
	set := frameSet(5)
	f.Add([]byte(protoHeader+set.begin+set.flow+set.whole+heartbeat), 3)
	f.Add([]byte(set.begin+set.single+set.first+set.second+set.end), 5)
	f.Add([]byte(set.begin+set.bare+set.given+set.first+set.aborted), 5)
	f.Add([]byte(set.notes+set.lethal), 5)
	f.Add([]byte("\x00\x00\x00\x0f\x02\x00\x00\x05\x00\x53\x13\xc0\x09\x04\x40"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		cut, errCut := amqp.Guard(stream, piece)
		whole, err := amqp.Guard(stream, 1<<20)
		if !bytes.Equal(cut, whole) || (err == nil) != (errCut == nil) {
			t.Fatalf("cut by %d: got %x, %v; whole %x, %v", piece, cut, errCut, whole, err)
		}
		if again, err := amqp.Guard(whole, 1<<20); err != nil || !bytes.Equal(again, whole) {
			// but for one that is larger than a hub's may be: it was joined
			if !errors.Is(err, amqpwire.ErrProtocol) || len(whole) <= amqpwire.MaxFrame {
				t.Fatalf("%x came out, and is let pass as %x, %v", whole, again, err)
			}
		}
	})
}

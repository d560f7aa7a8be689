package amqpwire

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestGuardMessages(t *testing.T) {
	notes := func(values int) string { // annotations with so many null values
		b := []byte{0, codeSmallUlong, descMessageAnnotations}
		b = append(b, codeMap32)
		var items []byte
		for i := range values / 2 {
			items = append(items, codeSym8, 3, byte(i>>16), byte(i>>8), byte(i), codeNull)
		}
		size := len(items) + 4
		b = append(b, byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
		n := values / 2 * 2
		return string(append(append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), items...))
	}
	for _, tt := range []struct {
		desc, payload string
		parts         int
		err           error
	}{
		{"a small one", data(10), 1, nil},
		{"none", "", 1, nil},
		{"in two parts", data(10), 2, nil},
		{"in a hundred", data(250), 100, nil},
		{"the largest", data(MaxTaken - 8), 20, nil},
		{"larger", data(MaxTaken - 7), 20, ErrMessage},
		{"much larger", data(3 << 20), 60, ErrMessage},
		{"many parts without any", data(10), 2000, ErrMessage},
		{"some notes", notes(1000) + data(10), 3, nil},
		{"many notes", notes(3000) + data(10), 3, ErrMessage},
		{"large notes", "\x00\x53\x72\xd1\x00\x02\x00\x0c\x00\x00\x00\x02\xa3\x01a\xb0\x00\x02\x00\x00" + strings.Repeat("x", 128<<10), 9, ErrMessage},
		{"many sections", strings.Repeat(data(0), 3000), 1, ErrMessage},
		{"a list of many in place of data", "\x00\x53\x77\xd0\x00\x00\x20\x04\x00\x00\x20\x00" + strings.Repeat("\x40", 0x2000), 1, ErrMessage},
		{"a map that is the key of a map", "\x00\x53\x72\xc1\x05\x02\xc1\x01\x00\x40", 2, ErrMessage},
		{"data that lie", "\x00\x53\x75\xa0\x09", 1, ErrMessage},
	} {
		g := newGuarded(t)
		g.credit(0, 1)
		if tt.parts == 1 && len(tt.payload) > 60<<10 {
			t.Fatal("the test's frame is too large")
		}
		if err := g.message(tt.payload, tt.parts); !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", tt.desc, err, tt.err)
			continue
		}
		var want []byte
		if tt.err == nil {
			p := &transfer{handle: 8, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0), settled: some(true)}
			want = appendFrame(nil, theirChannel, p, []byte(tt.payload))
		}
		if got := g.taken(); !bytes.Equal(got, want) {
			t.Errorf("%s: go-amqp reads %d bytes, want %d in one frame", tt.desc, len(got), len(want))
		}
	}
}

// A server that talks and talks is not listened to. One that answers is, also
// one that asks for an echo now and then.
func TestGuardMindsFloods(t *testing.T) {
	echo := &flow{nextIncomingID: some[uint32](0), incomingWindow: 100, echo: true}
	ofLink := &flow{nextIncomingID: some[uint32](0), incomingWindow: 100, handle: some[uint32](8), linkCredit: some[uint32](1), echo: true}
	for desc, tt := range map[string]struct {
		says  performative
		pause time.Duration
		asks  bool
		ok    bool
	}{
		"echoes":                      {echo, 0, false, false},
		"echoes of a link":            {ofLink, 0, false, false},
		"dispositions":                {&disposition{role: Receiver, settled: true}, 0, false, false},
		"ends of no link":             {&detach{handle: 99}, 0, false, false},
		"messages on no link":         {&transfer{handle: 99}, 0, false, false},
		"credit for no link":          {&flow{nextIncomingID: some[uint32](0), handle: some[uint32](99)}, 0, false, false},
		"FLOWs that say nothing":      {&flow{nextIncomingID: some[uint32](0), incomingWindow: 100}, 0, false, true},
		"credit":                      {&flow{nextIncomingID: some[uint32](0), incomingWindow: 100, handle: some[uint32](7), linkCredit: some[uint32](1)}, 0, false, true},
		"echoes now and then":         {echo, 100 * time.Millisecond, false, true},
		"dispositions, each for ours": {&disposition{role: Receiver, settled: true}, 0, true, true},
	} {
		g := newGuarded(t)
		var err error
		passed := 0
		for range 20_000 {
			if tt.asks {
				g.ours(&transfer{handle: 0})
			}
			g.now = g.now.Add(tt.pause)
			err = g.hub(theirChannel, tt.says)
			if len(g.taken()) > 0 && !tt.asks && tt.pause == 0 {
				passed++
			}
		}
		if passed > 1100 || (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %d frames passed, then %v", desc, passed, err)
		}
	}
}

// Messages that do not end fill no memory, be they long, or short and many.
func TestGuardBoundsParts(t *testing.T) {
	for _, size := range []int{60 << 10, 100, 1, 0} {
		g := newGuarded(t)
		g.credit(0, 8)
		p := &transfer{handle: 8, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0), more: true}
		part := appendFrame(nil, theirChannel, p, make([]byte, size))
		before := inUse()
		came := 0
		for ; came < 1<<20 && g.err == nil; came++ {
			_ = g.comes(part)
		}
		if held := inUse() - before; !errors.Is(g.err, ErrMessage) || held > 2<<20 {
			t.Errorf("%d parts of %d bytes: %d bytes are held, then %v", came, size, held, g.err)
		}
		runtime.KeepAlive(g)
	}
}

// Messages that do not end fill no memory on many links either. A message that is
// whole or aborted, and a link that ends, make room again.
func TestGuardBoundsUnfinished(t *testing.T) {
	g := newGuarded(t)
	part := func(handle uint32, size int, aborted bool) error {
		p := &transfer{handle: handle, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0), more: !aborted, aborted: aborted}
		return g.comes(appendFrame(nil, theirChannel, p, make([]byte, size)))
	}
	handles := []uint32{0, 1, 2, 3, 4, 5, 6, 9, 8}
	for i, handle := range handles {
		name := fmt.Sprint("in", i)
		ours := uint32(i + 2)
		if handle == 8 {
			ours = 1
		} else {
			g.ours(&attach{name: name, handle: ours, role: Receiver})
			if err := g.hub(theirChannel, answer(name, handle, Sender)); err != nil {
				t.Fatal(err)
			}
		}
		g.ours(&flow{nextIncomingID: some[uint32](0), incomingWindow: 5000, handle: some(ours), deliveryCount: some[uint32](0), linkCredit: some[uint32](8)})
	}
	fill := func(handle uint32) (err error) {
		for range 16 {
			err = part(handle, MaxTaken/16, false)
		}
		return err
	}
	for _, handle := range handles[:7] {
		if err := fill(handle); err != nil {
			t.Fatal(err)
		}
	}
	if err := part(0, 1, true); err != nil {
		t.Fatal(err)
	}
	if err := g.hub(theirChannel, &detach{handle: 1, closed: true}); err != nil {
		t.Fatal(err)
	}
	if want := 5 * MaxTaken; g.unfinished != want {
		t.Errorf("it counts %d bytes, want %d", g.unfinished, want)
	}
	for _, handle := range []uint32{0, 9, 8} {
		if err := fill(handle); err != nil {
			t.Fatalf("handle %d: %v", handle, err)
		}
	}
	g.ours(&detach{handle: 3, closed: true})
	g.ours(&attach{name: "more", handle: 3, role: Receiver})
	if err := g.hub(theirChannel, answer("more", 1, Sender)); err != nil {
		t.Fatal(err)
	}
	g.ours(&flow{nextIncomingID: some[uint32](0), incomingWindow: 5000, handle: some[uint32](3), deliveryCount: some[uint32](0), linkCredit: some[uint32](8)})
	if err := part(1, 1, false); !errors.Is(err, ErrMessage) {
		t.Errorf("one byte more: %v", err)
	}
}

func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// FuzzGuard holds that what go-amqp reads is the same however the stream was cut,
// and that it is frames.
func FuzzGuard(f *testing.F) {
	say := func(ps ...performative) (all []byte) {
		for _, p := range ps {
			all = append(all, appendFrame(nil, theirChannel, p, nil)...)
		}
		return all
	}
	whole := &transfer{handle: 8, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0), settled: some(true)}
	begun := *whole
	begun.more = true
	f.Add([]byte{}, 1)
	f.Add(say(&flow{nextIncomingID: some[uint32](0), incomingWindow: 200}, &flow{incomingWindow: 1, handle: some[uint32](7), linkCredit: some[uint32](1), drain: some(true)}), 3)
	f.Add(say(whole, &begun, &transfer{handle: 8}, &begun, &transfer{handle: 8, aborted: true}), 5)
	f.Add(say(&detach{handle: 8}, &detach{handle: 7, err: &Error{Condition: "a:b"}}, &ended{descriptor: descEnd}), 7)
	f.Add(say(&disposition{role: Receiver, first: 0, last: some[uint32](3), settled: true}, &ended{descriptor: descClose}), 1000)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		read := func(piece int) (string, error) {
			g := newGuarded(t)
			g.credit(0, 8)
			for b := stream; len(b) > 0; {
				n := min(piece, len(b))
				_ = g.comes(b[:n])
				b = b[n:]
			}
			unfinished := 0
			for _, s := range g.sessions {
				for _, l := range s.theirs {
					if l.begun != nil {
						unfinished += len(l.begun.payload)
					}
				}
			}
			if unfinished != g.unfinished && g.err == nil {
				t.Fatalf("it counts %d bytes of unfinished messages; there are %d", g.unfinished, unfinished)
			}
			return string(g.taken()), g.err
		}
		cut, errCut := read(max(1, piece))
		all, err := read(1 << 20)
		if cut != all || fmt.Sprint(err) != fmt.Sprint(errCut) {
			t.Fatalf("cut by %d: got %x, %v; whole %x, %v", piece, cut, errCut, all, err)
		}
		for b := []byte(all); len(b) > 0; {
			fr, n, err := inspect(b, 1<<20)
			if err != nil || n == 0 || fr.Channel != theirChannel && fr.Kind != KindClose {
				t.Fatalf("go-amqp reads %x, %v", b, err)
			}
			b = b[n:]
		}
	})
}

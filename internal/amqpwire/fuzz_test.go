package amqpwire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// FuzzFrame reads any bytes as a frame: nothing may panic, and a performative
// that is read must come back the same when it is written and read again.
func FuzzFrame(f *testing.F) {
	for _, tt := range goldens() {
		f.Add(unhex(f, tt.frame))
	}
	f.Add(framed(0, performativeOf(f, descAttach, 14, `a101 "l" 43 41 5001 5000 40 40 40 40 40 40 40 40 c10702 a301 "k" a101 "v"`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, n, err := consumeFrame(b, maxFrame)
		if err != nil || n == 0 || n > len(b) {
			return
		}
		code, fs, payload, err := consumePerformative(fr.body)
		if err != nil {
			return
		}
		if len(payload) > len(fr.body) {
			t.Fatalf("a payload of %d bytes in a body of %d", len(payload), len(fr.body))
		}
		p := newPerformative(code)
		if p == nil {
			return
		}
		if p.read(&fs); fs.wrong != "" {
			return
		}
		again := newPerformative(code)
		_, fs, _, err = consumePerformative(p.append(nil))
		if err != nil {
			t.Fatalf("%+v: what was written begins with no performative: %v", p, err)
		}
		if again.read(&fs); fs.wrong != "" {
			t.Fatalf("%+v: what was written is refused: %s", p, fs.wrong)
		}
		if a, b := fmt.Sprintf("%+v", again), fmt.Sprintf("%+v", p); !reflect.DeepEqual(again.append(nil), p.append(nil)) {
			t.Fatalf("written and read: got %s, want %s", a, b)
		}
	})
}

// FuzzMessage gives go-amqp's decoder whatever passes our checks.
func FuzzMessage(f *testing.F) {
	for _, tt := range samples() {
		f.Add(unhex(f, tt.in))
	}
	f.Add(unhex(f, "005377"+nest(8)))
	f.Add(unhex(f, "005372 c10f02 00 8000000000000f8201 a00161 40"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxMessage {
			return
		}
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		// go-amqp does not write all that it reads, such as arrays of maps.
		if b, err = EncodeMessage(m); err != nil {
			return
		}
		if _, err := DecodeMessage(b); err != nil {
			t.Errorf("what was encoded from %+v is refused: %v\n%x", m, err, b)
		}
	})
}

// FuzzConn feeds the engine any bytes, in pieces, to a hub that accepts all and
// answers every message with one. Whatever comes: no panic, events in their
// order, memory within the limits, and output that is frames.
func FuzzConn(f *testing.F) {
	talk := func(layers string, bodies ...[]byte) []byte {
		b := []byte(layers)
		for _, body := range bodies {
			b = append(b, framed(0, body)...)
		}
		return b
	}
	link := func(handle uint32, role Role) []byte {
		return (&attach{name: "l", handle: handle, role: role, source: terminus{true, "a"}, target: terminus{true, "a"}}).append(nil)
	}
	open := (&open{containerID: "c", maxFrameSize: 512, channelMax: 9}).append(nil)
	begin := (&begin{incomingWindow: 3, handleMax: 9}).append(nil)
	window := &flow{nextIncomingID: some[uint32](1), incomingWindow: 9, handle: some[uint32](1), linkCredit: some[uint32](5), drain: some(true), echo: true}
	part := &transfer{deliveryID: some[uint32](0), tag: []byte("t"), more: true}
	rest := &transfer{}
	state := &disposition{role: Receiver, last: some[uint32](9), settled: false, outcome: Outcome{State: Rejected}, final: true}
	whole := talk(headerAMQP, open, begin, link(0, Sender), link(1, Receiver), window.append(nil),
		append(part.append(nil), "pay"...), append(rest.append(nil), "load"...), state.append(nil),
		(&detach{handle: 1}).append(nil), (&ended{descriptor: descEnd}).append(nil), (&ended{descriptor: descClose}).append(nil))
	f.Add(whole, byte(7))
	f.Add(append(append([]byte(headerSASL), unhex(f, `0000001c 02010000 005341 c00f02 a305 "PLAIN" a004 00750070`)...), whole...), byte(64))
	f.Add(talk(headerAMQP, open, begin, link(0, Sender), rest.append(nil)), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, piece byte) {
		now := time.Unix(0, 0)
		c := NewConn(now, nil)
		h := &fuzzHub{t: t, conn: c, alive: map[any]bool{}}
		for len(b) > 0 {
			n := min(len(b), int(piece)+1)
			now = now.Add(time.Second)
			c.Feed(now, b[:n])
			b = b[n:]
			for ev := c.Next(); ev != nil; ev = c.Next() {
				h.answer(ev)
			}
			h.check()
			h.out = c.AppendOutput(now, h.out)
			c.Tick(now)
		}
		checkOutput(t, c.AppendOutput(now, h.out))
	})
}

// A fuzzHub accepts everything and checks the order of events.
type fuzzHub struct {
	t      *testing.T
	conn   *Conn
	alive  map[any]bool
	closed bool
	out    []byte
}

func (h *fuzzHub) want(ok bool, ev Event) {
	if !ok || h.closed {
		h.t.Fatalf("an event out of its order: %T %+v", ev, ev)
	}
}

func (h *fuzzHub) answer(ev Event) {
	switch ev := ev.(type) {
	case *Login:
		h.want(true, ev)
		h.conn.AcceptLogin()
	case *Begun:
		h.want(!h.alive[ev.Session], ev)
		h.alive[ev.Session] = true
	case *Ended:
		h.want(h.alive[ev.Session], ev)
		delete(h.alive, ev.Session)
	case *Attaching:
		h.want(h.alive[ev.Link.Session()] && !h.alive[ev.Link], ev)
		h.alive[ev.Link] = true
		if ev.Link.Accept(3); ev.Link.Role() == Receiver {
			for i := range 4 {
				_ = ev.Link.Send(Outgoing{Payload: make([]byte, i*300), Settled: i == 1})
			}
		}
	case *Detached:
		h.want(h.alive[ev.Link] && h.alive[ev.Link.Session()], ev)
		delete(h.alive, ev.Link)
	case *Delivery:
		h.want(h.alive[ev.Link] && h.alive[ev.Link.Session()], ev)
		ev.Link.Settle(ev.ID, Outcome{State: Accepted})
	case *Settled:
		h.want(h.alive[ev.Link] && h.alive[ev.Link.Session()], ev)
	case *Closed:
		h.want(h.conn.Done(), ev)
		h.closed = true
	}
}

// check compares the accounts of the limits with what is there.
func (h *fuzzHub) check() {
	c := h.conn
	var links, partial, queued int
	for _, s := range c.sessions {
		for _, l := range s.links {
			links++
			if l.begun != nil {
				partial += len(l.begun.payload)
			}
			for _, m := range l.queue {
				queued += len(m.Payload)
			}
		}
	}
	if links != c.links || partial != c.partial || queued != c.queued {
		h.t.Fatalf("the accounts say %d links, %d bytes begun, %d bytes that wait; there are %d, %d, %d",
			c.links, c.partial, c.queued, links, partial, queued)
	}
}

// checkOutput checks that output is headers and frames.
func checkOutput(t *testing.T, out []byte) {
	t.Helper()
	for len(out) > 0 {
		if bytes.HasPrefix(out, []byte("AMQP")) && len(out) >= headerSize {
			out = out[headerSize:]
			continue
		}
		_, n, err := consumeFrame(out, maxFrame)
		if n == 0 {
			t.Fatalf("output that is no frame (%v): %s", err, hex.EncodeToString(out))
		}
		out = out[n:]
	}
}

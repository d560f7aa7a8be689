package amqpwire

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A story is a client and a hub that do what bytes say. Unlike random frames,
// what it says can always be read, so that it comes to all states.
type story struct {
	hub   *fuzzHub
	conn  *Conn
	now   time.Time
	bytes []byte
	links []*Link
}

// next is the next number of the story, below n.
func (s *story) next(n byte) uint32 {
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0] % n
	s.bytes = s.bytes[1:]
	return uint32(b)
}

func (s *story) flag() bool { return s.next(2) == 1 }

// maybe is a number or none.
func (s *story) maybe(n byte) optional[uint32] {
	if s.flag() {
		return optional[uint32]{}
	}
	return some(s.next(n))
}

func (s *story) err() *Error {
	if s.flag() {
		return nil
	}
	return &Error{Condition: "c"}
}

func (s *story) outcome() Outcome {
	return Outcome{State: Accepted + State(s.next(4)), Error: s.err()}
}

// client says something.
func (s *story) client() {
	var p performative
	var payload []byte
	switch s.next(16) {
	case 0:
		p = &begin{nextOutgoingID: s.next(9), incomingWindow: s.next(5), handleMax: 1 + s.next(3)}
	case 1, 2, 3:
		t := terminus{s.flag(), "a"}
		p = &attach{name: "l", handle: s.next(4), role: Role(s.flag()), source: t, target: t, maxMessageSize: uint64(s.next(2)) << 9}
	case 4, 5, 6:
		p = &flow{
			nextIncomingID: s.maybe(9), incomingWindow: s.next(9), nextOutgoingID: s.next(9), handle: s.maybe(4),
			deliveryCount: s.maybe(9), linkCredit: s.maybe(9), drain: some(s.flag()), echo: s.flag(),
		}
	case 7, 8, 9, 10:
		p = &transfer{
			handle: s.next(4), deliveryID: s.maybe(9), tag: []byte("t"), more: s.flag(),
			settled: some(s.flag()), aborted: s.next(8) == 1, resume: s.next(16) == 1,
		}
		payload = make([]byte, s.next(9))
	case 11, 12:
		p = &disposition{role: Role(s.next(4) > 0), first: s.next(9), last: s.maybe(20), settled: s.flag(), outcome: s.outcome(), final: s.flag()}
	case 13:
		p = &detach{handle: s.next(4), closed: s.flag(), err: s.err()}
	case 14:
		p = &ended{descriptor: descEnd, err: s.err()}
	default:
		if s.next(64) > 0 { // seldom: it ends the story
			return
		}
		p = &ended{descriptor: descClose, err: s.err()}
	}
	channel := uint16(s.next(3))
	if s.fatal(channel, p) && s.next(32) > 0 {
		return // seldom, or no story would be long
	}
	s.conn.Feed(s.now, framed(channel, append(p.append(nil), payload...)))
}

// fatal reports whether a performative ends its session or the connection.
func (s *story) fatal(channel uint16, p performative) bool {
	session := s.conn.sessions[channel]
	if _, ok := p.(*begin); ok || session == nil {
		return ok != (session == nil)
	}
	none := func(handle uint32) bool { return session.links[handle] == nil }
	switch p := p.(type) {
	case *attach:
		return !none(p.handle)
	case *flow:
		return p.handle.set && none(p.handle.value)
	case *transfer:
		return none(p.handle) || session.links[p.handle].role == Receiver
	case *detach:
		return none(p.handle)
	}
	return false
}

// verb is something that the hub does of itself.
func (s *story) verb() {
	if len(s.links) == 0 {
		return
	}
	l := s.links[int(s.next(255))%len(s.links)]
	switch s.next(12) {
	case 0, 1, 2:
		_ = l.Send(Outgoing{Payload: make([]byte, s.next(255)*4), Settled: s.flag()})
	case 3:
		l.Settle(s.next(9), s.outcome())
	case 4, 5, 6:
		l.Accept(s.next(5))
	case 7:
		l.Refuse(s.err())
	case 8:
		if s.flag() {
			l.Suspend(s.err())
			break
		}
		l.Detach(s.err())
	case 9:
		l.Session().End(s.err())
	case 10:
		s.now = s.now.Add(time.Duration(s.next(100)) * time.Second)
		s.conn.Tick(s.now)
	default:
		if s.next(64) == 1 {
			s.conn.Close(s.err())
		}
	}
}

// tell plays a story and checks what came of it. Links are answered at once,
// late, twice or never.
func tell(t *testing.T, b []byte) {
	t.Helper()
	s := &story{now: time.Unix(0, 0), bytes: b}
	s.conn = NewConn(s.now, nil)
	s.hub = &fuzzHub{t: t, conn: s.conn, alive: map[any]bool{}}
	s.conn.Feed(s.now, []byte(headerAMQP))
	s.conn.Feed(s.now, framed(0, (&open{containerID: "c", maxFrameSize: minFrame, channelMax: 2, idleTimeout: 9000}).append(nil)))
	for channel := range uint16(2) {
		s.conn.Feed(s.now, framed(channel, (&begin{incomingWindow: 9, handleMax: 3}).append(nil)))
	}
	for more := true; more; more = len(s.bytes) > 0 {
		if s.next(3) > 0 {
			s.client()
		} else {
			s.verb()
		}
		for ev := s.conn.Next(); ev != nil; ev = s.conn.Next() {
			a, ok := ev.(*Attaching)
			if !ok {
				s.hub.answer(ev)
				continue
			}
			s.hub.want(s.hub.alive[a.Link.Session()] && !s.hub.alive[a.Link], ev)
			s.hub.alive[a.Link] = true
			s.links = append(s.links, a.Link)
			if s.flag() {
				a.Link.Accept(s.next(4))
			}
		}
		s.hub.check()
		s.hub.out = s.conn.AppendOutput(s.now, s.hub.out)
	}
	checkOutput(t, s.hub.out)
	checkOrder(t, s.hub.out)
}

// FuzzStory lets clients and hubs do anything at any time.
func FuzzStory(f *testing.F) {
	f.Add([]byte{0, 0, 1, 5, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 4, 0, 0, 3, 3, 0, 1})
	f.Fuzz(tell)
}

// TestStories is the same without a search: many long stories.
func TestStories(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 1+random.IntN(2000))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { tell(t, b) }) {
			return
		}
	}
}

// checkOrder checks what a client may rely on: nothing comes on a handle that
// is not attached or on a channel that has no session, nothing after CLOSE, and
// deliveries count up.
func checkOrder(t *testing.T, out []byte) {
	t.Helper()
	type place struct{ channel, handle uint32 }
	attached := map[place]bool{}
	sessions, next := map[uint16]bool{}, map[uint16]uint32{}
	closed := false
	for out = out[headerSize:]; len(out) > 0; {
		f, n, _ := consumeFrame(out, maxFrame)
		out = out[n:]
		if closed {
			t.Fatalf("a frame after CLOSE: %x", f.body)
		}
		if len(f.body) == 0 {
			continue
		}
		code, fs, _, err := consumePerformative(f.body)
		p := newPerformative(code)
		if p.read(&fs); err != nil || fs.wrong != "" {
			t.Fatalf("a frame that cannot be read: %v, %s", err, fs.wrong)
		}
		if code >= descAttach && code <= descEnd && !sessions[f.channel] {
			t.Fatalf("%+v on channel %d, which has no session", p, f.channel)
		}
		at := func(handle uint32) place { return place{uint32(f.channel), handle} }
		switch p := p.(type) {
		case *begin:
			sessions[f.channel], next[f.channel] = true, 0
		case *attach:
			if attached[at(p.handle)] {
				t.Fatalf("handle %d is attached twice", p.handle)
			}
			attached[at(p.handle)] = true
		case *flow:
			if p.handle.set && !attached[at(p.handle.value)] {
				t.Fatalf("FLOW for handle %d, which is not attached", p.handle.value)
			}
		case *transfer:
			if !attached[at(p.handle)] {
				t.Fatalf("TRANSFER on handle %d, which is not attached", p.handle)
			}
			if p.deliveryID.set {
				if p.deliveryID.value != next[f.channel] {
					t.Fatalf("delivery %d, want %d", p.deliveryID.value, next[f.channel])
				}
				next[f.channel]++
			}
		case *detach:
			if !attached[at(p.handle)] {
				t.Fatalf("DETACH of handle %d, which is not attached", p.handle)
			}
			delete(attached, at(p.handle))
		case *ended:
			if closed = p.descriptor == descClose; !closed {
				delete(sessions, f.channel)
				for k := range attached {
					if k.channel == uint32(f.channel) {
						delete(attached, k)
					}
				}
			}
		}
	}
}

package amqpwire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// A guarded is a Guard with what both sides say: we on channel 0, the server on
// channel 5.
type guarded struct {
	*Guard
	t   *testing.T
	now time.Time
}

const theirChannel = 5

// newGuarded is one whose session is open, with a sender "out" of handle 0 (the
// server's 7) and a receiver "in" of handle 1 (the server's 8). Nobody has credit.
func newGuarded(t *testing.T) *guarded {
	g := &guarded{t: t, now: time.Unix(1000, 0)}
	g.Guard = NewGuard(g.now)
	g.leaves([]byte(headerAMQP))
	g.comes([]byte(headerAMQP))
	g.hub(0, &open{containerID: "hub", maxFrameSize: 1 << 20, channelMax: 9, idleTimeout: 240_000})
	g.ours(&begin{incomingWindow: 5000, outgoingWindow: 5000, handleMax: 9})
	g.hub(theirChannel, &begin{remoteChannel: some[uint16](0), nextOutgoingID: 1, incomingWindow: 100, outgoingWindow: 100, handleMax: 9})
	g.ours(&attach{name: "out", handle: 0, role: Sender})
	g.ours(&attach{name: "in", handle: 1, role: Receiver})
	g.hub(theirChannel, answer("out", 7, Receiver))
	g.hub(theirChannel, answer("in", 8, Sender))
	if err := g.err; err != nil {
		t.Fatal(err)
	}
	g.taken()
	return g
}

func answer(name string, handle uint32, role Role) *attach {
	here := terminus{present: true}
	return &attach{name: name, handle: handle, role: role, source: here, target: here}
}

func (g *guarded) comes(b []byte) error { return g.Comes(g.now, b) }

func (g *guarded) leaves(b []byte) []byte { return g.Leaves(b) }

// hub has the server say something.
func (g *guarded) hub(channel uint16, p performative) error {
	return g.comes(appendFrame(nil, channel, p, nil))
}

// ours has go-amqp say something, and returns what is written.
func (g *guarded) ours(p performative) []byte {
	return bytes.Clone(g.leaves(appendFrame(nil, 0, p, nil)))
}

// taken is what go-amqp reads.
func (g *guarded) taken() []byte {
	var all []byte
	for b := make([]byte, 1000); ; {
		n := g.Read(b)
		if n == 0 {
			return all
		}
		all = append(all, b[:n]...)
	}
}

// wantFlow reads the one FLOW that there is.
func (g *guarded) wantFlow(b []byte) flow {
	g.t.Helper()
	f, n, err := Inspect(b)
	var p flow
	if err != nil || n == 0 || n != len(b) || f.Kind != KindFlow || f.read(&p) != nil {
		g.t.Fatalf("got %x, %v; want a FLOW", b, err)
	}
	return p
}

// credit has go-amqp give credit, and returns what is written.
func (g *guarded) credit(count, credit uint32) flow {
	return g.wantFlow(g.ours(&flow{nextIncomingID: some[uint32](99), incomingWindow: 5000, handle: some[uint32](1), deliveryCount: some(count), linkCredit: some(credit)}))
}

// message sends one in so many parts.
func (g *guarded) message(payload string, parts int) error {
	p := &transfer{handle: 8, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0), settled: some(true)}
	size := len(payload)/parts + 1
	var err error
	for i := range parts {
		p.more = i < parts-1
		part := payload[min(len(payload), i*size):min(len(payload), (i+1)*size)]
		if e := g.comes(appendFrame(nil, theirChannel, p, []byte(part))); err == nil {
			err = e
		}
		p.deliveryID, p.tag, p.format, p.settled = optional[uint32]{}, nil, optional[uint32]{}, optional[bool]{}
	}
	return err
}

// data is a message's section of data.
func data(size int) string {
	return string(appendLength([]byte{0, codeSmallUlong, descData}, codeBin8, size)) + strings.Repeat("x", size)
}

// Every number of OPEN has a floor and a ceiling, and every text an end.
func TestGuardOpen(t *testing.T) {
	for _, tt := range []struct {
		desc     string
		in, want open
		err      error
	}{
		{"a good one", open{containerID: "c", maxFrameSize: 4096, channelMax: 9, idleTimeout: 240_000}, open{containerID: "c", maxFrameSize: 4096, channelMax: 9, idleTimeout: 240_000}, nil},
		{"no idle time-out", open{containerID: "c", maxFrameSize: 512}, open{containerID: "c", maxFrameSize: 512}, nil},
		{"one of a millisecond", open{containerID: "c", maxFrameSize: 512, idleTimeout: 1}, open{containerID: "c", maxFrameSize: 512, idleTimeout: 2000}, nil},
		{"one of weeks", open{containerID: "c", maxFrameSize: 512, idleTimeout: 1<<32 - 1}, open{containerID: "c", maxFrameSize: 512, idleTimeout: 3_600_000}, nil},
		{"large frames", open{containerID: "c", maxFrameSize: 1<<32 - 1, channelMax: 1<<16 - 1}, open{containerID: "c", maxFrameSize: 65536, channelMax: 1<<16 - 1}, nil},
		{"small frames", open{containerID: "c", maxFrameSize: 511}, open{}, ErrProtocol},
		{"frames of nothing", open{containerID: "c", maxFrameSize: 0}, open{}, ErrProtocol},
		{"long names", open{containerID: strings.Repeat("é", 20000), hostname: "h", maxFrameSize: 512}, open{containerID: strings.Repeat("é", 128), maxFrameSize: 512}, nil},
	} {
		g := &guarded{Guard: NewGuard(time.Unix(0, 0)), t: t}
		g.comes([]byte(headerAMQP))
		if err := g.hub(0, &tt.in); !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", tt.desc, err, tt.err)
		}
		want := headerAMQP
		if tt.err == nil {
			want += string(appendFrame(nil, 0, &tt.want, nil))
		}
		if got := string(g.taken()); got != want {
			t.Errorf("%s: go-amqp reads %x, want %x", tt.desc, got, want)
		}
	}
}

// What comes in no place, or with numbers beyond all bounds, ends the connection.
func TestGuardRefuses(t *testing.T) {
	whole := &transfer{handle: 8, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0)}
	for desc, p := range map[string]performative{
		"a second OPEN":                     &open{containerID: "c", maxFrameSize: 512},
		"a BEGIN that answers none":         &begin{remoteChannel: some[uint16](1), handleMax: 9},
		"a second answer to a BEGIN":        &begin{remoteChannel: some[uint16](0), handleMax: 9},
		"a BEGIN of the server's own":       &begin{handleMax: 9},
		"an ATTACH that answers none":       answer("other", 9, Sender),
		"a second answer to an ATTACH":      answer("in", 9, Sender),
		"an answer from the wrong side":     answer("out", 9, Sender),
		"a disposition of too many":         &disposition{role: Receiver, first: 0, last: some[uint32](10_001), settled: true},
		"a disposition to the last of all":  &disposition{role: Receiver, first: 1<<32 - 2, last: some[uint32](1<<32 - 1), settled: true},
		"a message without credit":          whole,
		"a message on a link that receives": &transfer{handle: 7, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0)},
		"a message that does not begin":     &transfer{handle: 8},
	} {
		g := newGuarded(t)
		if err := g.hub(theirChannel, p); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v, want ErrProtocol", desc, err)
		}
		if err := g.hub(theirChannel, &ended{descriptor: descEnd}); !errors.Is(err, ErrProtocol) || len(g.taken()) > 0 {
			t.Errorf("%s: something passes after it", desc)
		}
	}
	for desc, p := range map[string]performative{
		"a frame on a channel without session": &flow{},
		"a BEGIN of few handles":               &begin{remoteChannel: some[uint16](3), handleMax: 2},
	} {
		g := newGuarded(t)
		g.leaves(appendFrame(nil, 3, &begin{}, nil))
		if err := g.hub(6, p); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v, want ErrProtocol", desc, err)
		}
	}
	for desc, b := range map[string]string{
		"a second header": headerAMQP, "no frame at all": "HTTP/1.1 400 Bad Request", "a frame of two gigabytes": "\x7f\xff\xff\xff\x02\x00\x00\x05",
	} {
		if err := newGuarded(t).comes([]byte(b)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v, want ErrProtocol", desc, err)
		}
	}
}

// Texts are cut, and what go-amqp does not need it does not read.
func TestGuardWritesAnew(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	said, cut := &Error{Condition: long, Description: long}, &Error{Condition: long[:256], Description: long[:4096]}
	for desc, tt := range map[string]struct{ in, want performative }{
		"DETACH":                      {&detach{handle: 7, closed: true, err: said}, &detach{handle: 7, closed: true, err: cut}},
		"DETACH that does not close":  {&detach{handle: 8}, &detach{handle: 8, closed: true}},
		"END":                         {&ended{descriptor: descEnd, err: said}, &ended{descriptor: descEnd, err: cut}},
		"a rejection":                 {&disposition{role: Receiver, first: 3, settled: true, final: true, outcome: Outcome{Rejected, said}}, &disposition{role: Receiver, first: 3, settled: true, final: true, outcome: Outcome{Rejected, cut}}},
		"a disposition of its own":    {&disposition{role: Sender, first: 3, settled: true}, nil},
		"a disposition of none":       {&disposition{role: Receiver, first: 3, last: some[uint32](2), settled: true}, nil},
		"a disposition of nothing":    {&disposition{role: Receiver, first: 3}, nil},
		"a FLOW that changes nothing": {&flow{nextIncomingID: some[uint32](0), incomingWindow: 100, nextOutgoingID: 77, outgoingWindow: 3}, nil},
		"credit for who sends":        {&flow{nextIncomingID: some[uint32](0), incomingWindow: 100, handle: some[uint32](7), linkCredit: some[uint32](50)}, nil},
		"a wider window": {&flow{nextIncomingID: some[uint32](0), incomingWindow: 200},
			&flow{nextIncomingID: some[uint32](0), incomingWindow: 200, nextOutgoingID: 1, outgoingWindow: wideWindow}},
		"the widest window": {&flow{nextIncomingID: some[uint32](0), incomingWindow: 1<<32 - 1},
			&flow{nextIncomingID: some[uint32](0), incomingWindow: wideWindow, nextOutgoingID: 1, outgoingWindow: wideWindow}},
		"FLOW with echo": {&flow{nextIncomingID: some[uint32](0), incomingWindow: 100, echo: true},
			&flow{nextIncomingID: some[uint32](0), incomingWindow: 100, nextOutgoingID: 1, outgoingWindow: wideWindow, echo: true}},
		"a performative that nobody knows": {&ended{descriptor: 0x1b}, nil},
	} {
		g := newGuarded(t)
		err := g.hub(theirChannel, tt.in)
		var want []byte
		if tt.want != nil {
			want = appendFrame(nil, theirChannel, tt.want, nil)
		}
		if got := g.taken(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: go-amqp reads %x, %v; want %x", desc, got, err, want)
		}
	}
	g := newGuarded(t)
	_ = g.hub(0, &ended{descriptor: descClose, err: said})
	if got := g.taken(); !bytes.Equal(got, appendFrame(nil, 0, &ended{descriptor: descClose, err: cut}, nil)) {
		t.Errorf("CLOSE: go-amqp reads %x", got)
	}
	if err := g.hub(theirChannel, &flow{}); err != nil || len(g.taken()) > 0 {
		t.Errorf("something passes after CLOSE, or %v", err)
	}
}

// An ATTACH passes with what go-amqp needs, and with credit for who sends.
func TestGuardAttach(t *testing.T) {
	g := newGuarded(t)
	g.ours(&attach{name: "more", handle: 2, role: Sender})
	p := answer("more", 9, Receiver)
	p.source.address, p.maxMessageSize, p.rcvSettleMode = strings.Repeat("a", 5000), 1000, some[byte](1)
	p.properties = unhex(t, `c10702 a301 6b a101 76`)
	if err := g.hub(theirChannel, p); err != nil {
		t.Fatal(err)
	}
	got := g.taken()
	_, n, _ := Inspect(got)
	if want := appendFrame(nil, theirChannel, answer("more", 9, Receiver), nil); !bytes.Equal(got[:n], want) {
		t.Errorf("go-amqp reads %x, want %x", got[:n], want)
	}
	if f := g.wantFlow(got[n:]); f.linkCredit != some[uint32](freeCredit) || f.handle.value != 9 {
		t.Errorf("go-amqp gets %+v; want credit", f)
	}
	l := g.Sender("more")
	if l == nil || !l.Takes(1000) || l.Takes(1001) || l.Room(1) || g.Sender("none") != nil {
		t.Errorf("the link's account is %+v", l)
	}
	g.ours(&attach{name: "refused", handle: 3, role: Sender})
	if err := g.hub(theirChannel, &attach{name: "refused", handle: 4, role: Receiver}); err != nil {
		t.Fatal(err)
	}
	if _, n, _ = Inspect(g.taken()); n == 0 {
		t.Error("a refused link: nothing passes")
	}
}

// A server may abort all that it has credit for, and gets more all the same. One
// that does nothing else floods.
func TestGuardRenewsWhatIsAborted(t *testing.T) {
	abort := func(g *guarded, id uint32) error {
		p := &transfer{handle: 8, deliveryID: some(id), tag: []byte("t"), format: some[uint32](0), more: true}
		if err := g.comes(appendFrame(nil, theirChannel, p, []byte("x"))); err != nil {
			return err
		}
		return g.hub(theirChannel, &transfer{handle: 8, aborted: true})
	}
	for _, credit := range []uint32{1, 2, 7, 8} {
		g := newGuarded(t)
		g.credit(0, credit)
		var err error
		id := uint32(0)
		for ; err == nil && id < 100_000; id++ {
			if err = abort(g, id); err != nil {
				break
			}
			b := g.taken()
			if len(b) == 0 {
				continue
			}
			if f := g.wantFlow(b); !f.echo || f.handle != some[uint32](8) {
				t.Fatalf("credit %d: go-amqp reads %+v, want to be asked for the link's credit", credit, f)
			}
			if f := g.credit(0, credit); f.deliveryCount != some(id+1) || f.linkCredit != some(credit) { // it counted none
				t.Fatalf("credit %d: the server hears %+v after %d deliveries", credit, f, id+1)
			}
		}
		if id < 500 || !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "floods") {
			t.Errorf("credit %d: got %v after %d deliveries, want a flood after some hundred", credit, err, id)
		}
	}
}

// Window and credit are the server's, whatever go-amqp was given.
func TestGuardRoom(t *testing.T) {
	grant := func(base, window, count, credit uint32) *flow {
		return &flow{nextIncomingID: some(base), incomingWindow: window, handle: some[uint32](7), deliveryCount: some(count), linkCredit: some(credit)}
	}
	send := func(g *guarded, n int) {
		for range n {
			g.ours(&transfer{handle: 0, deliveryID: some[uint32](0), more: true})
			g.ours(&transfer{handle: 0})
		}
	}
	for _, tt := range []struct {
		desc string
		say  []performative
		sent int // before the last
		room bool
		told uint32 // the window that go-amqp knows after
	}{
		{"nothing", nil, 0, false, 100},
		{"credit", []performative{grant(0, 100, 0, 5)}, 0, true, 100},
		{"credit that is used up", []performative{grant(0, 100, 0, 5), grant(10, 100, 0, 5)}, 5, false, 100},
		{"more credit", []performative{grant(0, 100, 0, 5), grant(10, 100, 5, 5)}, 5, true, 100},
		{"credit of a server that lags", []performative{grant(0, 100, 0, 5), grant(8, 100, 4, 2)}, 5, true, 98},
		{"credit taken back", []performative{grant(0, 100, 0, 5), grant(10, 100, 3, 0)}, 5, false, 100},
		{"a window that is used up", []performative{grant(0, 10, 0, 50), grant(10, 0, 5, 50)}, 5, false, 90},
		{"a window taken back", []performative{grant(0, 100, 0, 50), grant(4, 2, 5, 50)}, 5, false, 90},
		{"a server that has more than we sent", []performative{grant(1000, 5, 0, 50)}, 0, true, 100},
		{"a server that leaves it out", []performative{&flow{incomingWindow: 5, handle: some[uint32](7), linkCredit: some[uint32](9)}}, 0, true, 100},
		{"the most of both", []performative{grant(0, 1<<32-1, 0, 1<<32-1)}, 0, true, wideWindow},
		{"the end of the link", []performative{&detach{handle: 7, closed: true}}, 0, true, 100}, // to fail at once
	} {
		g := newGuarded(t)
		for i, p := range tt.say {
			if i == len(tt.say)-1 {
				send(g, tt.sent)
			}
			if err := g.hub(theirChannel, p); err != nil {
				t.Fatalf("%s: %v", tt.desc, err)
			}
		}
		l := g.sessions[0].ours[0]
		if l == nil { // ended
			t.Fatalf("%s: the link is gone", tt.desc)
		}
		if got := l.Room(1); got != tt.room {
			t.Errorf("%s: room is %v, want %v", tt.desc, got, tt.room)
		}
		if got := g.sessions[0].granted - g.sessions[0].moved; got != tt.told {
			t.Errorf("%s: go-amqp knows a window of %d, want %d", tt.desc, got, tt.told)
		}
	}
}

// A drain takes the credit, and is answered.
func TestGuardDrain(t *testing.T) {
	g := newGuarded(t)
	l := g.Sender("out")
	_ = g.hub(theirChannel, &flow{nextIncomingID: some[uint32](0), incomingWindow: 100, handle: some[uint32](7), deliveryCount: some[uint32](0), linkCredit: some[uint32](5)})
	if !l.Room(1) || len(l.Wake) != 1 {
		t.Error("there is credit, and nobody knows")
	}
	_ = g.hub(theirChannel, &flow{nextIncomingID: some[uint32](0), incomingWindow: 100, handle: some[uint32](7), deliveryCount: some[uint32](0), linkCredit: some[uint32](5), drain: some(true)})
	if f := g.wantFlow(g.taken()); !f.echo || l.Room(1) {
		t.Errorf("go-amqp reads %+v, and room is %v; want an echo and none", f, l.Room(1))
	}
	f := g.wantFlow(g.ours(&flow{handle: some[uint32](0), deliveryCount: some[uint32](0), linkCredit: some[uint32](freeCredit)}))
	if f.deliveryCount != some[uint32](5) || f.linkCredit != some[uint32](0) || f.drain != some(true) {
		t.Errorf("the server hears %+v; want that all credit is gone", f)
	}
}

// What we say of windows is right however a server cuts its messages, also when
// it gives some of them up.
func TestGuardCounts(t *testing.T) {
	const parts, messages = 10, 100
	g := newGuarded(t)
	if p := g.credit(0, messages+5); p.incomingWindow != wideWindow || p.nextIncomingID != some[uint32](1) {
		t.Errorf("at first the server hears %+v", p)
	}
	for i := range messages {
		if err := g.message(data(100), parts); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	for range 5 {
		if err := g.hub(theirChannel, &transfer{handle: 8, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0), aborted: true}); err != nil {
			t.Fatal(err)
		}
	}
	// go-amqp counts the whole messages from 0.
	p := g.credit(messages, 1)
	if p.nextIncomingID != some[uint32](1+parts*messages+5) || p.deliveryCount != some[uint32](messages+5) || p.linkCredit != some[uint32](1) {
		t.Errorf("the server hears %+v; want all that it sent counted", p)
	}
	if err := g.message(data(100), 1); err != nil {
		t.Error(err)
	}
	if err := g.message(data(100), 1); !errors.Is(err, ErrProtocol) {
		t.Errorf("a message beyond the credit: %v", err)
	}
}

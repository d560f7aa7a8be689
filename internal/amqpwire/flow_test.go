package amqpwire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func credit(handle, window, count, n uint32) *flow {
	return &flow{nextIncomingID: some[uint32](1), incomingWindow: window, handle: some(handle), deliveryCount: some(count), linkCredit: some(n)}
}

func mustSend(t *testing.T, l *Link, m Outgoing) {
	t.Helper()
	if err := l.Send(m); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// TestOutgoingWaits holds messages back for credit, for the session's window in
// the middle of a message, and for settlement.
func TestOutgoingWaits(t *testing.T) {
	s := begun(t, nil, minFrame)
	l := s.link(1, Receiver, 0)
	payload := bytes.Repeat([]byte("p"), 1000)
	mustSend(t, l, Outgoing{Payload: payload, Tag: []byte("one")})
	mustSend(t, l, Outgoing{Payload: []byte("two"), Settled: true})
	s.wantSent("without credit")

	s.says(3, credit(1, 1, 0, 1))
	s.wantEvents("credit for one message, window for one frame")
	s.wantSent("credit for one message, window for one frame", "transfer 1 id {0 true} 482 bytes more true")

	f := credit(1, 100, 0, 1)
	f.nextIncomingID = some[uint32](2)
	s.says(3, f)
	s.wantEvents("a wider window")
	s.wantSent("a wider window", "transfer 1 id {0 false} 486 bytes more true", "transfer 1 id {0 false} 32 bytes more false")

	s.says(3, &flow{nextIncomingID: some[uint32](4), incomingWindow: 9, handle: some[uint32](1), deliveryCount: some[uint32](1), linkCredit: some[uint32](5), drain: some(true)})
	s.wantEvents("a drain")
	s.wantSent("a drain", "transfer 1 id {1 true} 3 bytes more false", "flow 1 count 6 credit 0 drain true")

	s.says(3, &disposition{role: Sender, settled: true, outcome: Outcome{State: Rejected}, final: true})
	s.says(3, &disposition{role: Receiver})
	s.wantEvents("dispositions that settle nothing of ours")
	s.says(3, &disposition{role: Receiver, last: some[uint32](7), settled: true})
	s.wantEvents("a settlement without state", "Settled one 0x24")
	s.says(3, &disposition{role: Receiver, settled: true})
	s.wantEvents("a settlement of what is settled")

	s.says(3, &flow{nextIncomingID: some[uint32](5), echo: true})
	s.wantEvents("an echo")
	s.wantSent("an echo", "flow next 0")
	s.says(3, &flow{nextIncomingID: some[uint32](5), echo: true, handle: some[uint32](1), deliveryCount: some[uint32](6), linkCredit: some[uint32](2)})
	s.wantEvents("an echo for a link")
	s.wantSent("an echo for a link", "flow 1 count 6 credit 2")
}

// TestNoWindow begins no delivery that cannot go: its id would be missing when
// its link is gone, which ends a connection with rhea.
func TestNoWindow(t *testing.T) {
	s := begun(t, nil, maxFrame)
	first, second := s.link(1, Receiver, 0), s.link(2, Receiver, 0)
	s.says(3, credit(1, 0, 0, 5))
	s.says(3, credit(2, 0, 0, 5))
	s.wantEvents("credit without window")
	mustSend(t, first, Outgoing{})
	mustSend(t, second, Outgoing{})
	first.Detach(nil)
	s.wantSent("without window", "detach 1")
	s.says(3, credit(2, 1, 0, 5))
	s.wantEvents("a window")
	s.wantSent("a window", "transfer 2 id {0 true}")
}

// TestUnsettledBound stops sending to a client that settles nothing.
func TestUnsettledBound(t *testing.T) {
	s := begun(t, nil, maxFrame)
	l := s.link(1, Receiver, 0)
	s.says(3, credit(1, 1<<30, 0, 1<<30))
	s.wantEvents("credit")
	for range maxUnsettled + maxQueued {
		mustSend(t, l, Outgoing{})
	}
	if got := len(s.sent()); got != maxUnsettled {
		t.Errorf("sent %d messages that are not settled, want %d", got, maxUnsettled)
	}
	if err := l.Send(Outgoing{}); !errors.Is(err, ErrFull) {
		t.Errorf("one more: got error %v, want %v", err, ErrFull)
	}
	s.says(3, &disposition{role: Receiver, first: 0, last: some[uint32](9), settled: true, outcome: Outcome{State: Accepted}, final: true})
	s.wantEvents("ten are settled", settledTags(10)...)
	if got := len(s.sent()); got != 10 {
		t.Errorf("sent %d messages after ten were settled, want 10", got)
	}
}

// settledTags are the events of the first deliveries, whose tags count from 1.
func settledTags(n int) (all []string) {
	for i := 1; i <= n; i++ {
		all = append(all, fmt.Sprintf("Settled %s\x00\x00\x00 0x24", []byte{byte(i)}))
	}
	return all
}

// TestSendRefuses what cannot go.
func TestSendRefuses(t *testing.T) {
	s := begun(t, nil, maxFrame)
	up, down := s.link(0, Sender, 0), s.link(1, Receiver, 0)
	s.says(3, &attach{name: "small", handle: 2, role: Receiver, source: terminus{true, "a"}, maxMessageSize: 10})
	small := s.wantEvents("attach", "Attaching receiver a>").(*Attaching).Link
	if err := small.Send(Outgoing{}); !errors.Is(err, ErrGone) {
		t.Errorf("on a link that is not accepted: got error %v, want %v", err, ErrGone)
	}
	s.says(3, credit(2, 100, 0, 1)) // a client that does not wait for our answer
	s.wantEvents("early credit")
	small.Accept(0)
	s.sent()
	half := make([]byte, maxMessage/2)
	for range maxQueuedBytes / len(half) {
		mustSend(t, down, Outgoing{Payload: half})
	}
	tests := []struct {
		name string
		link *Link
		m    Outgoing
		want error
	}{
		{"against a link's direction", up, Outgoing{}, ErrGone},
		{"more than the hub sends", down, Outgoing{Payload: make([]byte, maxMessage+1)}, ErrTooLarge},
		{"more than the client takes", small, Outgoing{Payload: make([]byte, 11)}, ErrTooLarge},
		{"a long tag", down, Outgoing{Tag: make([]byte, maxTag+1)}, ErrTooLarge},
		{"more than may wait", small, Outgoing{Payload: []byte("x")}, ErrFull},
	}
	for _, tt := range tests {
		if err := tt.link.Send(tt.m); !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
	}
	s.says(3, &detach{handle: 1, closed: true})
	s.wantEvents("detach", "Detached /")
	s.wantSent("detach", "detach 1")
	mustSend(t, small, Outgoing{Payload: []byte("now there is room"[:10])})
	s.wantSent("on early credit", "transfer 2")
	if err := down.Send(Outgoing{}); !errors.Is(err, ErrGone) {
		t.Errorf("after its detach: got error %v, want %v", err, ErrGone)
	}
}

// TestIncomingFlow renews credit and window, joins parts and drops what is
// aborted.
func TestIncomingFlow(t *testing.T) {
	s := begun(t, nil, maxFrame)
	l := s.link(0, Sender, 4)
	s.says(3, part(0, 0, true), "one ")
	s.says(3, &transfer{handle: 0, more: true}, "and ")
	s.says(3, &transfer{handle: 0, settled: some(true)}, "two")
	if d := s.wantEvents("a message in parts", "Delivery 0 one and two").(*Delivery); !d.Settled || string(d.Tag) != "t" || d.Link != l {
		t.Errorf("got %+v, want it settled, with tag t, on its link", d)
	}
	s.wantSent("half of the credit is left")
	s.says(3, part(0, 1, true), "lost")
	s.says(3, &transfer{handle: 0, aborted: true})
	s.wantEvents("a message that is aborted")
	s.wantSent("half of the credit is used", "flow 0 count 2 credit 4")
	if s.conn.partial != 0 {
		t.Errorf("%d bytes of messages are begun, want none", s.conn.partial)
	}

	for i := range uint32(window) {
		s.says(3, part(0, i, false), "x")
		s.wantEvents("a message", fmt.Sprintf("Delivery %d x", i))
	}
	var session, link int
	for _, f := range s.sent() {
		if strings.HasPrefix(f, "flow next") {
			session++
		} else {
			link++
		}
	}
	if session != 0 || link != window/2 {
		t.Errorf("got %d flows of the session and %d of the link; want the link's %d to serve for both", session, link, window/2)
	}

	l.Settle(7, Outcome{State: Rejected, Error: &Error{Condition: "c", Description: strings.Repeat("d", 1000)}})
	s.wantSent("settle", "disposition true 7 0x25")
	l.Detach(nil)
	l.Detach(nil)
	l.Settle(8, Outcome{State: Accepted})
	s.wantSent("once", "detach 0")
}

// TestSuspend ends a link without closing it: the client's answer is the last of
// it.
func TestSuspend(t *testing.T) {
	s := begun(t, nil, maxFrame)
	l := s.link(0, Sender, 1)
	l.Suspend(&Error{Condition: "c"})
	l.Detach(nil)
	l.Suspend(nil)
	s.wantSent("once", "detach 0 c, open")
	s.says(3, &detach{handle: 0, closed: true})
	s.wantEvents("the client's answer", "Detached /c")
}

// TestSessionWindow uses up the window on a link whose credit is not renewed,
// so that only the session can say that there is more.
func TestSessionWindow(t *testing.T) {
	s := begun(t, nil, maxFrame)
	s.link(0, Sender, 1<<20)
	for i := range uint32(window) {
		s.says(3, part(0, i, false))
		s.wantEvents("a message", fmt.Sprintf("Delivery %d ", i))
	}
	s.wantSent("half of the window is used", "flow next 2501")
	s.conn.sessions[3].incomingWindow = 0
	s.says(3, part(0, window, false))
	s.wantEvents("none")
	s.wantSent("a transfer beyond the window", "end "+condWindow)
}

// TestPartialBound begins messages on many links.
func TestPartialBound(t *testing.T) {
	s := begun(t, nil, maxFrame)
	s.conn.sessions[3].handleLimit = handleMax
	big := strings.Repeat("x", maxFrame-100)
	for i := range uint32(maxPartial/len(big) + 1) {
		s.link(i, Sender, 0)
		s.says(3, part(i, i, true), big)
		s.wantEvents("a part")
	}
	s.wantSent("the part that is too much", fmt.Sprintf("detach %d %s", maxPartial/len(big), condResources))
	if s.conn.partial > maxPartial {
		t.Errorf("%d bytes of messages are begun, want at most %d", s.conn.partial, maxPartial)
	}
}

// TestLinkBound attaches without end.
func TestLinkBound(t *testing.T) {
	s := begun(t, nil, maxFrame)
	s.conn.links = maxLinks
	s.says(3, &attach{name: "l"})
	s.wantEvents("none")
	s.wantSent("a link too many", "end "+condResources)
}

// TestSmallFrames leaves out what a client with small frames cannot take.
func TestSmallFrames(t *testing.T) {
	s := begun(t, nil, minFrame)
	long := &Error{Condition: "c", Description: strings.Repeat("d", 600)}
	properties := performativeProperties(600)
	ask := func(handle uint32) *Link {
		s.says(3, &attach{name: "l", handle: handle, source: terminus{true, "a"}, target: terminus{true, "b"}, properties: properties})
		a := s.wantEvents("attach", "Attaching sender a>b").(*Attaching)
		if len(a.Properties["k"]) != 600 {
			t.Errorf("got properties %v, want a long k", a.Properties)
		}
		return a.Link
	}
	l := ask(0)
	l.Accept(0)
	l.Settle(1, Outcome{State: Rejected, Error: long})
	l.Detach(long)
	l.Session().End(long)
	s.conn.Close(long)
	s.wantSent("with small frames", "attach 0 true>true", "flow 0", "disposition true 1 0x25", "detach 0 c", "end c", "close c")
}

func performativeProperties(n int) []byte {
	b := appendString(appendSymbol(nil, "k"), strings.Repeat("v", n))
	size := len(b) + 4
	return append([]byte{codeMap32, 0, 0, byte(size >> 8), byte(size), 0, 0, 0, 2}, b...)
}

// TestRefusals answers links that are asked for in every way that they end.
func TestRefusals(t *testing.T) {
	s := begun(t, nil, maxFrame)
	ask := func(handle uint32) *Link {
		s.says(3, &attach{name: "l", handle: handle, role: Receiver, source: terminus{true, "a"}})
		return s.wantEvents("attach", "Attaching receiver a>").(*Attaching).Link
	}
	l := ask(0)
	l.Detach(&Error{Condition: "c"})
	l.Accept(0)
	l.Refuse(nil)
	s.wantSent("a detach instead of an answer", "attach 0 false>false", "detach 0 c")
	s.says(3, credit(0, 9, 0, 9)) // crosses our DETACH
	s.says(3, &detach{handle: 0})
	s.wantEvents("the client's answer", "Detached /c")
	s.wantSent("nothing more")

	l = ask(0)
	s.says(3, &detach{handle: 0, err: &Error{Condition: "x"}})
	s.wantEvents("the client does not wait", "Detached x/")
	s.wantSent("the client does not wait", "attach 0 false>false", "detach 0")
	l.Accept(0)
	s.wantSent("too late")

	s.says(3, &attach{name: "l", handle: 0})
	s.says(3, part(0, 0, false))
	s.wantEvents("a message before there is credit", "Attaching sender >")
	s.wantSent("a message before there is credit", "attach 0 false>false", "detach 0 "+condNoCredit)
}

// TestClose closes by the hub: nothing follows a CLOSE, and the client's ends.
func TestClose(t *testing.T) {
	s := begun(t, nil, maxFrame)
	l := s.link(0, Sender, 0)
	s.conn.Close(&Error{Condition: "amqp:connection:forced"})
	s.conn.Close(nil)
	l.Settle(0, Outcome{State: Accepted})
	l.Session().End(nil)
	s.conn.AcceptLogin()
	s.conn.RefuseLogin()
	s.now = s.now.Add(2 * time.Minute)
	s.conn.Tick(s.now)
	s.wantSent("close", "close amqp:connection:forced")
	s.says(3, part(0, 0, false))
	s.wantEvents("what crosses it")
	s.says(0, &ended{descriptor: descClose, err: &Error{Condition: "x"}})
	ev := s.wantEvents("the client's CLOSE", "Closed").(*Closed)
	if ev.Error.Error() != "x" || ev.Cause == nil || ev.Cause.Error() != "amqp:connection:forced" {
		t.Errorf("got %+v, want both reasons", ev)
	}
	s.wantSent("nothing more")
}

// TestHeartbeat speaks at half of the client's idle time-out, and not while
// there is something to say.
func TestHeartbeat(t *testing.T) {
	s := begun(t, &Options{IdleTimeout: 100 * time.Second}, maxFrame)
	if got, want := s.conn.NextTick(), s.now.Add(30*time.Second); !got.Equal(want) {
		t.Errorf("next tick: got %v, want %v", got, want)
	}
	s.now = s.now.Add(29 * time.Second)
	s.conn.Tick(s.now)
	s.wantSent("too early")
	s.now = s.now.Add(time.Second)
	s.conn.Tick(s.now)
	s.conn.Tick(s.now)
	s.wantSent("in time", "heartbeat")
	s.now = s.now.Add(65 * time.Second)
	s.conn.Feed(s.now, framed(0, nil))
	s.wantEvents("the client's heartbeat")
	s.now = s.now.Add(99 * time.Second)
	s.conn.Tick(s.now)
	s.wantSent("late", "heartbeat")
	if got, want := s.conn.NextTick(), s.now.Add(time.Second); !got.Equal(want) {
		t.Errorf("next tick: got %v, want the end of the silence at %v", got, want)
	}
	s.now = s.now.Add(time.Second)
	s.conn.Tick(s.now)
	if ev := s.wantEvents("silence", "Closed").(*Closed); !errors.Is(ev.Cause, ErrIdle) {
		t.Errorf("got %v, want %v", ev.Cause, ErrIdle)
	}
	s.conn.Tick(s.now)
	s.wantSent("to a client that is gone")
}

// TestLoginWaits reads nothing before the hub has answered, and bounds what it
// keeps meanwhile.
func TestLoginWaits(t *testing.T) {
	s := newScript(t, nil)
	s.conn.Feed(s.now, append([]byte(headerSASL), openLogin("PLAIN", "\x00user\x00secret")...))
	l := s.wantEvents("login", "Login").(*Login)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, l) + l.LogValue().String(); strings.Contains(got, "secret") || strings.Contains(got, fmt.Sprintf("%x", "secret")) || !strings.Contains(got, "user") {
			t.Errorf("%s prints %s; want the user and no password", verb, got)
		}
	}
	s.conn.Feed(s.now, []byte(headerAMQP))
	s.wantEvents("before the answer")
	s.conn.AcceptLogin()
	s.wantEvents("after it")
	s.wantSent("login", "header 3", "sasl 0x40", "sasl 0x44", "header 0")

	s = newScript(t, nil)
	s.conn.Feed(s.now, append([]byte(headerSASL), openLogin("ANONYMOUS", "")...))
	s.wantEvents("login", "Login")
	for range 5 {
		s.conn.Feed(s.now, make([]byte, maxFrame/2))
	}
	s.wantEvents("a flood", "Closed")
}

package amqpwire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A script is a client that says exactly what a test wants, to a hub that does
// what the test does.
type script struct {
	t    *testing.T
	conn *Conn
	now  time.Time
}

func newScript(t *testing.T, o *Options) *script {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &script{t: t, conn: NewConn(now, o), now: now}
}

// says feeds a performative on a channel, with a payload.
func (s *script) says(channel uint16, p performative, payload ...string) {
	s.conn.Feed(s.now, framed(channel, append(p.append(nil), strings.Join(payload, "")...)))
}

// wantEvents takes the events and compares what they are.
func (s *script) wantEvents(what string, want ...string) (last Event) {
	s.t.Helper()
	var got []string
	for ev := s.conn.Next(); ev != nil; ev = s.conn.Next() {
		got, last = append(got, describe(ev)), ev
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Fatalf("%s: got events %q, want %q", what, got, want)
	}
	return last
}

func describe(ev Event) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", ev), "*amqpwire.")
	say := func(e *Error) string {
		if e == nil {
			return ""
		}
		return e.Condition
	}
	switch ev := ev.(type) {
	case *Attaching:
		return fmt.Sprintf("%s %s %s>%s", name, ev.Link.Role(), ev.Source, ev.Target)
	case *Delivery:
		return fmt.Sprintf("%s %d %s", name, ev.ID, ev.Payload)
	case *Settled:
		return fmt.Sprintf("%s %s %#x", name, ev.Tag, byte(ev.Outcome.State))
	case *Detached:
		return fmt.Sprintf("%s %s/%s", name, say(ev.Error), say(ev.Sent))
	case *Ended:
		return fmt.Sprintf("%s %s/%s", name, say(ev.Error), say(ev.Sent))
	}
	return name
}

// wantSent takes the output and compares what it begins with, frame by frame.
func (s *script) wantSent(what string, want ...string) {
	s.t.Helper()
	got := s.sent()
	if len(got) != len(want) {
		s.t.Fatalf("%s: sent %q, want %q", what, got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			s.t.Fatalf("%s: sent %q, want %q", what, got, want)
		}
	}
}

// sent takes the output, and says of each frame what matters.
func (s *script) sent() (got []string) {
	s.t.Helper()
	out := s.conn.AppendOutput(s.now, nil)
	for len(out) > 0 {
		if bytes.HasPrefix(out, []byte("AMQP")) {
			got, out = append(got, fmt.Sprintf("header %d", out[4])), out[headerSize:]
			continue
		}
		f, n, err := consumeFrame(out, maxFrame)
		if n == 0 {
			s.t.Fatalf("output is no frame: %v", err)
		}
		got, out = append(got, s.describeFrame(f)), out[n:]
	}
	return got
}

func (s *script) describeFrame(f frame) string {
	if len(f.body) == 0 {
		return "heartbeat"
	}
	code, fs, payload, err := consumePerformative(f.body)
	if err != nil {
		s.t.Fatal(err)
	}
	if f.kind == frameSASL {
		return fmt.Sprintf("sasl %#x", code)
	}
	p := newPerformative(code)
	p.read(&fs)
	errText := func(e *Error) string {
		if e == nil {
			return ""
		}
		return " " + e.Condition
	}
	switch p := p.(type) {
	case *attach:
		return fmt.Sprintf("attach %d %t>%t", p.handle, p.source.present, p.target.present)
	case *flow:
		if !p.handle.set {
			return fmt.Sprintf("flow next %d", p.nextIncomingID.value)
		}
		return fmt.Sprintf("flow %d count %d credit %d drain %t", p.handle.value, p.deliveryCount.value, p.linkCredit.value, p.drain.value)
	case *transfer:
		return fmt.Sprintf("transfer %d id %v %d bytes more %t", p.handle, p.deliveryID, len(payload), p.more)
	case *disposition:
		return fmt.Sprintf("disposition %t %d %#x", p.role, p.first, byte(p.outcome.State))
	case *detach:
		text := fmt.Sprintf("detach %d%s", p.handle, errText(p.err))
		if !p.closed {
			text += ", open"
		}
		return text
	case *ended:
		return map[byte]string{descEnd: "end", descClose: "close"}[p.descriptor] + errText(p.err)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", p), "*amqpwire.")
}

// begun is a script whose connection and session 3 are there.
func begun(t *testing.T, o *Options, frameSize uint32) *script {
	s := newScript(t, o)
	s.conn.Feed(s.now, []byte(headerAMQP))
	s.says(0, &open{containerID: "c", hostname: "h", maxFrameSize: frameSize, channelMax: 10, idleTimeout: 60_000})
	s.says(3, &begin{incomingWindow: 100, outgoingWindow: 100, handleMax: 9})
	s.wantEvents("open and begin", "Opened", "Begun")
	s.wantSent("open and begin", "header 0", "open", "begin")
	return s
}

// link attaches a link that the hub accepts.
func (s *script) link(handle uint32, role Role, credit uint32) *Link {
	s.t.Helper()
	s.says(3, &attach{name: fmt.Sprint("link ", handle), handle: handle, role: role, source: terminus{true, "a"}, target: terminus{true, "b"}})
	l := s.wantEvents("attach", fmt.Sprintf("Attaching %s a>b", role)).(*Attaching).Link
	l.Accept(credit)
	want := []string{fmt.Sprintf("attach %d true>true", handle)}
	if role == Sender {
		want = append(want, fmt.Sprintf("flow %d count 0 credit", handle))
	}
	s.wantSent("attach", want...)
	return l
}

func part(handle, id uint32, more bool) *transfer {
	return &transfer{handle: handle, deliveryID: some(id), tag: []byte("t"), more: more}
}

// TestBrokenClients breaks the protocol in a session, each time otherwise. The
// session or the link ends, with its condition, and the connection lives.
func TestBrokenClients(t *testing.T) {
	big := strings.Repeat("x", maxFrame-100)
	tests := []struct {
		name string
		do   func(*script)
		want string // the last frame
	}{
		{"a TRANSFER on no link", func(s *script) { s.says(3, part(7, 0, false)) }, "end " + condUnattached},
		{"a FLOW for no link", func(s *script) { s.says(3, &flow{handle: some[uint32](7)}) }, "end " + condUnattached},
		{"a DETACH of no link", func(s *script) { s.says(3, &detach{handle: 7}) }, "end " + condUnattached},
		{"a handle twice", func(s *script) { s.says(3, &attach{name: "l", handle: 0}) }, "end " + condHandleInUse},
		{"a handle over the limit", func(s *script) { s.says(3, &attach{name: "l", handle: 10}) }, "end " + condNotAllowed},
		{"a long name", func(s *script) { s.says(3, &attach{name: strings.Repeat("l", maxName+1), handle: 5}) }, "end " + condInvalid},
		{"a TRANSFER where it receives", func(s *script) { s.says(3, part(1, 0, false)) }, "end " + condNotAllowed},
		{"a delivery without id", func(s *script) { s.says(3, &transfer{handle: 0, tag: []byte("t")}) }, "detach 0 " + condInvalid},
		{"a long tag", func(s *script) {
			s.says(3, &transfer{handle: 0, deliveryID: some[uint32](0), tag: make([]byte, maxTag+1)})
		}, "detach 0 " + condInvalid},
		{"a delivery inside another", func(s *script) {
			s.says(3, part(0, 0, true))
			s.says(3, part(0, 1, true))
		}, "detach 0 " + condNotAllowed},
		{"a delivery that is resumed", func(s *script) {
			p := part(0, 0, false)
			p.resume = true
			s.says(3, p)
		}, "detach 0 " + condNoCode},
		{"a message over the limit", func(s *script) {
			for range maxMessage/len(big) + 1 {
				s.says(3, part(0, 0, true), big)
			}
		}, "detach 0 " + condSize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := begun(t, nil, maxFrame)
			s.link(0, Sender, 0)
			s.link(1, Receiver, 0)
			tt.do(s)
			s.wantEvents("none yet")
			sent := s.sent()
			if len(sent) == 0 || sent[len(sent)-1] != tt.want {
				t.Fatalf("sent %q, want %q at the end", sent, tt.want)
			}
			// What the client sends before it has read that is ignored.
			s.says(3, part(0, 0, false), "x")
			event := fmt.Sprintf("Detached /%s", strings.TrimPrefix(tt.want, "detach 0 "))
			if condition, ok := strings.CutPrefix(tt.want, "end "); ok {
				event = "Ended /" + condition
				s.says(3, &ended{descriptor: descEnd})
			} else {
				s.says(3, &detach{handle: 0, closed: true})
			}
			s.wantEvents("the client's answer", event)
			s.says(4, &begin{})
			s.wantEvents("another session", "Begun")
		})
	}
}

// TestBrokenConnections ends connections whose client broke the protocol.
func TestBrokenConnections(t *testing.T) {
	raw := func(b ...byte) func(*script) { return func(s *script) { s.conn.Feed(s.now, b) } }
	tests := []struct {
		name string
		do   func(*script)
		want string // the last frame
	}{
		{"a frame that is too long", raw(0, 1, 0, 1, 2, 0, 0, 0), "close " + condFraming},
		{"a frame of SASL", raw(0, 0, 0, 8, 2, 1, 0, 0), "close " + condFraming},
		{"a frame without performative", raw(0, 0, 0, 9, 2, 0, 0, 0, 0x40), "close " + condDecode},
		{"a performative that is no list", raw(0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x18, 0x40), "close " + condDecode},
		{"OPEN twice", func(s *script) { s.says(0, &open{containerID: "c"}) }, "close " + condNotAllowed},
		{"BEGIN twice", func(s *script) { s.says(3, &begin{}) }, "close " + condNotAllowed},
		{"BEGIN on a high channel", func(s *script) { s.says(11, &begin{}) }, "close " + condNotAllowed},
		{"BEGIN that answers", func(s *script) { s.says(4, &begin{remoteChannel: some[uint16](1)}) }, "close " + condNotAllowed},
		{"a frame without session", func(s *script) { s.says(4, &detach{}) }, "close " + condNotAllowed},
		{"a DISPOSITION that cannot be read", func(s *script) {
			s.conn.Feed(s.now, framed(3, performativeOf(s.t, descDisposition, 0, "")))
		}, "close " + condDecode},
		{"a frame size that holds no answer", func(s *script) {
			s.says(3, &attach{name: strings.Repeat("n", 600), handle: 5, target: terminus{present: true}})
			s.conn.Next().(*Attaching).Link.Accept(0)
		}, ""},
		{"a frame size that holds no refusal", func(s *script) {
			s.says(3, &attach{name: strings.Repeat("n", 600), handle: 5, target: terminus{present: true}})
			s.conn.Next()
			s.says(3, &detach{handle: 5})
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := begun(t, nil, minFrame)
			tt.do(s)
			ev, _ := s.wantEvents(tt.name, "Closed").(*Closed)
			if !errors.Is(ev.Cause, ErrProtocol) || ev.Error != nil || !s.conn.Done() {
				t.Errorf("got %+v, done %t; want %v", ev, s.conn.Done(), ErrProtocol)
			}
			sent := strings.Join(s.sent(), ", ")
			if sent != tt.want {
				t.Errorf("sent %q, want %q", sent, tt.want)
			}
			s.says(3, &ended{descriptor: descClose})
			s.wantEvents("after the end")
			if next := s.conn.NextTick(); !next.IsZero() {
				t.Errorf("after the end: next tick at %v, want none", next)
			}
		})
	}
}

// TestBeginnings is what a stream may begin with.
func TestBeginnings(t *testing.T) {
	login := func(mechanism, response string) string {
		b := openLogin(mechanism, response)
		return headerSASL + string(b)
	}
	tests := []struct {
		name string
		in   string
		want []string // events, then frames
	}{
		{"nothing of ours", "GET / HTTP/1.1\r\n", []string{"Closed", "header 0"}},
		{"another letter", "B", []string{"Closed", "header 0"}},
		{"half a header", "AMQP\x00", nil},
		{"the TLS layer", "AMQP\x02\x01\x00\x00", []string{"Closed", "header 0"}},
		{"the C client's login", login("MSSBCBS", ""), []string{"Login", "header 3", "sasl 0x40"}},
		{"PLAIN without password", login("PLAIN", "\x00u"), []string{"Closed", "header 3", "sasl 0x40", "sasl 0x44"}},
		{"an unknown mechanism", login("GSSAPI", ""), []string{"Closed", "header 3", "sasl 0x40", "sasl 0x44"}},
		{"OPEN without container", headerAMQP + string(framed(0, performativeOf(t, descOpen, 0, ""))), []string{"Closed", "header 0", "open", "close " + condDecode}},
		{"OPEN with small frames", headerAMQP + string(framed(0, (&open{containerID: "c", maxFrameSize: 511}).append(nil))), []string{"Closed", "header 0", "open", "close " + condInvalid}},
		{"BEGIN before OPEN", headerAMQP + string(framed(0, (&begin{}).append(nil))), []string{"Closed", "header 0", "open", "close " + condNotAllowed}},
		{"a login that is no login", headerSASL + "\x00\x00\x00\x0c\x02\x01\x00\x00\x00\x53\x43\x45", []string{"Closed", "header 3", "sasl 0x40"}},
		{"a login without mechanism", headerSASL + "\x00\x00\x00\x0c\x02\x01\x00\x00\x00\x53\x41\x45", []string{"Closed", "header 3", "sasl 0x40"}},
		{"performatives that nobody knows", headerAMQP + string(framed(0, unhex(t, "005399 45"))) + string(framed(0, unhex(t, `00a30478797a7a 45`))), []string{"header 0"}},
		{"a CLOSE before OPEN", headerAMQP + string(framed(0, unhex(t, "005318 45"))), []string{"Closed", "header 0"}},
		{"AMQP inside of SASL", headerSASL + string(framed(0, nil)), []string{"Closed", "header 3", "sasl 0x40"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, len(tt.in)} {
				s := newScript(t, nil)
				var got []string
				for in := []byte(tt.in); len(in) > 0; in = in[min(piece, len(in)):] {
					s.conn.Feed(s.now, in[:min(piece, len(in))])
					for ev := s.conn.Next(); ev != nil; ev = s.conn.Next() {
						got = append(got, describe(ev))
					}
				}
				if got = append(got, s.sent()...); fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("in pieces of %d: got %q, want %q", piece, got, tt.want)
				}
			}
		})
	}
}

// openLogin is a client's sasl-init.
func openLogin(mechanism, response string) []byte {
	b, frameAt := openFrame(nil, frameSASL, 0)
	b, at := openDescribed(b, descInit)
	b = appendSymbol(b, mechanism)
	b = appendBinary(b, []byte(response))
	return closeFrame(closeList(b, at, 2), frameAt)
}

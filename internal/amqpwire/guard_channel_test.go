package amqpwire

import (
	"bytes"
	"testing"
	"time"
)

// A channel is not used again before its session has said goodbye, and what is
// under way then is nobody's.
func TestChannelIsFreeBeforeItIsUsed(t *testing.T) {
	g := &guarded{Guard: NewGuard(time.Unix(0, 0)), t: t}
	g.comes([]byte(headerAMQP))
	g.hub(0, &open{containerID: "hub", maxFrameSize: 512, channelMax: 9})
	ours := &begin{incomingWindow: wideWindow}
	begin, end := appendFrame(nil, 0, ours, nil), appendFrame(nil, 0, &ended{descriptor: descEnd}, nil)
	begins := func(desc string, want ...[]byte) {
		t.Helper()
		if got := g.ours(&beginAs{5000}); !bytes.Equal(got, bytes.Join(want, nil)) {
			t.Errorf("%s: BEGIN leaves as %x", desc, got)
		}
	}
	ends := func(desc string, want ...[]byte) {
		t.Helper()
		if got := g.ours(&ended{descriptor: descEnd}); !bytes.Equal(got, bytes.Join(want, nil)) {
			t.Errorf("%s: END leaves as %x", desc, got)
		}
	}
	hubBegins := func() { _ = g.hub(theirChannel, &beginAnswer{}) }
	hubEnds := func() { _ = g.hub(theirChannel, &ended{descriptor: descEnd}) }
	begins("the first", begin)
	hubBegins()
	hubEnds()
	begins("while an END is owed")
	ends("that END", end, begin)
	hubBegins()
	ends("a session's END", end)
	for range 2000 { // under way
		if err := g.hub(theirChannel, &transfer{handle: 3}); err != nil {
			t.Fatal(err)
		}
	}
	hubEnds()
	begins("after both", begin)
	ends("END", end)
	hubBegins()
	hubEnds()
	begins("after that", begin)
	if g.err != nil {
		t.Error(g.err)
	}
}

// beginAs is a BEGIN of go-amqp's.
type beginAs struct{ window uint32 }

func (p *beginAs) append(b []byte) []byte { return (&begin{incomingWindow: p.window}).append(b) }

// beginAnswer is the server's answer to it.
type beginAnswer struct{}

func (*beginAnswer) append(b []byte) []byte {
	return (&begin{remoteChannel: some[uint16](0), nextOutgoingID: 1, incomingWindow: 100, handleMax: 9}).append(b)
}

// The links of a session share its window: what one has claimed, another does not
// get, until it has left or is given back.
func TestGuardClaim(t *testing.T) {
	g := newGuarded(t)
	g.ours(&attach{name: "bulk", handle: 2, role: Sender})
	g.hub(theirChannel, answer("bulk", 9, Receiver))
	out, bulk := g.Sender("out"), g.Sender("bulk")
	grant := func(window uint32, theirs uint32) {
		if err := g.hub(theirChannel, &flow{nextIncomingID: some[uint32](0), incomingWindow: window, handle: some(theirs), deliveryCount: some[uint32](0), linkCredit: some[uint32](10)}); err != nil {
			t.Fatal(err)
		}
	}
	grant(5, 7)
	grant(5, 9)
	if bulk.Claim(6) || bulk.Window() != 5 || !bulk.Claim(4) || out.Room(2) || !out.Claim(1) {
		t.Error("want 4 of 5 transfers claimed, and 1 left")
	}
	out.Release()
	for range 2 { // the message is smaller than it was taken for
		g.ours(&transfer{handle: 2, deliveryID: some[uint32](0), tag: []byte("t"), format: some[uint32](0)})
	}
	if out.Room(2) {
		t.Error("there is room for 2 while 2 have left and 2 are claimed; want 1")
	}
	for len(out.Wake) > 0 {
		<-out.Wake
	}
	bulk.Release()
	if !out.Room(3) || out.Room(4) || len(out.Wake) != 1 {
		t.Error("want room for 3 after the claim was given back, and who waits woken")
	}
}

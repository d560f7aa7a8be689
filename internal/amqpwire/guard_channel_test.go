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

package amqpwire

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkRoundTrip is a twin's request and its answer: a message comes in,
// another goes out, both settled.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{100, 30_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			now := time.Unix(0, 0)
			c := NewConn(now, nil)
			attachTo := func(handle uint32, role Role) performative {
				return &attach{name: "l", handle: handle, role: role, source: terminus{true, "a"}, target: terminus{true, "a"}}
			}
			c.Feed(now, []byte(headerAMQP))
			for _, p := range []performative{
				&open{containerID: "c", maxFrameSize: maxFrame, channelMax: 9}, &begin{incomingWindow: 1 << 31, handleMax: 9},
				attachTo(0, Sender), attachTo(1, Receiver),
			} {
				c.Feed(now, framed(0, p.append(nil)))
			}
			var down *Link
			for ev := c.Next(); ev != nil; ev = c.Next() {
				if a, ok := ev.(*Attaching); ok {
					a.Link.Accept(0)
					down = a.Link
				}
			}
			c.Feed(now, framed(0, (&flow{incomingWindow: 1 << 31, handle: some[uint32](1), linkCredit: some[uint32](1 << 31)}).append(nil)))
			payload := make([]byte, size)
			in := framed(0, append((&transfer{deliveryID: some[uint32](1), tag: []byte("t"), settled: some(true)}).append(nil), payload...))
			out := c.AppendOutput(now, nil)
			for b.Loop() {
				c.Feed(now, in)
				for ev := c.Next(); ev != nil; ev = c.Next() {
					if err := down.Send(Outgoing{Payload: ev.(*Delivery).Payload, Settled: true}); err != nil {
						b.Fatal(err)
					}
				}
				out = c.AppendOutput(now, out[:0])
			}
			if len(out) < size {
				b.Fatalf("sent %d bytes, want an answer of over %d", len(out), size)
			}
		})
	}
}

func BenchmarkDecodeMessage(b *testing.B) {
	b.ReportAllocs()
	in := unhex(b, samples()[0].in)
	for b.Loop() {
		if _, err := DecodeMessage(in); err != nil {
			b.Fatal(err)
		}
	}
}

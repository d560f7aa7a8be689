package memconn

import (
	"net"
	"time"
)

// A Line is what a stream goes over: a slow modem, say. Zero fields mean no limit.
type Line struct {
	Rate   int           // bytes a second, in each direction
	Delay  time.Duration // of each byte, one way
	Buffer int           // bytes that wait to leave before a Write waits
}

// Shape makes both directions of a stream behave like a line. c is an end that
// Pipe returned and that nobody has used yet.
func Shape(c net.Conn, l Line) {
	e := c.(*end)
	for _, h := range []*half{e.in, e.out} {
		h.mu.Lock()
		h.line = &line{Line: l}
		h.mu.Unlock()
	}
}

// packetSize is how much leaves and arrives at once.
const packetSize = 1400

// A packet is on its way.
type packet struct {
	size            int
	leaves, arrives time.Time
}

// A line is one direction of a Line. It is guarded by the half's mutex.
type line struct {
	Line
	packets []packet // in order, until they are read
	free    time.Time
}

// send takes as many of n bytes as there is room for.
func (l *line) send(n int, now time.Time) (taken int) {
	room := n
	if l.Buffer > 0 {
		room = l.Buffer
		for _, p := range l.packets {
			if p.leaves.After(now) {
				room -= p.size
			}
		}
	}
	for taken < n {
		size := min(packetSize, n-taken)
		if taken+size > room {
			break // no crumbs: they would be packets of their own
		}
		if l.free.Before(now) {
			l.free = now
		}
		if l.Rate > 0 {
			l.free = l.free.Add(time.Duration(size) * time.Second / time.Duration(l.Rate))
		}
		l.packets = append(l.packets, packet{size, l.free, l.free.Add(l.Delay)})
		taken += size
	}
	return taken
}

// arrived is how many bytes can be read.
func (l *line) arrived(now time.Time) (n int) {
	for _, p := range l.packets {
		if p.arrives.After(now) {
			break
		}
		n += p.size
	}
	return n
}

// take forgets bytes that were read.
func (l *line) take(n int) {
	for n > 0 {
		first := &l.packets[0]
		size := min(n, first.size)
		first.size -= size
		if n -= size; first.size == 0 {
			l.packets = l.packets[1:]
		}
	}
}

// arrival fires when the next packet arrives.
func (h *half) arrival() <-chan time.Time {
	return h.wait(func(p packet) time.Time { return p.arrives })
}

// departure fires when the next packet leaves.
func (h *half) departure() <-chan time.Time {
	return h.wait(func(p packet) time.Time { return p.leaves })
}

// wait fires at a moment of the first packet for which it is yet to come, and never
// where there is none.
func (h *half) wait(moment func(packet) time.Time) <-chan time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.line == nil {
		return nil
	}
	now := time.Now()
	for _, p := range h.line.packets {
		if at := moment(p); at.After(now) {
			return time.After(at.Sub(now))
		}
	}
	return nil
}

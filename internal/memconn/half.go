package memconn

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A half is one direction of a stream.
type half struct {
	turn     chan struct{} // holds a token while one Write is under way
	readable chan struct{} // capacity 1: wakes one reader to look again
	writable chan struct{} // capacity 1: wakes the writer to look again
	noWriter chan struct{} // closed when the writing end is closed
	noReader chan struct{} // closed when the reading end is closed

	mu   sync.Mutex // guards the rest; nothing waits while it is held
	buf  bytes.Buffer
	line *line // nil for one without limits
}

func newHalf() *half {
	return &half{
		turn:     make(chan struct{}, 1),
		readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1),
		noWriter: make(chan struct{}),
		noReader: make(chan struct{}),
	}
}

func (h *half) endWriting() { close(h.noWriter) }
func (h *half) endReading() { close(h.noReader) }

// read waits for data. What was written before the writer closed is read
// before io.EOF.
func (h *half) read(b []byte, closed <-chan struct{}, passed func() <-chan struct{}) (int, error) {
	for {
		late := passed()
		if err := waitError(closed, late); err != nil {
			return 0, err
		}
		ended := isClosed(h.noWriter) // before looking: nothing is written after
		if n, ok := h.get(b); ok {
			return n, nil
		}
		if ended {
			return 0, io.EOF
		}
		select {
		case <-h.arrival():
		case <-h.readable:
		case <-h.noWriter:
		case <-late:
		case <-closed:
		}
	}
}

// get takes what is there; not ok if that is nothing and something is wanted.
func (h *half) get(b []byte) (n int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(b) == 0 {
		return 0, true
	}
	there := h.buf.Len()
	if h.line != nil {
		there = h.line.arrived(time.Now())
	}
	if there == 0 {
		return 0, false
	}
	n, _ = h.buf.Read(b[:min(len(b), there)]) // a Buffer that is not empty has no error
	if h.line != nil {
		h.line.take(n)
	}
	if h.buf.Len() > 0 {
		wake(h.readable) // for another reader
	}
	wake(h.writable)
	return n, true
}

// write waits for its turn, then for room.
func (h *half) write(b []byte, closed <-chan struct{}, passed func() <-chan struct{}) (int, error) {
	for {
		late := passed()
		if err := h.writeError(closed, late); err != nil {
			return 0, err
		}
		select {
		case h.turn <- struct{}{}:
			defer func() { <-h.turn }()
			return h.writeInTurn(b, closed, passed)
		case <-h.noReader:
		case <-late:
		case <-closed:
		}
	}
}

func (h *half) writeInTurn(b []byte, closed <-chan struct{}, passed func() <-chan struct{}) (int, error) {
	for done := 0; ; {
		late := passed()
		if err := h.writeError(closed, late); err != nil {
			return done, err
		}
		if done += h.put(b[done:]); done == len(b) {
			return done, nil
		}
		select {
		case <-h.departure():
		case <-h.writable:
		case <-h.noReader:
		case <-late:
		case <-closed:
		}
	}
}

func (h *half) writeError(closed, late <-chan struct{}) error {
	if err := waitError(closed, late); err != nil {
		return err
	}
	if isClosed(h.noReader) {
		return io.ErrClosedPipe
	}
	return nil
}

// put takes what there is room for.
func (h *half) put(b []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(b), bufferSize-h.buf.Len())
	if h.line != nil {
		n = h.line.send(min(n, len(b)), time.Now())
	}
	if n > 0 {
		h.buf.Write(b[:n])
		wake(h.readable)
	}
	return n
}

// drop forgets what is there.
func (h *half) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	if h.line != nil {
		h.line.packets = nil
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// A once tells the first caller from all others, without making them wait.
type once struct{ done atomic.Bool }

func (o *once) first() bool { return o.done.CompareAndSwap(false, true) }

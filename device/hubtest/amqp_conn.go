package hubtest

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// amqpConn is what a connection is over AMQP: the engine that speaks, and the
// lines of the identities that share it. The reading goroutine takes events
// from the engine; the writing one gives it messages; either writes what the
// engine has to say.
type amqpConn struct {
	*conn
	turn chan struct{} // holds a token while somebody writes
	left int           // of the reading goroutine: bytes to come of a frame

	mu     sync.Mutex // guards the engine and its links; held for moments
	engine *amqpwire.Conn
	out    []byte // of who has the turn

	opened bool      // of the reading goroutine
	openBy time.Time // when OPEN has to be there

	// hub.mu guards what follows.
	lines   map[string]*amqpLine // who uses the connection, by id
	several bool                 // more than one identity has shown up
	cbs     map[amqpwire.Role]*amqpwire.Link
	nodes   map[*amqpwire.Link]attached
}

// attached is what a link was accepted as.
type attached struct {
	node node
	line *amqpLine // nil for $cbs
}

// speakAMQP serves the devices on a connection.
func speakAMQP(c *conn) error {
	return c.speakAs(&amqpConn{
		conn: c, turn: make(chan struct{}, 1), openBy: time.Now().Add(firstPacket),
		engine: amqpwire.NewConn(time.Now(), &amqpwire.Options{OmitNextIncomingID: c.hub.opts.quirks.OmitNextIncomingID}),
		cbs:    map[amqpwire.Role]*amqpwire.Link{},
		lines:  map[string]*amqpLine{},
		nodes:  map[*amqpwire.Link]attached{},
	})
}

// serve implements front.
func (a *amqpConn) serve() error {
	for {
		if err := a.listen(a.nextLook()); err != nil {
			return err
		}
	}
}

// late implements front.
func (a *amqpConn) late() (time.Time, error) {
	err := a.tick()
	return a.nextLook(), err
}

// leave implements front.
func (a *amqpConn) leave() {
	for _, l := range a.lines {
		l.leave()
	}
}

// user implements front.
func (a *amqpConn) user(id string) (user, bool) {
	l := a.lines[id]
	return l, l != nil
}

// listen takes what the client sends until the limit, and acts on it.
func (a *amqpConn) listen(limit time.Time) error {
	if err := a.readBy(limit); err != nil {
		return err
	}
	chunk, beat, err := a.chunk()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if err != nil && !late {
		return err
	}
	if !a.passGate() || a.ended.Load() {
		return errEnded
	}
	if beat {
		if err := a.handle(a.beat()); err != nil {
			return err
		}
	}
	a.mu.Lock()
	if len(chunk) > 0 {
		a.engine.Feed(time.Now(), chunk)
		_, _ = a.in.Discard(len(chunk)) // it is buffered
	}
	a.mu.Unlock()
	return a.tick()
}

// tick acts on what came, and does what is due.
func (a *amqpConn) tick() error {
	if !a.passGate() || a.ended.Load() {
		return errEnded
	}
	if !a.opened && !time.Now().Before(a.openBy) {
		return errSilent
	}
	a.mu.Lock()
	a.engine.Tick(time.Now())
	a.mu.Unlock()
	if err := a.react(); err != nil {
		return errors.Join(err, a.flush())
	}
	a.expire()
	return a.flush()
}

// react acts on the engine's events, one after the other.
func (a *amqpConn) react() error {
	for {
		a.mu.Lock()
		ev := a.engine.Next()
		a.mu.Unlock()
		if ev == nil {
			return nil
		}
		if err := a.event(ev); err != nil {
			return err
		}
	}
}

func (a *amqpConn) event(ev amqpwire.Event) error {
	switch ev := ev.(type) {
	case *amqpwire.Login:
		a.login(ev)
	case *amqpwire.Opened:
		a.opened = true
	case *amqpwire.Attaching:
		return a.attaching(ev)
	case *amqpwire.Delivery:
		return a.delivery(ev)
	case *amqpwire.Detached:
		a.detached(ev.Link)
	case *amqpwire.Ended:
		a.hub.mu.Lock()
		links := slices.Collect(maps.Keys(a.nodes))
		a.hub.mu.Unlock()
		for _, link := range links {
			if link.Session() == ev.Session {
				a.detached(link)
			}
		}
	case *amqpwire.Closed:
		return a.farewell(ev)
	}
	return nil
}

// login answers a SASL login. Mechanisms that leave the proof to $cbs or to the
// certificate pass; PLAIN is not imitated.
func (a *amqpConn) login(l *amqpwire.Login) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.Mechanism == "PLAIN" {
		a.engine.RefuseLogin()
		return
	}
	a.engine.AcceptLogin()
}

// farewell is the end of the connection in the words of AMQP.
func (a *amqpConn) farewell(ev *amqpwire.Closed) error {
	if ev.Cause != nil {
		return ev.Cause
	}
	for _, l := range a.all() {
		if err := a.handle(l.request(Disconnect)); err != nil {
			return err
		}
	}
	return errPolite
}

// all are the lines of the connection.
func (a *amqpConn) all() []*amqpLine {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	out := make([]*amqpLine, 0, len(a.lines))
	for _, id := range sortedKeys(a.lines) {
		out = append(out, a.lines[id])
	}
	return out
}

// chunk returns what has come of the frame that is next, and whether it is a
// heartbeat: a frame with nothing in it. It stays in the buffer.
func (a *amqpConn) chunk() (b []byte, beat bool, err error) {
	const head = 8 // of the protocol's header, and of a frame's
	need := 1
	if a.left == 0 {
		need = head
	}
	b, err = a.in.Peek(need)
	if err != nil {
		return nil, false, err
	}
	if a.left == 0 {
		a.left = head
		if string(b[:4]) != "AMQP" {
			a.left = int(max(head, binary.BigEndian.Uint32(b)))
			beat = a.left == head
		}
	}
	b, err = a.in.Peek(min(a.left, a.in.Buffered()))
	a.left -= len(b)
	return b, beat, err
}

// amqpBeat is a heartbeat, as a request of the device that has the connection
// alone. It gets no answer: the hub sends heartbeats of its own.
type amqpBeat struct {
	*amqpConn
	request
}

func (a *amqpConn) beat() *amqpBeat {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	return &amqpBeat{a, request{msg: Message{Device: a.name, Op: Ping}}}
}

func (b *amqpBeat) perform(bool) error { return nil }

func (b *amqpBeat) repeat() error { return nil }

func (b *amqpBeat) answer(Action) error { return nil }

func (b *amqpBeat) hold(act Action) error { return b.later(act, b) }

func (b *amqpBeat) edit(act Action) { b.hub.edit(&b.msg, act) }

// flush writes what the engine has to say.
func (a *amqpConn) flush() error {
	select {
	case a.turn <- struct{}{}:
	case <-a.done:
		return errEnded
	}
	defer func() { <-a.turn }()
	for {
		a.mu.Lock()
		a.out = a.engine.AppendOutput(time.Now(), a.out[:0])
		a.mu.Unlock()
		if len(a.out) == 0 {
			return nil
		}
		if err := a.stream.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		if _, err := a.stream.Write(a.out); err != nil {
			return a.wrote(err)
		}
	}
}

// nudge has the engine's output written by the writing goroutine: the caller
// must not wait for a client. No lock is held.
func (a *amqpConn) nudge() {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	if !a.hub.closed {
		a.push(outgoing{form: amqpNudge{a}, asIs: true})
	}
}

// amqpNudge is a message of nothing: it has the engine's output written.
type amqpNudge struct{ *amqpConn }

func (n amqpNudge) write(outgoing) error { return n.flush() }

func (n amqpNudge) replace(item outgoing, _ Action) outgoing { return item }

func (n amqpNudge) end() error { return nil }

func (n amqpNudge) spare(error) bool { return false }

// nextLook is when the engine or a token wants to look at the clock.
func (a *amqpConn) nextLook() time.Time {
	a.mu.Lock()
	limit := a.engine.NextTick()
	a.mu.Unlock()
	if !a.opened {
		limit = a.openBy
	}
	now, wall := time.Now(), a.hub.opts.Now()
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	for _, l := range a.lines {
		if !l.live() || l.tokenEnd.IsZero() {
			continue
		}
		if end := now.Add(l.tokenEnd.Sub(wall)); end.Before(limit) {
			limit = end
		}
	}
	return limit
}

// expire ends the lines whose token has ended, and leaves the others alone.
func (a *amqpConn) expire() {
	wall := a.hub.opts.Now()
	var late []*amqpLine
	a.hub.mu.Lock()
	for _, l := range a.lines {
		if l.live() && !l.tokenEnd.IsZero() && !wall.Before(l.tokenEnd) {
			l.leave()
			late = append(late, l)
		}
	}
	a.hub.mu.Unlock()
	for _, l := range late {
		a.hub.log.Info("links ended", "device", l.id, "reason", errTokenEnd)
		l.detach(&amqpwire.Error{Condition: condUnauthorized, Description: "Token Invalid."})
	}
}

// show says who uses the connection. hub.mu is held.
func (a *amqpConn) show(id string) (*amqpLine, *fault.Fault) {
	if l := a.lines[id]; l != nil {
		return l, nil
	}
	if max := a.hub.opts.quirks.ConnectionTokens; len(a.lines) >= max && !a.prune(max) {
		return nil, fault.New(fault.TooManyTokens, "The connection has %d tokens, which is as many as there can be.", max)
	}
	l := &amqpLine{amqpConn: a, id: id}
	a.lines[id] = l
	a.several = a.several || len(a.lines) > 1
	a.name = id
	if a.several {
		a.name = "" // nobody's alone
	}
	return l, nil
}

// prune forgets the identities that have no token here, or one that has ended,
// and reports whether there is room then. hub.mu is held.
func (a *amqpConn) prune(max int) bool {
	wall := a.hub.opts.Now()
	for id, l := range a.lines {
		if !l.live() && !l.knocking && !wall.Before(l.tokenEnd) {
			delete(a.lines, id)
		}
	}
	return len(a.lines) < max
}

package amqp_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
)

// An eventHub takes telemetry, and the twin's links, as a test has it. It answers
// every request for a twin, and takes every token.
type eventHub struct {
	t      *testing.T
	engine *amqpwire.Conn
	stream net.Conn
	do     chan func()
	done   chan struct{}

	// Of the hub's goroutine. Tests set them before Dial, or in call.
	judge    func(d *amqpwire.Delivery) *amqpwire.Outcome // nil answers nothing
	refuse   *amqpwire.Error                              // of the link for telemetry
	hold     bool                                         // no credit for telemetry
	max      string                                       // largest message in place of 1 MB, as it is encoded
	held     []byte
	attached []*amqpwire.Attaching // links for telemetry
	twin     []*amqpwire.Attaching // links for the twin
	onTwin   func(ev *amqpwire.Attaching) (taken bool)
	got      []*amqpwire.Delivery
	answers  map[string]*amqpwire.Link // by the address they come from
}

// newEventHub starts one. It ends with the stream.
func newEventHub(t *testing.T) (*eventHub, transport.StreamFunc) {
	client, server := memconn.Pipe("device", "hub")
	h := &eventHub{
		t: t, engine: amqpwire.NewConn(time.Now(), nil), stream: server, do: make(chan func()), done: make(chan struct{}),
		judge:   func(*amqpwire.Delivery) *amqpwire.Outcome { return &amqpwire.Outcome{State: amqpwire.Accepted} },
		answers: map[string]*amqpwire.Link{},
	}
	chunks := make(chan []byte)
	go func() {
		defer close(chunks)
		for {
			b := make([]byte, 64<<10)
			n, err := server.Read(b)
			if err != nil {
				return
			}
			chunks <- b[:n]
		}
	}()
	go h.run(chunks)
	return h, func(context.Context, transport.Target) (net.Conn, error) { return client, nil }
}

func (h *eventHub) run(chunks <-chan []byte) {
	defer close(h.done)
	defer h.stream.Close()
	for !h.engine.Done() {
		timer := time.NewTimer(time.Until(h.engine.NextTick()))
		select {
		case b, ok := <-chunks:
			if !ok {
				timer.Stop()
				return
			}
			h.engine.Feed(time.Now(), b)
		case f := <-h.do:
			f()
		case <-timer.C:
			h.engine.Tick(time.Now())
		}
		timer.Stop()
		for ev := h.engine.Next(); ev != nil; ev = h.engine.Next() {
			h.take(ev)
		}
		if out := h.filter(h.engine.AppendOutput(time.Now(), nil)); len(out) > 0 {
			if _, err := h.stream.Write(out); err != nil {
				break
			}
		}
	}
	_ = h.stream.Close()
	for range chunks { // until its reader has ended
	}
}

// filter keeps back what gives credit.
func (h *eventHub) filter(out []byte) []byte {
	frames, rest := split(out)
	if len(rest) > 0 {
		h.t.Error("the hub writes half a frame")
	}
	var pass []byte
	for _, f := range frames {
		if code(f) == kindAttach && h.max != "" {
			f = []byte(strings.Replace(string(f), "\x80\x00\x00\x00\x00\x00\x10\x00\x00", h.max, 1))
		}
		if h.hold && len(h.attached) > 0 && code(f) == kindFlow {
			h.held = append(h.held, f...)
			continue
		}
		pass = append(pass, f...)
	}
	if !h.hold {
		pass, h.held = append(h.held, pass...), nil
	}
	return pass
}

func isEvents(address string) bool { return strings.HasSuffix(address, "/messages/events") }

func isTwin(ev *amqpwire.Attaching) bool { return strings.HasSuffix(ev.Source+ev.Target, "/twin") }

func (h *eventHub) take(ev amqpwire.Event) {
	switch ev := ev.(type) {
	case *amqpwire.Attaching:
		if isEvents(ev.Target) {
			h.attached = append(h.attached, ev)
			if h.refuse != nil {
				ev.Link.Refuse(h.refuse)
				return
			}
		}
		if isTwin(ev) {
			h.twin = append(h.twin, ev)
			if h.onTwin != nil && h.onTwin(ev) {
				return
			}
		}
		if ev.Source != "" {
			h.answers[ev.Source] = ev.Link
		}
		ev.Link.Accept(0)
	case *amqpwire.Delivery:
		h.delivery(ev)
	}
}

func (h *eventHub) delivery(d *amqpwire.Delivery) {
	if n := len(h.attached); n > 0 && d.Link == h.attached[n-1].Link {
		h.got = append(h.got, d)
		if o := h.judge(d); o != nil {
			d.Link.Settle(d.ID, *o)
		}
		return
	}
	m, err := amqpwire.DecodeMessage(d.Payload)
	if err != nil {
		h.t.Error(err)
		return
	}
	to, answer := "$cbs", &amqpwire.Message{Properties: &amqpwire.MessageProperties{}}
	if d.Settled {
		for address := range h.answers {
			if strings.HasSuffix(address, "/twin") {
				to = address
			}
		}
		answer.Properties.CorrelationID = m.Properties.CorrelationID
		answer.Annotations = amqpwire.Annotations{"status": int32(200)}
		answer.Data = [][]byte{[]byte("{}")}
	} else {
		d.Link.Settle(d.ID, amqpwire.Outcome{State: amqpwire.Accepted})
		answer.Properties.CorrelationID = m.Properties.MessageID
		answer.ApplicationProperties = map[string]any{"status-code": int32(200), "status-description": "OK"}
	}
	b, err := amqpwire.EncodeMessage(answer)
	if err == nil {
		err = h.answers[to].Send(amqpwire.Outgoing{Payload: b})
	}
	if err != nil {
		h.t.Error(err)
	}
}

// call runs f in the hub's goroutine.
func (h *eventHub) call(f func()) {
	h.t.Helper()
	finished := make(chan struct{})
	select {
	case h.do <- func() { defer close(finished); f() }:
		<-finished
	case <-h.done:
		h.t.Fatal("the hub has ended")
	}
}

// messages are the bodies of what came, each transfer in brackets.
func (h *eventHub) messages() (all string) {
	h.call(func() {
		for _, d := range h.got {
			all += "[" + strings.Join(bodies(h.t, d), " ") + "]"
		}
	})
	return all
}

// bodies are those of the messages in a transfer.
func bodies(t *testing.T, d *amqpwire.Delivery) (all []string) {
	t.Helper()
	m, err := amqpwire.DecodeMessage(d.Payload)
	if err != nil {
		t.Error(err)
		return nil
	}
	for _, data := range m.Data {
		if d.Format != 0 {
			inner, err := amqpwire.DecodeMessage(data)
			if err != nil {
				t.Error(err)
				continue
			}
			data = inner.GetData()
		}
		all = append(all, string(data))
	}
	return all
}

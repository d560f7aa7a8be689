package device_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// post has firmware send something.
func (s *drama) post() string {
	later, n := s.rnd.IntN(2) == 0, 1+s.rnd.IntN(4)
	if s.rnd.IntN(6) == 0 {
		n = 40
	}
	what := ""
	for range n {
		what = s.postOne(later)
	}
	return fmt.Sprintf("%d messages, the last: %s", n, what)
}

func (s *drama) postOne(later bool) string {
	m, b := s.mail, s.board
	c := b.client
	size := s.rnd.IntN(2 << 10)
	if s.rnd.IntN(24) == 0 {
		size = s.rnd.IntN(250 << 10)
	}
	l := &letter{life: b.life, later: later, urgent: s.rnd.IntN(4) == 0, ordered: later || !b.stored() || c.Kept().Claimed}
	m.mu.Lock()
	l.n = len(m.letters)
	m.letters = append(m.letters, l)
	m.mu.Unlock()
	text := fmt.Sprintf("t%d ", l.n)
	if s.rnd.IntN(5) == 0 {
		text += "bad"
	}
	msg := device.Message{Body: []byte(text + strings.Repeat("x", size)), Urgent: l.urgent}
	if s.rnd.IntN(4) == 0 {
		msg.ID = fmt.Sprint("own-", l.n)
	}
	ctx, cancel, bound := s.moment(3 * time.Hour)
	l.gone = ctx.Err
	name, send, closings := "Send", c.Send, s.closing.Load()
	if later {
		name, send, bound = "SendLater", c.SendLater, 0
	}
	s.call(name, bound, func() {
		defer cancel()
		err := send(ctx, msg)
		m.mu.Lock()
		defer m.mu.Unlock()
		l.over, l.err, l.returned = true, err, time.Now()
		switch {
		case err == nil, ctx.Err() != nil && errors.Is(err, ctx.Err()):
		case s.closing.Load() > closings && errors.Is(err, device.ErrClosed):
		case later && errors.Is(err, device.ErrQueueFull) && m.opts.QueueBytes < 1<<20 && (m.opts.WhenFull == device.Refuse || size > 6<<10):
		case !later && errors.Is(err, device.ErrPoison) && l.hung >= 6:
		case !later && errors.Is(err, transport.ErrRejected) && m.refusals.Load() > 0:
		case !later && errors.Is(err, device.ErrNotStarted) && b.stored():
		default:
			s.fault("truth", "%s of message %d, sent %d times, hung up at %d times: %v", name, l.n, l.sends, l.hung, err)
		}
	})
	return fmt.Sprintf("%s %d (%v): %d bytes, urgent %v", name, l.n, bound, len(msg.Body), l.urgent)
}

// losePost has something happen to some messages or their acknowledgements.
func (s *drama) losePost() string {
	delay := time.Duration(s.rnd.Int64N(int64(time.Minute)))
	acts := []struct {
		name     string
		do       hubtest.Action
		shuffles bool
	}{
		{"is lost", hubtest.Drop(), false}, {"ends the line", hubtest.Cut(), false}, {"ends the line after it", hubtest.CutAfter(), false},
		{"is answered with 503", hubtest.Fail(503001), false}, {"is answered with 429", hubtest.Fail(429001), false},
		{"comes twice", hubtest.Duplicate(), false}, {"takes " + delay.String(), hubtest.Delay(delay), true},
		{"is performed after " + delay.String(), hubtest.Late(delay), true}, {"makes the line half-open", hubtest.Freeze(), false},
		{"is released", hubtest.Answer(503, "released"), false},
	}
	act, fromHub, times := acts[s.rnd.IntN(len(acts))], s.rnd.IntN(2) == 0, 1+s.rnd.IntN(3)
	match := hubtest.FromDevice("dev1", hubtest.Telemetry)
	if fromHub {
		match = hubtest.FromHub("dev1", hubtest.Ack)
	} else if act.shuffles {
		s.mail.shuffled.Store(true)
	}
	s.faults = append(s.faults, s.hub.Intercept(match, act.do.Times(times)))
	s.disturbed += 2 * times
	return fmt.Sprintf("%d times a message (its acknowledgement: %v) %s", times, fromHub, act.name)
}

// refusePost has the hub refuse some messages for a while. Over MQTT it hangs up.
func (s *drama) refusePost() string {
	acts := []hubtest.Action{hubtest.Cut(), hubtest.Answer(400, ""), hubtest.Answer(403, "amqp:not-allowed"), hubtest.Drop()}
	i := s.rnd.IntN(len(acts))
	if i == 1 || i == 2 {
		s.mail.refusals.Add(1)
	}
	is := hubtest.FromDevice("dev1", hubtest.Telemetry)
	bad := func(m hubtest.Message) bool { return is(m) && strings.Contains(string(m.Body), "bad") }
	if i == 3 || s.rnd.IntN(2) == 0 {
		d := s.forAWhile(bad, acts[i])
		return fmt.Sprintf("for %v the hub refuses messages that are bad (%d)", d, i)
	}
	// Over MQTT each is tried for seven minutes, alone.
	d := 20*time.Minute + time.Duration(s.rnd.Int64N(int64(time.Hour)))
	remove := s.hub.Intercept(bad, acts[i].Times(-1))
	s.disturbed += 20
	s.postOne(s.rnd.IntN(2) == 0)
	time.Sleep(d)
	remove()
	return fmt.Sprintf("for %v the hub refuses messages that are bad (%d)", d, i)
}

// holdPost has the hub withhold acknowledgements for a while.
func (s *drama) holdPost() string {
	d := time.Duration(s.rnd.Int64N(int64(25 * time.Minute)))
	hold := func(on bool) { _ = s.hub.Device("dev1").HoldTelemetry(on) } // it may be being created anew
	hold(true)
	release := time.AfterFunc(d, func() { hold(false) })
	s.faults = append(s.faults, func() { release.Stop(); hold(false) })
	return fmt.Sprintf("for %v the hub acknowledges no message", d)
}

// wake has firmware that used only telemetry so far use the twin.
func (s *drama) wake() {
	s.asleep.Store(false)
	c, what := s.board.client, "its listeners"
	switch s.rnd.IntN(4) {
	case 0:
		what = s.report()
	case 1:
		what = s.get()
	case 2:
		what = "Desired"
		c.Desired()
	}
	if s.rnd.IntN(2) == 0 {
		time.Sleep(time.Duration(s.rnd.Int64N(int64(time.Minute))))
	}
	s.board.listen()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, fmt.Sprintf("    %12v  the twin is used first by %s", time.Since(s.start).Round(time.Millisecond), what))
}

// wakeful are the events that need no twin of the client.
var wakeful = map[string]bool{"desired": true, "replace desired": true, "renew": true, "fault": true, "cut": true, "line": true,
	"credential": true, "slow OnState": true, "mate": true, "message": true, "message fault": true, "bad message": true, "hold": true}

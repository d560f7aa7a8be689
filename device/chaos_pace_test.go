package device_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// A pulse is what the judges of pace remember from moment to moment. Guarded by
// the mutex of the drama.
type pulse struct {
	dials    []time.Time // of the last minute, in this life of the board
	got      time.Time   // the hub answered a GET that nobody called for
	asked    time.Time   // the latest GET
	gotConn  int         // on which connection
	gotCalls int64       // how many calls of GetTwin there were then
	heard    device.State
}

// maxDials bounds the attempts to connect in a minute: a back-off from a second
// on makes 8 of them, two more follow each renewal, and each event of the story
// may cut the line once.
const maxDials = 30

// dialed judges the attempts to connect.
func (s *drama) dialed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, p := time.Now(), &s.pulse
	p.dials = slices.DeleteFunc(p.dials, func(at time.Time) bool { return now.Sub(at) > time.Minute })
	if p.dials = append(p.dials, now); len(p.dials) == maxDials+1 {
		s.fault1("traffic", "%v: %d attempts to connect in a minute", now.Sub(s.start), len(p.dials))
	}
}

// minGap is the least time from the answer to a GET to the next GET that nobody
// calls for, on one connection. The client waits for a second, and half a second
// at least after an answer that something on the way makes a failure.
const minGap = 500 * time.Millisecond

// paced judges the GETs that nobody called for.
func (s *drama) paced(m hubtest.Message) {
	if m.Op != hubtest.GetTwin {
		return
	}
	conn, calls := s.hub.Device("dev1").Stats().Connects, s.getCalls.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	now, p := time.Now(), &s.pulse
	switch {
	case m.FromHub && m.Status == 200:
		p.got, p.gotConn, p.gotCalls = now, conn, calls
		if s.gets.Load() > 0 || now.Sub(p.asked) >= requestTimeout { // it has given up that one, and asks again by back-off
			p.got = time.Time{}
		}
	case !m.FromHub && !p.got.IsZero() && conn == p.gotConn && calls == p.gotCalls && now.Sub(p.got) < minGap:
		s.fault1("traffic", "%v: a GET %v after the answer to the one before, and nobody called for it", now.Sub(s.start), now.Sub(p.got))
	}
	if !m.FromHub {
		p.asked = now
	}
}

// hear judges what OnState hears of the present client.
func (s *drama) hear(life int, st device.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if life != s.board.life {
		return
	}
	s.pulse.heard = st
	at := time.Since(s.start)
	switch {
	case st.Phase == device.Waiting && (st.Err == nil || st.RetryAt.IsZero()):
		s.fault1("states", "%v: %v, error %v, until %v", at, st, st.Err, st.RetryAt)
	case st.Phase == device.Online && (st.Err != nil || st.Attempt != 0):
		s.fault1("states", "%v: %v, error %v, attempt %d", at, st, st.Err, st.Attempt)
	case st.Since.IsZero():
		s.fault1("states", "%v: %v since never", at, st)
	}
}

// judgeStates asks whether OnState heard last what State says.
func (s *drama) judgeStates() {
	is := s.board.client.State()
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.pulse.heard; s.board.tells && (was.Phase != is.Phase || was.Since != is.Since) {
		s.fault1("states", "%v: OnState heard %v last, State is %v", time.Since(s.start), was, is)
	}
}

// trace writes down what a short story says.
func (s *drama) trace(m hubtest.Message) {
	if len(s.keep) > 12 || m.Device != "dev1" || m.Op == hubtest.Ping {
		return
	}
	from := "→"
	if m.FromHub {
		from = "←"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.words); n < 400 {
		s.words = append(s.words, fmt.Sprintf("    %12v    %s %v %d %s", time.Since(s.start).Round(time.Millisecond), from, m.Op, m.Status, m.Body))
	}
}

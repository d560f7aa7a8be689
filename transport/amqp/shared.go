package amqp

import (
	"context"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// How many devices share a connection. A hub takes 999 tokens on one. The SDKs
// for C# (995) and Java (500 over WebSocket) stay below.
const (
	devicesOverTLS       = 995
	devicesOverWebSocket = 500
)

// seatGrace is for how long after a token's end its device is counted still: hubs
// forget tokens late, and clocks differ.
const seatGrace = 10 * time.Minute

// A shared is a line of several devices, or one that is being opened.
type shared struct {
	key    lineKey
	opened chan struct{} // closed when line or err is set
	line   *line
	err    error
	giveUp context.CancelFunc // ends the opening

	users int              // devices on it, and logins that wait for it or are under way
	seats map[string]*seat // by audience
	limit int
}

// A seat is what a device takes up on a line.
type seat struct {
	users int
	until time.Time // when the hub has surely forgotten its token
}

// devices is how many devices a line takes.
func (l *line) devices() int {
	if addr := l.wire.RemoteAddr(); addr != nil && addr.Network() == "websocket" {
		return devicesOverWebSocket
	}
	return devicesOverTLS
}

// isOpenLocked reports whether the line was opened.
func (s *shared) isOpenLocked() bool { return s.line != nil }

// reserveLocked takes a seat, if there is one for the login and the line takes it.
func (s *shared) reserveLocked(login transport.Login) bool {
	audience := audience(login.Identity)
	at := s.seats[audience]
	if !s.line.takes(at == nil) {
		return false
	}
	if at == nil {
		if len(s.seats) >= s.limit {
			s.vacateLocked(time.Now())
		}
		if len(s.seats) >= s.limit {
			return false
		}
		at = &seat{}
		s.seats[audience] = at
	}
	at.users++
	at.keep(login.Token, login.Now)
	return true
}

// keep holds the seat for a token.
func (t *seat) keep(token auth.Token, now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	// By the time that passes from here on, whatever becomes of the wall clock.
	if until := time.Now().Add(token.Expires().Sub(now()) + seatGrace); until.After(t.until) {
		t.until = until
	}
}

// vacateLocked frees the seats of devices that are gone, and whose tokens are too.
func (s *shared) vacateLocked(now time.Time) {
	for audience, t := range s.seats {
		if t.users == 0 && now.After(t.until) {
			delete(s.seats, audience)
		}
	}
}

package device

import (
	"context"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// A renewal is the outcome of a token that was to be replaced in place.
type renewal struct {
	at  time.Duration // when the new one is due, on the elapsed clock
	err error
}

// renew begins to replace the token without a new connection, and reports
// whether it could: the transport must know how, and nobody have asked for a
// connection anew. The session goes on meanwhile.
func (s *session) renew(ctx context.Context) bool {
	r, ok := s.conn.(transport.Renewer)
	if !ok || s.anew || s.c.token.IsZero() {
		return false
	}
	s.renewing, s.renewAt = true, never
	go func() {
		login, at, err := s.c.login()
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, s.c.opts.RequestTimeout)
			err = r.Renew(ctx, login.Token)
			cancel()
		}
		s.renewed <- renewal{at, err}
	}()
	return true
}

// tookRenewal takes the outcome. A renewal that failed is made up for by a new
// connection, as it is where no transport can renew.
func (s *session) tookRenewal(r renewal) error {
	s.renewing = false
	if r.err != nil {
		s.c.log.Warn("the token could not be renewed on the connection", "cause", r.err)
		return errRenew
	}
	s.renewAt = r.at
	s.c.log.Debug("the token was renewed on the connection")
	return nil
}

package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Whims are a Dialer for a hub with habits that package hubtest does not imitate.
type whims struct {
	transport.Dialer

	mu         sync.Mutex // guards the rest
	mail       *mail
	dialed     func() // called at each attempt
	noVersions bool   // the hub names no version, as IoT Edge does
	stale      int    // so many of the next GETs are answered as the one before was
	last       []byte // the answer to a GET
}

func (w *whims) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	w.dialed()
	inner, err := w.Dialer.Dial(ctx, login)
	if err != nil {
		return nil, err
	}
	conn := whimsical{inner, w, &wire{m: w.mail, out: map[string]*letter{}, told: map[*letter]time.Time{}}}
	renewer, renews := inner.(transport.Renewer)
	resumer, resumes := inner.(transport.Resumer)
	switch {
	case renews:
		return struct {
			whimsical
			transport.Renewer
		}{conn, renewer}, nil
	case resumes:
		return struct {
			whimsical
			transport.Resumer
		}{conn, resumer}, nil
	}
	return conn, nil
}

// repeat has the next n GETs answered as the last one was.
func (w *whims) repeat(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale = n
}

type whimsical struct {
	transport.Conn
	w    *whims
	wire *wire
}

func (c whimsical) Send(ctx context.Context, f transport.Frame) error {
	if f.Kind != transport.Telemetry {
		return c.Conn.Send(ctx, f)
	}
	note := c.wire.send(f)
	err := c.Conn.Send(ctx, f)
	note(err)
	return err
}

func (c whimsical) Receive(ctx context.Context) (transport.Frame, error) {
	f, err := c.Conn.Receive(ctx)
	c.wire.heard(f, err)
	if err == nil {
		c.w.change(&f)
	}
	return f, err
}

func (w *whims) change(f *transport.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var doc map[string]map[string]json.RawMessage
	isTwin := f.Kind == transport.Response && f.Status == 200 && json.Unmarshal(f.Body, &doc) == nil && doc["desired"] != nil
	switch {
	case isTwin && w.stale > 0 && w.last != nil:
		w.stale--
		f.Body = append([]byte(nil), w.last...)
		_ = json.Unmarshal(f.Body, &doc)
	case isTwin:
		w.last = append([]byte(nil), f.Body...)
	}
	if !w.noVersions {
		return
	}
	f.Version = 0
	if isTwin {
		delete(doc["desired"], "$version")
		delete(doc["reported"], "$version")
		f.Body, _ = json.Marshal(doc)
	}
	var patch map[string]json.RawMessage
	if f.Kind == transport.Desired && json.Unmarshal(f.Body, &patch) == nil {
		delete(patch, "$version")
		f.Body, _ = json.Marshal(patch)
	}
}

// A moody credential answers as its mood is.
type moodyCredential struct {
	auth.Credential
	mu   sync.Mutex
	mood string
}

func (c *moodyCredential) set(mood string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mood = mood
}

func (c *moodyCredential) Token(ctx context.Context, audience string, now time.Time) (auth.Token, error) {
	c.mu.Lock()
	mood := c.mood
	c.mu.Unlock()
	switch mood {
	case "fails":
		return auth.Token{}, errors.New("the key in hardware does not answer")
	case "rubbish":
		return auth.ParseToken("<html>503 Service Unavailable</html>")
	case "hangs":
		<-ctx.Done()
		return auth.Token{}, ctx.Err()
	case "empty":
		return auth.Token{}, nil
	case "ended":
		now = now.Add(-48 * time.Hour)
	}
	return auth.TokenOf(ctx, c.Credential, audience, now)
}

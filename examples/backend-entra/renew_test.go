package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// In virtual time there are no sockets: the program's lines are pipes then, and
// TLS falls away. All else is the program.

// pipes are a listener without a network.
type pipes struct {
	lines chan net.Conn
	done  chan struct{}
	dials atomic.Int64
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.dials.Add(1)
	near, far := net.Pipe()
	select {
	case p.lines <- far:
		return near, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.lines:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// A bubble is a rig in virtual time.
type bubble struct {
	*rig
	server *http.Server
	lines  *pipes       // to the authority
	open   atomic.Int64 // the authority's lines
	ended  chan error
}

func newBubble(t *testing.T, life time.Duration) *bubble {
	hub := hubtest.New(t, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	entra := &authority{url: "https://login.entra.test", issuer: hub, life: life}
	b := &bubble{
		rig:    &rig{T: t, ctx: t.Context(), hub: hub, entra: entra, flags: []string{"-hub", hub.Host(), "-private"}},
		server: &http.Server{Handler: entra},
		lines:  &pipes{lines: make(chan net.Conn), done: make(chan struct{})},
		ended:  make(chan error, 1),
	}
	b.server.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			b.open.Add(1)
		case http.StateClosed:
			b.open.Add(-1)
		}
	}
	b.furnish()
	return b
}

// job is the program as the flags have it, with pipes for lines.
func (b *bubble) job(words ...string) *job {
	b.Helper()
	j, err := parse(append(b.flags, words...))
	if err != nil {
		b.Fatal(err)
	}
	go func() { b.ended <- b.server.Serve(b.lines) }()
	b.Cleanup(func() { b.close() })
	j.stream = b.hub.Stream
	j.entra = &http.Transport{DialTLSContext: b.lines.dial}
	return j
}

// close ends the authority and waits for it; again, it does nothing.
func (b *bubble) close() {
	_ = b.server.Close()
	if err, ok := <-b.ended; ok {
		if !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
		close(b.ended)
	}
}

// TestRenewal works through a night with tokens of an hour. Each is fetched while
// the one before is good, none before it has to be, and no request is refused.
func TestRenewal(t *testing.T) { synctest.Test(t, testRenewal) }
func testRenewal(t *testing.T) {
	const night, every, life = 8 * time.Hour, time.Minute, time.Hour
	b := newBubble(t, life)
	ctx, cancel := context.WithTimeout(b.ctx, night-time.Second) // its end meets no round
	defer cancel()
	var out bytes.Buffer
	if err := b.job("-device", "fan1", "-every", every.String()).run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	rounds := int(night / every)
	if got := strings.Count(out.String(), "\n"); got != rounds {
		t.Errorf("got %d twins, want %d", got, rounds)
	}
	if got := b.hub.Stats().Requests; got != rounds {
		t.Errorf("the hub got %d requests, want %d: one a round, none refused", got, rounds)
	}
	for i, at := range b.entra.issued[1:] {
		if age := at.Sub(b.entra.issued[i]); age < life-5*time.Minute || age >= life-time.Minute {
			t.Errorf("token %d was fetched when the one before was %v old; want that in the last five minutes, and not in the last", i+2, age)
		}
	}
	if discoveries, asked, issued := b.entra.counts(); discoveries != 1 || asked != 9 || issued != 9 {
		t.Errorf("the authority was asked %d times for its document, %d times for a token, and gave %d; want 1, 9 and 9", discoveries, asked, issued)
	}
	synctest.Wait()
	if got := b.open.Load(); got != 0 {
		t.Errorf("the program left %d lines to the authority open, want none", got)
	}
	b.wantNoSecret(out.String())
	b.wantNothingStrange()
}

// TestShortTokens: azidentity does not keep what lives under five minutes; the
// registry's client does, for half its life.
func TestShortTokens(t *testing.T) { synctest.Test(t, testShortTokens) }
func testShortTokens(t *testing.T) {
	b := newBubble(t, 2*time.Minute)
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Minute+time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := b.job("-device", "fan1", "-every", "10s").run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	if _, _, issued := b.entra.counts(); issued != 11 {
		t.Errorf("in ten minutes the authority gave %d tokens of two minutes, want 11: one a minute", issued)
	}
	if got := b.hub.Stats().Requests; got != 61 {
		t.Errorf("the hub got %d requests, want 61: none refused", got)
	}
}

// TestRoleTakenAway: a failure ends what would go on until Ctrl-C.
func TestRoleTakenAway(t *testing.T) { synctest.Test(t, testRoleTakenAway) }
func testRoleTakenAway(t *testing.T) {
	b := newBubble(t, time.Hour)
	taken := time.AfterFunc(150*time.Second, func() { b.hub.Grant(objectID) })
	defer taken.Stop()
	var out bytes.Buffer
	err := b.job("-device", "fan1", "-every", "1m").run(b.ctx, &out)
	if got := strings.Count(out.String(), "\n"); !errors.Is(err, transport.ErrUnauthorized) || got != 3 {
		t.Errorf("got %d twins and %v; want 3 and ErrUnauthorized", got, err)
	}
}

// TestEntraIsDown: nobody answers where the authority should be.
func TestEntraIsDown(t *testing.T) {
	t.Run("the time is short", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, time.Hour)
			began := time.Now()
			j := b.job("-device", "fan1", "-timeout", "3s")
			b.close()
			err := j.run(b.ctx, &bytes.Buffer{})
			if took := time.Since(began); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "-timeout") {
				t.Errorf("got %v after %v; want DeadlineExceeded, after the 3s of -timeout", err, took)
			}
		})
	})
	t.Run("the time is long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, time.Hour)
			began := time.Now()
			j := b.job("-device", "fan1")
			b.close()
			err := j.run(b.ctx, &bytes.Buffer{})
			var failed *azidentity.AuthenticationFailedError
			if took, dials := time.Since(began), b.lines.dials.Load(); took > 12*time.Second || dials != 4 || !errors.As(err, &failed) || !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("got %v after %v and %d attempts; want azidentity to give up after four, some ten seconds, with the reason", err, took, dials)
			}
		})
	})
	t.Run("while a token is good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, time.Hour)
			ctx, cancel := context.WithTimeout(b.ctx, 30*time.Minute-time.Second)
			defer cancel()
			j := b.job("-device", "fan1", "-every", "1m")
			down := time.AfterFunc(90*time.Second, func() { _ = b.server.Close() })
			defer down.Stop()
			var out bytes.Buffer
			if err := j.run(ctx, &out); err != nil || strings.Count(out.String(), "\n") != 30 {
				t.Errorf("got %d twins, %v; want 30: the hub was well", strings.Count(out.String(), "\n"), err)
			}
		})
	})
}

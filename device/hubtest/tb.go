package hubtest

import (
	"log/slog"
	"strings"
)

// tb is what New needs of a test. It is an interface of our own so that a program
// which runs a hub does not link package testing.
type tb interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// New starts a hub that ends with the test t: a *testing.T, *testing.B or *testing.F,
// or anything with their Helper, Cleanup, Fatalf and Logf. Unless opts names a Logger, what
// the hub does is in the test's log. The test fails if an [Edit] means nothing, or
// could not be done.
//
// Inside a testing/synctest bubble, t is the bubble's own.
func New(t tb, opts *Options) *Hub {
	t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(tbWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: dropTime}))
	}
	h, err := Start(&o)
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	h.misused = func(err error) { t.Helper(); t.Fatalf("%v", err) }
	t.Cleanup(func() {
		_ = h.Close()
		if err := h.failed(); err != nil {
			t.Fatalf("%v", err)
		}
	})
	return h
}

// tbWriter is a test's log as a writer. The hub's goroutines end before the
// test does, so nothing is written too late.
type tbWriter struct{ t tb }

func (w tbWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Logf("hub: %s", strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// dropTime leaves the time out of a test's log, so that runs compare.
func dropTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

package fate_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/transport"
)

func TestEnd(t *testing.T) {
	hungUp, later := errors.New("hung up"), errors.New("later")
	for _, test := range []struct {
		desc string
		do   func(f *fate.Fate)
		want []error // that Err matches
		not  error
		dead bool
	}{
		{"alive", func(*fate.Fate) {}, nil, transport.ErrClosed, false},
		{"ended", func(f *fate.Fate) { f.End(hungUp); f.End(later) }, []error{hungUp}, later, true},
		{"closing", func(f *fate.Fate) { f.Close() }, []error{transport.ErrClosed}, hungUp, false},
		{"closed", func(f *fate.Fate) { f.Close(); f.End(hungUp) }, []error{transport.ErrClosed}, hungUp, true},
		{"ended, then closed", func(f *fate.Fate) { f.End(hungUp); f.Close(); f.End(later) }, []error{transport.ErrClosed, hungUp}, later, true},
	} {
		f := fate.New()
		test.do(f)
		err := f.Err()
		if (err == nil) != (test.want == nil) || errors.Is(err, test.not) {
			t.Errorf("%s: got %v, want what matches %v", test.desc, err, test.want)
		}
		for _, want := range test.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", test.desc, err, want)
			}
		}
		select {
		case <-f.Dead():
			if !test.dead {
				t.Errorf("%s: it is dead", test.desc)
			}
		default:
			if test.dead {
				t.Errorf("%s: it is not dead", test.desc)
			}
		}
	}
	f := fate.New()
	if !f.Close() || f.Close() {
		t.Error("Close: want the first alone to be the first")
	}
	<-f.Closing()
	if !f.End(later) || f.End(later) {
		t.Error("End: want the first alone to be the first")
	}
}

func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hungUp := errors.New("hung up")
		for _, test := range []struct {
			desc string
			end  func(f *fate.Fate, cancel func())
			want error
		}{
			{"the turn passes", func(f *fate.Fate, _ func()) { f.PassTurn() }, nil},
			{"the wait is cancelled", func(_ *fate.Fate, cancel func()) { cancel() }, context.Canceled},
			{"it is cancelled as the turn passes", func(f *fate.Fate, cancel func()) { cancel(); f.PassTurn() }, context.Canceled},
			{"the connection ends", func(f *fate.Fate, _ func()) { f.End(hungUp) }, hungUp},
			{"it ends as the turn passes", func(f *fate.Fate, _ func()) { f.End(hungUp); f.PassTurn() }, hungUp},
			{"this side closes", func(f *fate.Fate, _ func()) { f.Close() }, transport.ErrClosed},
		} {
			f := fate.New()
			if err := f.TakeTurn(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan error, 1)
			go func() { got <- f.TakeTurn(ctx) }()
			synctest.Wait()
			test.end(f, cancel)
			if err := <-got; !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want %v", test.desc, err, test.want)
			}
			cancel()
		}
		f := fate.New()
		if !f.TakeLast() {
			t.Error("the last turn of one that lives: there is none")
		}
		go func() {
			time.Sleep(time.Second)
			f.End(hungUp)
		}()
		if f.TakeLast() {
			t.Error("the last turn of one that died: there is one")
		}
	})
}

func TestAbort(t *testing.T) {
	for _, secure := range []bool{false, true} {
		here, there := net.Pipe()
		var stream net.Conn = here
		if secure {
			stream = tls.Client(here, &tls.Config{ServerName: "hub"})
		}
		start := time.Now()
		fate.Abort(stream)
		if _, err := there.Read(make([]byte, 1)); err == nil || time.Since(start) > 4*time.Second {
			t.Errorf("TLS %v: got %v after %v; want an end at once", secure, err, time.Since(start))
		}
	}
}

func TestCheckID(t *testing.T) {
	for id, good := range map[string]bool{
		"1": true, "a-Z-09": true, "": false, "a b": false, "a=b": false, "ä": false, "a/b": false, "a&b": false, "a\x00": false,
	} {
		err := fate.CheckID(transport.Frame{Kind: transport.GetTwin, ID: id})
		if fate.ValidID(id) != good || (err == nil) != good || err != nil && !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("%q: valid is %v, %v; want %v", id, fate.ValidID(id), err, good)
		}
	}
}

package device_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
)

// TestRenewalHoldsNoReconnect: a line that is lost while a token is being made
// is connected again at once.
func TestRenewalHoldsNoReconnect(t *testing.T) {
	overAMQP(t, func(t *testing.T, w *world) {
		asked := make(chan struct{}, 10)
		hang := &hangingCredential{Credential: w.dev.Credential, asked: asked}
		w.dev.Credential = hang
		c := w.online(nil)
		<-asked // the first login
		hang.hang.Store(true)
		<-asked // the renewal, under way
		hang.hang.Store(false)
		start := time.Now()
		_ = w.hub.Device("dev1").Cut()
		time.Sleep(5 * time.Second) // one back-off is 0.5 to 1 s
		if got := c.State(); got.Phase != device.Online || w.hub.Device("dev1").Stats().Connects != 2 {
			t.Errorf("5 s after the line was lost the client is %v since %v, %d connects", got.Phase, time.Since(got.Since), w.hub.Device("dev1").Stats().Connects)
		}
		for w.hub.Device("dev1").Stats().Connects < 2 && time.Since(start) < 5*time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("connected again after %v", time.Since(start))
	})
}

type hangingCredential struct {
	auth.Credential
	asked chan struct{}
	hang  atomic.Bool
}

func (s *hangingCredential) Token(ctx context.Context, audience string, now time.Time) (auth.Token, error) {
	hang := s.hang.Load()
	select {
	case s.asked <- struct{}{}:
	default:
	}
	if hang {
		<-ctx.Done()
		return auth.Token{}, ctx.Err()
	}
	return auth.TokenOf(ctx, s.Credential, audience, now)
}

// TestBadTokenEndsNoClient: a bad answer of a key service, after days online.
func TestBadTokenEndsNoClient(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		real := w.dev.Credential
		var bad atomic.Bool
		w.dev.Credential = auth.TokenFunc(func(ctx context.Context, audience string) (auth.Token, error) {
			text := "<html>503 Service Unavailable</html>"
			if !bad.Load() {
				tok, err := auth.TokenOf(ctx, real, audience, time.Now())
				if err != nil {
					return auth.Token{}, err
				}
				text = tok.Reveal()
			}
			return auth.ParseToken(text)
		})
		c := w.online(&device.Options{Logger: slog.New(slog.DiscardHandler)}) // the error quotes the word that noSecrets looks for
		time.Sleep(72 * time.Hour)
		if c.State().Phase != device.Online {
			t.Fatal("not online")
		}
		bad.Store(true) // for a minute
		_ = w.hub.Device("dev1").Cut()
		time.Sleep(time.Minute)
		bad.Store(false)
		time.Sleep(24 * time.Hour)
		if got := c.State(); got.Phase != device.Online {
			t.Errorf("a day later the client is %v: %v", got.Phase, got.Err)
		}
	})
}

// badSigner returns nothing useful once, as hardware does that was just reset.
type badSigner struct {
	auth.Signer
	bad atomic.Bool
}

func (s *badSigner) Sign(ctx context.Context, data []byte) ([]byte, error) {
	if s.bad.CompareAndSwap(true, false) {
		return nil, nil
	}
	return s.Signer.Sign(ctx, data)
}

// TestBadSignatureEndsNoClient: the same with hardware that gives nothing once.
func TestBadSignatureEndsNoClient(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		s := &badSigner{Signer: key}
		w.dev.Credential = auth.SAS(s, nil)
		c := w.online(nil)
		time.Sleep(10 * time.Minute)
		s.bad.Store(true)
		_ = w.hub.Device("dev1").Cut()
		time.Sleep(24 * time.Hour)
		if got := c.State(); got.Phase != device.Online {
			t.Errorf("a day later the client is %v: %v", got.Phase, got.Err)
		}
	})
}

// TestBadTokenAtTheFirstLogin: a key service that answers rubbish at boot is
// asked again. Connect returns the reason.
func TestBadTokenAtTheFirstLogin(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		real := w.dev.Credential
		var good atomic.Bool
		w.dev.Credential = auth.TokenFunc(func(ctx context.Context, audience string) (auth.Token, error) {
			if !good.Load() {
				return auth.ParseToken("<html>503 Service Unavailable</html>")
			}
			return auth.TokenOf(ctx, real, audience, time.Now())
		})
		c := w.client(&device.Options{Logger: slog.New(slog.DiscardHandler)})
		if err := c.Connect(soon(t, time.Minute)); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("Connect: %v", err)
		}
		time.Sleep(time.Hour)
		good.Store(true)
		if err := c.Connect(soon(t, 5*time.Minute)); err != nil {
			t.Errorf("once the service is well: %v", err)
		}
	})
}

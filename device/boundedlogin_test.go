package device_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// A hangingDialer hangs at its first attempts, for as long as their contexts let
// it.
type hangingDialer struct {
	transport.Dialer
	hangs atomic.Int64
}

func (d *hangingDialer) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	if d.hangs.Add(-1) >= 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return d.Dialer.Dial(ctx, login)
}

// A transport that hangs holds up the next attempt for a minute, and not for ever.
func TestDialIsBounded(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		d := &hangingDialer{Dialer: w.dial()}
		d.hangs.Store(2)
		w.dialer = d
		c := w.client(nil)
		if err := c.Connect(soon(t, 5*time.Minute)); err != nil {
			t.Errorf("two attempts hung: %v", err)
		}
	})
}

// A credential that hangs is asked again after a minute, and Connect says that it
// is the credential that fails.
func TestCredentialIsBounded(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		hang := &hangingCredential{Credential: w.dev.Credential, asked: make(chan struct{}, 1)}
		hang.hang.Store(true)
		w.dev.Credential = hang
		c := w.client(nil)
		start := time.Now()
		if err := c.Connect(soon(t, 5*time.Minute)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Minute {
			t.Errorf("Connect: %v after %v, want the credential's end after a minute", err, time.Since(start))
		}
		hang.hang.Store(false)
		time.Sleep(5 * time.Minute)
		if got := c.State(); got.Phase != device.Online {
			t.Errorf("once the credential answers the client is %v: %v", got.Phase, got.Err)
		}
	})
}

// A connection whose subscriptions the hub has kept is in step before the hub has
// confirmed them.
func TestResumedSessionSavesARoundTrip(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.dialer = mqtt.Dialer{Stream: w.stream}
		c := w.online(nil)
		time.Sleep(time.Minute)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Subscribe), hubtest.Delay(20*time.Second).Times(-1))
		_ = w.hub.Device("dev1").Cut()
		time.Sleep(5 * time.Second) // one back-off is 0.5 to 1 s
		if got := c.State(); got.Phase != device.Online {
			t.Errorf("5 s after a cut the client is %v, waiting for subscriptions that the hub has", got.Phase)
		}
	})
}

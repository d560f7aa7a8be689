package ws_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/transporttest/hubpeer"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// TestPort8883Dropped has a firewall that drops what goes to port 8883 and lets
// 443 through.
func TestPort8883Dropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t, hubpeer.Ways()[0], "MQTT")
		tries := 0
		dropped := func(ctx context.Context, _ transport.Target) (net.Conn, error) {
			tries++
			<-ctx.Done()
			return nil, ctx.Err()
		}
		dialer := transport.Fallback(mqtt.Dialer{Stream: dropped}, p.Dialer(nil), nil)
		login, err := p.Login("dev1", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{10 * time.Second, 0} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			c, err := dialer.Dial(ctx, login)
			if err != nil {
				t.Fatalf("dial %d: %v", i, err)
			}
			if got := time.Since(start); got != want {
				t.Errorf("dial %d took %v; want %v", i, got, want)
			}
			if _, ok := c.(transport.Resumer); !ok {
				t.Errorf("dial %d: the connection does not say whether the hub kept its session", i)
			}
			c.Close()
		}
		if tries != 1 {
			t.Errorf("8883 was tried %d times; want once", tries)
		}
	})
}

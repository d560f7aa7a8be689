package device_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// An edited connection changes the frames on their way.
type edited struct {
	transport.Conn
	in  func(*transport.Frame)
	out func(transport.Frame) (pass bool)
}

func (e edited) Receive(ctx context.Context) (transport.Frame, error) {
	f, err := e.Conn.Receive(ctx)
	e.in(&f)
	return f, err
}

func (e edited) Send(ctx context.Context, f transport.Frame) error {
	if !e.out(f) {
		return nil
	}
	return e.Conn.Send(ctx, f)
}

// TestSettlesWhatItTakes: a frame that the hub wants a word on is completed, once.
func TestSettlesWhatItTakes(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var given atomic.Uint64
		var mu sync.Mutex
		var settled []transport.Frame
		w.dialer = editing{w.dial(), edited{
			in: func(f *transport.Frame) {
				if f.Kind == transport.Desired {
					f.Delivery = given.Add(1)
				}
			},
			out: func(f transport.Frame) bool {
				if f.Kind != transport.Complete && f.Kind != transport.Release {
					return true
				}
				mu.Lock()
				defer mu.Unlock()
				settled = append(settled, f)
				return false
			},
		}}
		w.online(nil)
		for i := range 5 {
			w.setDesired(fmt.Sprintf(`{"a":%d}`, i))
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		for i, f := range settled {
			if f.Delivery != uint64(i+1) || f.Kind != transport.Complete {
				t.Errorf("settled %+v, want delivery %d completed", f, i+1)
			}
		}
		if len(settled) != 5 {
			t.Errorf("settled %d deliveries, want 5", len(settled))
		}
	})
}

// TestHonoursRetryAfter: a response may ask for a pause, of an hour at most.
func TestHonoursRetryAfter(t *testing.T) {
	for _, c := range []struct{ asked, want time.Duration }{
		{10 * time.Minute, 10 * time.Minute}, {48 * time.Hour, time.Hour},
	} {
		story(t, func(t *testing.T, w *world) {
			w.dialer = editing{w.dial(), edited{
				in: func(f *transport.Frame) {
					if f.Status == 429 {
						f.RetryAfter = c.asked
					}
				},
				out: func(transport.Frame) bool { return true },
			}}
			client := w.online(nil)
			w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Fail(429001))
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
			defer cancel()
			if _, err := client.UpdateReported(ctx, twin.Set("a", 1)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < c.want || took > c.want+time.Minute {
				t.Errorf("asked for a pause of %v: reported after %v, want %v", c.asked, took, c.want)
			}
		})
	}
}

// editing is a Dialer whose connections are edited.
type editing struct {
	transport.Dialer
	edit edited
}

func (d editing) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx, login)
	if err != nil {
		return nil, err
	}
	e := d.edit
	e.Conn = c
	return e, nil
}

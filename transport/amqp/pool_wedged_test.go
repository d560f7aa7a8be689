package amqp_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Logins that a hub leaves without an answer, as many as may wait at a time, hold
// up nobody else.
func TestPoolTokensUnanswered(t *testing.T) { bubble(t, testPoolTokensUnanswered) }
func testPoolTokensUnanswered(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 32)
	join(t, p, devices[0])
	var waiting sync.WaitGroup
	for _, d := range devices[1:31] {
		hub.Intercept(hubtest.FromDevice(d.Identity.DeviceID, hubtest.Connect), hubtest.Drop())
		waiting.Go(func() {
			_, err := dialIn(t, p, d, time.Minute)
			wantError(t, "a login without an answer", err, context.DeadlineExceeded)
		})
	}
	time.Sleep(time.Second)
	if _, err := dialIn(t, p, devices[31], 30*time.Second); err != nil {
		t.Errorf("the 31st: %v", err)
	}
	waiting.Wait()
	m.want(t, "after all", 1, 1)
}

// A connection on which the hub answers nothing any more, while its heartbeats
// come, is joined only so often: devices that give up and dial again are well on
// another.
func TestPoolMuteLine(t *testing.T) { bubble(t, testPoolMuteLine) }
func testPoolMuteLine(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	var mute, another atomic.Bool
	p, m := tapped(hub, func(c *tap) {
		first := !another.Swap(true)
		c.comes = func(f []byte) []byte {
			if first && mute.Load() && len(f) > len(heartbeat) {
				return []byte(heartbeat)
			}
			return f
		}
	})
	devices := addMany(t, hub, 5)
	conns := join(t, p, devices...)
	mute.Store(true)
	var all sync.WaitGroup
	for i, c := range conns {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 7 * time.Second) // each has its own rhythm
			for range 10 {
				if c != nil {
					err := c.Send(t.Context(), get("g"))
					if err == nil {
						_, err = receiveIn(t, c, 10*time.Second)
					}
					if err == nil {
						return
					}
					closeConn(t, c)
				}
				time.Sleep(time.Second)
				c, _ = dialIn(t, p, devices[i], 30*time.Second)
			}
			t.Errorf("%v is not well after 10 times", devices[i].Identity)
		})
	}
	all.Wait()
	m.want(t, "with all well", 2, 1)
}

// Sessions whose end the hub does not answer are bounded in number.
func TestPoolEndUnanswered(t *testing.T) { bubble(t, testPoolEndUnanswered) }
func testPoolEndUnanswered(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := tapped(hub, func(c *tap) {
		c.comes = func(f []byte) []byte {
			if code(f) == kindEnd {
				return nil
			}
			return f
		}
	})
	devices := addMany(t, hub, 2)
	stays := join(t, p, devices[0])[0]
	before := runtime.NumGoroutine()
	const times = 100
	for range times {
		closeConn(t, join(t, p, devices[1])[0])
	}
	// A session keeps 4, and there are 17 at most; beside them are the tap's and the hub's.
	if more := runtime.NumGoroutine() - before; more > times {
		t.Errorf("a device that came and left %d times left %d goroutines on a line that lives on", times, more)
	}
	getTwin(t, stays)
	closeConn(t, stays)
}

// A device that never calls Receive holds up nobody, whatever is changed for it,
// and misses nothing.
func TestPoolNobodyReceives(t *testing.T) { bubble(t, testPoolNobodyReceives) }
func testPoolNobodyReceives(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := newPool(hub, nil)
	conns := join(t, p, addMany(t, hub, 2)...)
	open(t, conns[0])
	for i := range 200 {
		if _, err := hub.Device("dev0").SetDesired(fmt.Sprintf(`{"n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			getTwin(t, conns[1])
		}
	}
	getTwin(t, conns[1])
	for i := range 200 {
		f, err := conns[0].Receive(t.Context())
		if err != nil || f.Kind != transport.Desired || f.Version != int64(i+2) {
			t.Fatalf("change %d: got %+v, %v", i, f, err)
		}
	}
}

// ctx ends Dial at every stage.
func TestPoolDialContext(t *testing.T) { bubble(t, testPoolDialContext) }
func testPoolDialContext(t *testing.T) {
	for _, test := range []struct {
		desc  string
		where int // the session that has no window, or whose write stalls
		stall bool
	}{
		{"a session of tokens without a window", 1, false},
		{"writes stall while another joins", 3, true},
		{"writes stall while the line is opened", 1, true},
	} {
		const window = "\x70\x00\x00\xff\xff" // of the hub's, wide
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		var stalled atomic.Bool
		var stream *tap
		p, _ := tapped(hub, func(c *tap) {
			stream = c
			begun := 0
			c.stall = stalled.Load
			c.comes = func(f []byte) []byte {
				if code(f) == kindBegin {
					begun++
					switch {
					case begun != test.where:
					case test.stall:
						stalled.Store(true)
					default:
						return []byte(frame(byte(channelOf(f)), kindBegin, "", "\x60\x00\x00", zero, zero, window))
					}
				}
				if !test.stall && code(f) == kindFlow && channelOf(f) == 0 {
					return []byte(frame(0, kindFlow, "", zero, zero, zero, window, zero, zero, hundred))
				}
				return f
			}
		})
		devices := addMany(t, hub, 2)
		if test.where == 3 {
			join(t, p, devices[0])
		}
		ended := make(chan error, 1)
		go func() {
			_, err := dialIn(t, p, devices[1], 2*time.Second)
			ended <- err
		}()
		select {
		case err := <-ended:
			wantError(t, test.desc, err, context.DeadlineExceeded)
		case <-time.After(4 * time.Second):
			t.Errorf("%s: Dial with 2s has not ended after 4s", test.desc)
			_ = stream.Close()
			<-ended
		}
	}
}

package amqp_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// The tests in this file are races between goroutines, in real time: nobody can
// say who is first, so each is run some times by go test, and many times by
//
//	go test ./transport/amqp -run Race -pool.rounds 1000
var rounds = flag.Int("pool.rounds", 50, "rounds of each race")

// moment picks one out of some time. It waits for nothing: it has two things meet
// at any point of their ways.
func moment(within time.Duration) { <-time.After(rand.N(within)) }

// together does something for several at once, and closes done after the last.
func together[T any](all []T, do func(T)) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		var wait sync.WaitGroup
		for _, one := range all {
			wait.Go(func() { do(one) })
		}
		wait.Wait()
	}()
	return done
}

// loginsOf are logins of some new devices.
func loginsOf(t *testing.T, hub *hubtest.Hub, devices int) (logins []transport.Login) {
	t.Helper()
	for _, d := range addMany(t, hub, devices) {
		logins = append(logins, loginOf(t, d, time.Hour))
	}
	return logins
}

// A line that dies at the moment in which ctx ends Dial leaves no Dial behind.
func TestRaceLineDiesUnderDial(t *testing.T) {
	for desc, dialer := range map[string]func(transport.StreamFunc) transport.Dialer{
		"alone":    func(s transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: s} },
		"together": func(s transport.StreamFunc) transport.Dialer { return amqp.NewPool(amqp.Dialer{Stream: s}, nil) },
	} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		logins := loginsOf(t, hub, 8)
		for range *rounds {
			b := &breaker{to: hub.Stream}
			d := dialer(b.stream)
			ctx, cancel := context.WithCancel(t.Context())
			dialed := together(logins, func(l transport.Login) {
				if c, err := d.Dial(ctx, l); err == nil {
					_ = c.Close()
				}
			})
			moment(1500 * time.Microsecond)
			cancel()
			b.cut()
			wantEnd(t, desc+": Dial, whose ctx has ended and whose line is dead,", dialed)
		}
	}
}

// Nor does it leave a Send or a Renew behind.
func TestRaceLineDiesUnderUse(t *testing.T) {
	type user struct {
		c transport.Conn
		l transport.Login
	}
	for what, use := range map[string]func(ctx context.Context, u user) error{
		"Send": func(ctx context.Context, u user) error {
			return u.c.Send(ctx, get("g"))
		},
		"Renew": func(ctx context.Context, u user) error { return u.c.(transport.Renewer).Renew(ctx, u.l.Token) },
	} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		logins := loginsOf(t, hub, 8)
		for range *rounds {
			b := &breaker{to: hub.Stream}
			p := amqp.NewPool(amqp.Dialer{Stream: b.stream}, nil)
			var users []user
			for _, l := range logins {
				if c, err := p.Dial(t.Context(), l); err == nil { // else the hub ends the one before in this moment
					users = append(users, user{c, l})
				}
			}
			received := together(users, func(u user) {
				for {
					if _, err := u.c.Receive(t.Context()); err != nil {
						return
					}
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			used := together(users, func(u user) {
				for ctx.Err() == nil && use(ctx, u) == nil {
				}
			})
			moment(300 * time.Microsecond)
			cancel()
			b.cut()
			wantEnd(t, what+", whose ctx has ended and whose line is dead,", used)
			wantEnd(t, "Receive on a dead line", received)
			for _, u := range users {
				closeConn(t, u.c)
			}
		}
	}
}

// A device that leaves while another comes has left: its session ends, though it
// was the only one when it began to leave.
func TestRaceLeaveAndJoin(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := newPool(hub, nil)
	devices := addMany(t, hub, 2)
	login := loginOf(t, devices[1], time.Hour)
	for range *rounds {
		leaves := join(t, p, devices[0])[0]
		getTwin(t, leaves) // by its links a hub knows that it is there
		release := p.Hold()
		left, joined := make(chan struct{}), make(chan transport.Conn, 1)
		go func() {
			defer close(left)
			_ = leaves.Close()
		}()
		amqp.AwaitTurn()
		go func() {
			c, err := p.Dial(t.Context(), login)
			if err != nil {
				t.Errorf("Dial: %v", err)
			}
			joined <- c
		}()
		amqp.AwaitTurn()
		release() // the other joins between any two looks that leaving takes at the line
		wantEnd(t, "Close", left)
		c := <-joined
		if c == nil {
			return
		}
		wantGone(t, hub, devices[0])
		closeConn(t, c)
		if t.Failed() {
			return
		}
	}
}

// A device that leaves, or whose line dies, while the twin's links are attached
// leaves nothing behind.
func TestRaceLeaveUnderAttach(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	b := &breaker{to: hub.Stream}
	m := &meter{to: b.stream}
	p := amqp.NewPool(amqp.Dialer{Stream: m.stream}, nil)
	logins := loginsOf(t, hub, 8)
	for round := range *rounds {
		wantEnd(t, "Close while links are attached", together(logins, func(l transport.Login) {
			c, err := p.Dial(t.Context(), l)
			if err != nil { // else another has cut the line in this moment
				return
			}
			received := make(chan struct{})
			go func() {
				defer close(received)
				for err := error(nil); err == nil; {
					_, err = c.Receive(t.Context())
				}
			}()
			for _, feature := range []transport.Feature{transport.TwinResponses, transport.DesiredChanges} {
				_ = c.Send(t.Context(), transport.Frame{Kind: transport.Open, Feature: feature, ID: string(feature[:1])})
			}
			_ = c.Send(t.Context(), event("e"))
			moment(400 * time.Microsecond)
			if round%3 == 0 {
				b.cut()
			}
			closeConn(t, c)
			wantEnd(t, "Receive", received)
		}))
		m.want(t, "after all", m.opened.Load(), 0)
	}
}

// Several logins of one device that find the hub full, be the line theirs alone or
// not, all hear of it, and leave nothing behind.
func TestRaceFull(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 2)
	login := loginOf(t, devices[0], time.Hour)
	hub.Intercept(hubtest.FromDevice("dev0", hubtest.Connect), hubtest.Fail(403005).Times(-1))
	for round := range *rounds {
		var others []transport.Conn
		if round%2 == 0 {
			others = join(t, p, devices[1])
		}
		wantEnd(t, "Dial", together(make([]int, 4), func(int) {
			_, err := p.Dial(t.Context(), login)
			wantError(t, "Dial", err, transport.ErrUnavailable)
		}))
		for _, c := range others {
			getTwin(t, c)
			closeConn(t, c)
		}
		m.want(t, "after all", m.opened.Load(), 0)
	}
}

// Devices for which a connection has no channels lock nothing up.
func TestRaceForChannels(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	logins := loginsOf(t, hub, 8)
	for range *rounds {
		p, m := tapped(hub, fewChannels)
		wantEnd(t, "Dial or Close", together(logins, func(l transport.Login) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if c, err := p.Dial(ctx, l); err == nil {
				_ = c.Close()
			}
		}))
		m.want(t, "after all", m.opened.Load(), 0)
	}
}

// Devices come and go all the time, with a place for less than all of them on a
// connection, and what each asks is answered.
func TestRacePlaces(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, m := newPool(hub, &amqp.PoolOptions{Devices: 12})
	devices := addMany(t, hub, 40)
	wantEnd(t, "a device", together(devices, func(d hubtest.Device) {
		login := loginOf(t, d, time.Hour)
		for range max(1, *rounds/5) {
			c, err := p.Dial(t.Context(), login)
			if err != nil {
				t.Errorf("%v: %v", d.Identity, err)
				return
			}
			for range rand.IntN(4) {
				getTwin(t, c)
			}
			closeConn(t, c)
		}
	}))
	m.want(t, "after all", m.opened.Load(), 0)
	wantGone(t, hub, devices...)
}

// Whatever happens when, nothing hangs or is left behind, and errors are the
// contract's: lines die under joining, leaving, asking and renewing, and contexts
// end between any two steps.
func TestRaceStorm(t *testing.T) {
	hub := hubtest.New(t, hubtest.Options{Logger: discard()}.With(quirk.Set{ConnectionTokens: 6}))
	b := &breaker{to: hub.Stream}
	m := &meter{to: b.stream}
	p := amqp.NewPool(amqp.Dialer{Stream: m.stream}, &amqp.PoolOptions{Devices: 8})
	stop := make(chan struct{})
	var storm sync.WaitGroup
	storm.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(rand.N(30 * time.Millisecond)): // of its own rhythm
				b.cut()
			}
		}
	})
	devices := together(loginsOf(t, hub, 20), func(l transport.Login) {
		for range max(1, *rounds/2) {
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Millisecond))
			c, err := p.Dial(ctx, l)
			if err != nil && sentinels(err) != 1 {
				t.Errorf("Dial: %v matches %d sentinels", err, sentinels(err))
			}
			if err == nil {
				var uses sync.WaitGroup
				uses.Go(func() { _, _ = c.Receive(ctx) })
				uses.Go(func() { _ = c.Send(ctx, get("g")) })
				uses.Go(func() { _ = c.(transport.Renewer).Renew(ctx, l.Token) })
				if rand.IntN(2) == 0 {
					uses.Wait()
				}
				_ = c.Close()
				uses.Wait()
			}
			cancel()
		}
	})
	wantEnd(t, "something", devices)
	close(stop)
	storm.Wait()
	m.want(t, "after all", m.opened.Load(), 0)
	if n := p.Lines(); n != 0 {
		t.Errorf("after all, the pool has %d lines", n)
	}
}

// A context that ends as its Send does has ended nothing else.
func TestRaceContextEndsWithSend(t *testing.T) { bubble(t, testRaceContextEndsWithSend) }
func testRaceContextEndsWithSend(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	c := dial(t, hub, loginOf(t, addMany(t, hub, 1)[0], time.Hour))
	for range 40 * *rounds {
		ctx, cancel := context.WithCancel(t.Context())
		spin := rand.IntN(200)
		go func() {
			for range spin {
				runtime.Gosched()
			}
			cancel()
		}()
		if c.Send(ctx, get("g")) == nil {
			if _, err := c.Receive(t.Context()); err != nil {
				t.Fatalf("Receive: %v", err)
			}
		}
		cancel()
	}
	time.Sleep(time.Minute)
	getTwin(t, c)
}

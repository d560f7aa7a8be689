package amqp_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

func TestPoolOpensAnother(t *testing.T) { bubble(t, testPoolOpensAnother) }
func testPoolOpensAnother(t *testing.T) {
	for _, test := range []struct {
		desc    string
		devices int
		tokens  int // that the hub takes on a connection
		opened  int32
	}{
		{"the pool's limit", 2, 0, 4},
		{"the hub's limit", 0, 3, 3},
		{"both", 2, 1, 7},
	} {
		hub := hubtest.New(t, hubtest.Options{}.With(quirk.Set{ConnectionTokens: test.tokens}))
		p, m := newPool(hub, &amqp.PoolOptions{Devices: test.devices})
		devices := addMany(t, hub, 7)
		conns := join(t, p, devices...)
		for _, c := range conns {
			getTwin(t, c)
		}
		m.want(t, test.desc, test.opened, test.opened)
		// One that comes back has its place still.
		closeConn(t, conns[0])
		conns[0] = join(t, p, devices[0])[0]
		for _, c := range conns {
			getTwin(t, c)
			closeConn(t, c)
		}
		if open := m.opened.Load() - m.closed.Load(); open != 0 {
			t.Errorf("%s: %d connections are open after all", test.desc, open)
		}
	}
}

// at is a stream whose far end says on which network it is.
type at struct {
	net.Conn
	network string
}

func (a at) RemoteAddr() net.Addr { return a }
func (a at) Network() string      { return a.network }
func (a at) String() string       { return "hub" }

func TestPoolDevicesByStream(t *testing.T) {
	for network, want := range map[string]int{"tcp": 995, "websocket": 500} {
		if got := amqp.DevicesOn(at{network: network}); got != want {
			t.Errorf("%s: %d devices, want %d", network, got, want)
		}
	}
}

// A device that left counts until the hub has forgotten its token, by the pool's
// own count or by the hub's word.
func TestPoolSeats(t *testing.T) { bubble(t, testPoolSeats) }
func testPoolSeats(t *testing.T) {
	for _, test := range []struct {
		desc    string
		devices int
	}{{"by the pool's limit", 2}, {"by the hub's", 0}} {
		hub := hubtest.New(t, hubtest.Options{Logger: discard()}.With(quirk.Set{ConnectionTokens: 2}))
		p, m := newPool(hub, &amqp.PoolOptions{Devices: test.devices})
		devices := addMany(t, hub, 4)
		stays, err := p.Dial(t.Context(), loginOf(t, devices[0], 24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		closeConn(t, join(t, p, devices[1])[0])
		closeConn(t, join(t, p, devices[2])[0])
		m.want(t, test.desc+", while the token of dev1 is good", 2, 1)
		time.Sleep(time.Hour + 11*time.Minute)
		closeConn(t, join(t, p, devices[3])[0])
		m.want(t, test.desc+", after it", 2, 1)
		getTwin(t, stays)
		closeConn(t, stays)
	}
}

// A hub that takes no token on any connection, however often it is asked, is told
// as what it is.
func TestPoolHubIsFull(t *testing.T) { bubble(t, testPoolHubIsFull) }
func testPoolHubIsFull(t *testing.T) {
	hub := hubtest.New(t, nil)
	p, m := newPool(hub, nil)
	for range 3 {
		hub.Intercept(hubtest.FromDevice("dev0", hubtest.Connect), hubtest.Fail(403005))
	}
	d := addMany(t, hub, 1)[0]
	_, err := p.Dial(t.Context(), loginOf(t, d, time.Hour))
	wantError(t, "Dial", err, transport.ErrUnavailable)
	var said *transport.StatusError
	if !errors.As(err, &said) || said.Code != 403005 {
		t.Errorf("got %v; want the hub's code 403005", err)
	}
	m.want(t, "after that", 3, 0)
	getTwin(t, join(t, p, d)[0])
}

// Devices for which a connection has no channels get another, and harm nobody on
// the first.
func TestPoolChannels(t *testing.T) { bubble(t, testPoolChannels) }
func testPoolChannels(t *testing.T) {
	hub := hubtest.New(t, nil)
	p, m := tapped(hub, fewChannels)
	conns := join(t, p, addMany(t, hub, 6)...)
	for _, c := range conns {
		getTwin(t, c)
	}
	m.want(t, "with 3 devices and the tokens on a connection", 2, 2)
}

// fewChannels has the hub say that it has channels 0 to 3.
func fewChannels(c *tap) {
	c.comes = func(f []byte) []byte {
		if code(f) == kindOpen {
			for i := range f[:len(f)-2] {
				if f[i] == 0x60 && f[i+1] == 0x1f && f[i+2] == 0xff {
					f[i+1], f[i+2] = 0, 3
				}
			}
		}
		return f
	}
}

// Many devices on a dead line try it no more often than one would.
func TestPoolRests(t *testing.T) { bubble(t, testPoolRests) }
func testPoolRests(t *testing.T) {
	hub := hubtest.New(t, nil)
	modem := errors.New("the modem is off")
	tried, up := 0, false
	p := amqp.NewPool(amqp.Dialer{Stream: func(ctx context.Context, target transport.Target) (net.Conn, error) {
		tried++
		if !up {
			return nil, modem
		}
		return hub.Stream(ctx, target)
	}}, nil)
	login := loginOf(t, addMany(t, hub, 1)[0], time.Hour)
	for range 600 { // a minute of a hundred devices that each wait for ten seconds
		_, err := p.Dial(t.Context(), login)
		wantError(t, "Dial on a dead line", err, modem)
		wantError(t, "Dial on a dead line", err, transport.ErrUnavailable)
		time.Sleep(100 * time.Millisecond)
	}
	if tried < 8 || tried > 15 {
		t.Errorf("the line was tried %d times in a minute; want about 12", tried)
	}
	up = true
	start := time.Now()
	for {
		c, err := p.Dial(t.Context(), login)
		if err == nil {
			closeConn(t, c)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("the line was tried %v after it was there again; want 8 s at most", took)
	}
	up, tried = false, 0
	_, err := p.Dial(t.Context(), login)
	wantError(t, "Dial on a line that died anew", err, modem)
	time.Sleep(250 * time.Millisecond)
	_, err = p.Dial(t.Context(), login)
	wantError(t, "Dial 250 ms later", err, modem)
	if tried != 2 {
		t.Errorf("after a success it was tried %d times, want 2", tried)
	}
}

package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

func TestPoolShares(t *testing.T) { bubble(t, testPoolShares) }
func testPoolShares(t *testing.T) {
	hub := hubtest.New(t, nil)
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 5)
	module, err := hub.AddDevice("dev0/mod")
	if err != nil {
		t.Fatal(err)
	}
	devices = append(devices, module)
	m.want(t, "before any device", 0, 0)
	conns := join(t, p, devices...)
	m.want(t, "with 6 devices", 1, 1)
	for i, c := range conns {
		getTwin(t, c)
		if id := devices[i].Identity; id.ModuleID == "" {
			open(t, c)
			if _, err := hub.Device(id.DeviceID).SetDesired(`{"is":"` + id.DeviceID + `"}`); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, c := range conns[:5] { // each hears of its own twin alone
		f, err := c.Receive(t.Context())
		if want := fmt.Sprintf(`{"is":"dev%d","$version":2}`, i); err != nil || f.Kind != transport.Desired || string(f.Body) != want {
			t.Errorf("dev%d: got %v %s, %v; want %s", i, f.Kind, f.Body, err, want)
		}
	}
	for _, c := range conns[:3] {
		closeConn(t, c)
	}
	m.want(t, "after half of them left", 1, 1)
	for i, want := range []bool{false, false, false, true, true} {
		if tw, err := hub.Device(fmt.Sprintf("dev%d", i)).Twin(); err != nil || tw.Connected != want {
			t.Errorf("dev%d: connected is %v, %v; want %v", i, tw.Connected, err, want)
		}
	}
	conns = append(conns, join(t, p, devices[1])...)
	for _, c := range conns[3:] {
		getTwin(t, c)
	}
	m.want(t, "after one came back", 1, 1)
	for _, c := range conns {
		closeConn(t, c)
	}
	m.want(t, "after all left", 1, 0)
	getTwin(t, join(t, p, devices[2])[0])
	m.want(t, "after the first of another day", 2, 1)
}

// What happens to one device is no matter to the others, nor to the connection.
func TestPoolIsolation(t *testing.T) { bubble(t, testPoolIsolation) }
func testPoolIsolation(t *testing.T) {
	for _, test := range []struct {
		desc   string
		happen func(t *testing.T, hub *hubtest.Hub, p *amqp.Pool, d hubtest.Device) error
		want   error // of Receive
	}{
		{"its token ends", func(t *testing.T, _ *hubtest.Hub, _ *amqp.Pool, _ hubtest.Device) error {
			time.Sleep(61 * time.Minute) // the others have a day
			return nil
		}, transport.ErrUnauthorized},
		{"it is removed", func(_ *testing.T, hub *hubtest.Hub, _ *amqp.Pool, _ hubtest.Device) error {
			return hub.Device("odd").Remove()
		}, transport.ErrUnavailable},
		{"it is disabled", func(_ *testing.T, hub *hubtest.Hub, _ *amqp.Pool, _ hubtest.Device) error {
			return hub.Device("odd").SetEnabled(false)
		}, transport.ErrUnavailable},
		{"its links are cut", func(_ *testing.T, hub *hubtest.Hub, _ *amqp.Pool, _ hubtest.Device) error {
			return hub.Device("odd").Cut()
		}, transport.ErrUnavailable},
		{"somebody takes over", func(t *testing.T, hub *hubtest.Hub, _ *amqp.Pool, d hubtest.Device) error {
			dial(t, hub, loginOf(t, d, time.Hour))
			return nil
		}, transport.ErrUnavailable},
		{"it is there twice", func(t *testing.T, _ *hubtest.Hub, p *amqp.Pool, d hubtest.Device) error {
			getTwin(t, join(t, p, d)[0])
			return nil
		}, transport.ErrLost},
	} {
		hub := hubtest.New(t, nil)
		p, m := newPool(hub, nil)
		var others []transport.Conn
		for _, d := range addMany(t, hub, 3) {
			c, err := p.Dial(t.Context(), loginOf(t, d, 24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, c)
		}
		odd := add(t, hub, "odd")
		c := join(t, p, odd)[0]
		getTwin(t, c)
		if err := test.happen(t, hub, p, odd); err != nil {
			t.Fatal(err)
		}
		_, err := c.Receive(t.Context())
		wantError(t, test.desc+": Receive", err, test.want)
		wantError(t, test.desc+": Send", c.Send(t.Context(), get("g")), test.want)
		closeConn(t, c)
		for _, c := range others {
			getTwin(t, c)
			defer closeConn(t, c)
		}
		m.want(t, test.desc, m.opened.Load(), m.opened.Load()-m.closed.Load())
		if n := m.opened.Load(); n != 1 {
			t.Errorf("%s: %d connections; want 1", test.desc, n)
		}
	}
}

// A login that the hub refuses, or does not answer, leaves the others alone too.
func TestPoolRefusesOne(t *testing.T) { bubble(t, testPoolRefusesOne) }
func testPoolRefusesOne(t *testing.T) {
	hub := hubtest.New(t, nil)
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 2)
	other := join(t, p, devices[0])[0]
	for _, test := range []struct {
		desc  string
		rule  *hubtest.Action
		login func(l *transport.Login)
		want  error
	}{
		{"another's token", nil, func(l *transport.Login) { l.Token = loginOf(t, devices[0], time.Hour).Token }, transport.ErrUnauthorized},
		{"unknown", nil, func(l *transport.Login) { l.Identity.DeviceID = "nobody" }, transport.ErrUnauthorized},
		{"throttled", ptr(hubtest.Fail(429001)), nil, transport.ErrThrottled},
		{"unavailable", ptr(hubtest.Fail(503001)), nil, transport.ErrUnavailable},
		{"not answered", ptr(hubtest.Drop()), nil, context.DeadlineExceeded},
		{"no keep-alive", nil, func(l *transport.Login) { l.KeepAlive = 0 }, transport.ErrUnsupported},
		{"no id", nil, func(l *transport.Login) { l.Identity.DeviceID = "" }, transport.ErrUnsupported},
	} {
		l := loginOf(t, devices[1], time.Hour)
		if test.login != nil {
			test.login(&l)
		}
		if test.rule != nil {
			hub.Intercept(hubtest.FromDevice("dev1", hubtest.Connect), *test.rule)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := p.Dial(ctx, l)
		cancel()
		wantError(t, test.desc, err, test.want)
		getTwin(t, other)
	}
	getTwin(t, join(t, p, devices[1])[0])
	m.want(t, "in the end", 1, 1)
}

// A line that ends ends for all, and the next to come opens another.
func TestPoolLineLost(t *testing.T) { bubble(t, testPoolLineLost) }
func testPoolLineLost(t *testing.T) {
	hub := hubtest.New(t, nil)
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 3)
	conns := join(t, p, devices...)
	hub.Intercept(hubtest.FromDevice("", hubtest.Ping), hubtest.Cut()) // nobody's: the line's
	for i, c := range conns {
		_, err := c.Receive(t.Context())
		wantError(t, fmt.Sprintf("dev%d", i), err, transport.ErrLost)
	}
	again := join(t, p, devices...)
	for _, c := range conns {
		closeConn(t, c)
	}
	for _, c := range again {
		getTwin(t, c)
	}
	m.want(t, "with all of them back", 2, 1)
}

func TestPoolWithCertificate(t *testing.T) { bubble(t, testPoolWithCertificate) }
func testPoolWithCertificate(t *testing.T) {
	time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	hub := hubtest.New(t, nil)
	m := &meter{to: tlsTo(hub)}
	p := amqp.NewPool(amqp.Dialer{Stream: m.stream}, nil)
	d, err := hub.AddX509Device("cert1", nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := auth.CertificateOf(t.Context(), d.Credential)
	if err != nil {
		t.Fatal(err)
	}
	join(t, p, addMany(t, hub, 2)...)
	c, err := p.Dial(t.Context(), transport.Login{Identity: d.Identity, Certificate: cert, KeepAlive: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	getTwin(t, c)
	m.want(t, "two with tokens, one with a certificate", 2, 2)
	closeConn(t, c)
	m.want(t, "after the latter left", 2, 1)
}

// Those who wait for a connection may give up, and others not.
func TestPoolWaiting(t *testing.T) { bubble(t, testPoolWaiting) }
func testPoolWaiting(t *testing.T) {
	hub := hubtest.New(t, nil)
	devices := addMany(t, hub, 3)
	slow := make(chan struct{})
	m := &meter{}
	m.to = func(ctx context.Context, target transport.Target) (net.Conn, error) {
		select {
		case <-slow:
			return hub.Stream(ctx, target)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p := amqp.NewPool(amqp.Dialer{Stream: m.stream}, nil)
	dialAs := func(ctx context.Context, i int) <-chan error {
		done := make(chan error, 1)
		l := loginOf(t, devices[i], time.Hour)
		go func() {
			c, err := p.Dial(ctx, l)
			if err == nil {
				err = c.Close()
			}
			done <- err
		}()
		return done
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	first := dialAs(short, 0)
	second := dialAs(t.Context(), 1)
	wantError(t, "who began it", <-first, context.DeadlineExceeded)
	close(slow)
	wantError(t, "who waited longer", <-second, nil)
	m.want(t, "after both", 1, 0)

	slow = make(chan struct{})
	short, cancel = context.WithCancel(t.Context())
	first, second = dialAs(short, 0), dialAs(short, 1)
	time.Sleep(time.Second)
	cancel()
	wantError(t, "the first to give up", <-first, context.Canceled)
	wantError(t, "the second", <-second, context.Canceled)
	m.want(t, "after nobody wanted it", 1, 0)

	close(slow)
	modem := errors.New("the modem is off")
	m.to = func(context.Context, transport.Target) (net.Conn, error) { return nil, modem }
	first, second = dialAs(t.Context(), 0), dialAs(t.Context(), 1)
	wantError(t, "no line, the first", <-first, modem)
	wantError(t, "no line, the second", <-second, modem)
}

// Devices renew side by side, and none waits for another's answer.
func TestPoolRenews(t *testing.T) { bubble(t, testPoolRenews) }
func testPoolRenews(t *testing.T) {
	hub := hubtest.New(t, nil)
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 40) // more than put tokens at a time
	conns := join(t, p, devices...)
	hub.Intercept(hubtest.FromDevice("dev7", hubtest.Connect), hubtest.Drop())
	for range 5 {
		time.Sleep(50 * time.Minute)
		var all sync.WaitGroup
		for i, c := range conns {
			token := tokenOf(t, devices[i], time.Hour)
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := c.(transport.Renewer).Renew(ctx, token)
				if i == 7 && errors.Is(err, context.DeadlineExceeded) {
					err = c.(transport.Renewer).Renew(t.Context(), token)
				}
				if err != nil {
					t.Errorf("dev%d: %v", i, err)
				}
			})
		}
		all.Wait()
	}
	for _, c := range conns {
		getTwin(t, c)
	}
	m.want(t, "after five hours", 1, 1)
	// The end of one's session ends its renewal, and nobody else's.
	hub.Intercept(hubtest.FromDevice("dev3", hubtest.Connect), hubtest.Drop())
	token, failed := tokenOf(t, devices[3], time.Hour), make(chan error, 1)
	go func() { failed <- conns[3].(transport.Renewer).Renew(t.Context(), token) }()
	time.Sleep(time.Second)
	closeConn(t, conns[3])
	wantError(t, "Renew under Close", <-failed, transport.ErrClosed)
	getTwin(t, conns[4])
}

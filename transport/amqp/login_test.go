package amqp_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// loginOf is a login with a token of some life.
func loginOf(t *testing.T, d hubtest.Device, life time.Duration) transport.Login {
	t.Helper()
	return transport.Login{Identity: d.Identity, Token: tokenOf(t, d, life), KeepAlive: time.Minute, ModelID: "dtmi:com:example:Fan;1"}
}

func tokenOf(t *testing.T, d hubtest.Device, life time.Duration) auth.Token {
	t.Helper()
	key, err := auth.ParseKey(d.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.TokenOf(t.Context(), auth.SAS(key, &auth.SASOptions{Lifetime: life}), d.Identity.Audience(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func dial(t *testing.T, hub *hubtest.Hub, l transport.Login) transport.Conn {
	t.Helper()
	c, err := amqp.Dialer{Stream: hub.Stream}.Dial(t.Context(), l)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func add(t *testing.T, hub *hubtest.Hub, id string) hubtest.Device {
	t.Helper()
	d, err := hub.AddDevice(id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// getTwin wants the twin to be got.
func getTwin(t *testing.T, c transport.Conn) {
	t.Helper()
	if err := c.Send(t.Context(), get("g")); err != nil {
		t.Fatalf("Send: %v", err)
	}
	f, err := c.Receive(t.Context())
	if err != nil || f.Kind != transport.Response || f.Status != 200 || len(f.Body) == 0 {
		t.Fatalf("Receive: got %+v, %v; want the twin", f, err)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
		return
	}
	if err == nil {
		return
	}
	if text := err.Error(); !strings.HasPrefix(text, "transport: ") && !strings.HasPrefix(text, "amqp: ") {
		t.Errorf("%s: got %q, which does not begin with the name of its package", what, text)
	}
}

func TestIdentities(t *testing.T) { bubble(t, testIdentities) }
func testIdentities(t *testing.T) {
	hub := hubtest.New(t, nil)
	devices := []hubtest.Device{add(t, hub, "dev1"), add(t, hub, "a+b#c%20=,$'*?!()@:d")}
	m, err := hub.AddDevice("dev1/mod.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(devices, m) {
		getTwin(t, dial(t, hub, loginOf(t, d, time.Hour)))
		id := d.Identity.DeviceID
		if d.Identity.ModuleID != "" {
			id += "/" + d.Identity.ModuleID
		}
		if tw, err := hub.Device(id).Twin(); err != nil || tw.ModelID != "dtmi:com:example:Fan;1" || !tw.Connected {
			t.Errorf("%v: got %+v, %v; want it connected, with its model", d.Identity, tw, err)
		}
	}
}

func TestLoginRefused(t *testing.T) { bubble(t, testLoginRefused) }
func testLoginRefused(t *testing.T) {
	hub := hubtest.New(t, nil)
	d, off := add(t, hub, "dev1"), add(t, hub, "off")
	if err := hub.Device("off").SetEnabled(false); err != nil {
		t.Fatal(err)
	}
	good := loginOf(t, d, time.Hour)
	for _, test := range []struct {
		desc   string
		change func(l *transport.Login)
		rule   *hubtest.Action
		want   error
	}{
		{"disabled", func(l *transport.Login) { *l = loginOf(t, off, time.Hour) }, nil, transport.ErrUnauthorized},
		{"another hub's name", func(l *transport.Login) { l.Identity.Host = "other.hub" }, nil, transport.ErrUnauthorized},
		{"another's token", func(l *transport.Login) { l.Token = loginOf(t, off, time.Hour).Token }, nil, transport.ErrUnauthorized},
		{"no keep-alive", func(l *transport.Login) { l.KeepAlive = 0 }, nil, transport.ErrUnsupported},
		{"no id", func(l *transport.Login) { l.Identity.DeviceID = "" }, nil, auth.ErrInvalid},
		{"throttled", nil, ptr(hubtest.Fail(429001)), transport.ErrThrottled},
		{"unavailable", nil, ptr(hubtest.Fail(503001)), transport.ErrUnavailable},
		{"cut", nil, ptr(hubtest.Cut()), transport.ErrLost},
		{"frozen", nil, ptr(hubtest.Freeze()), transport.ErrStalled},
	} {
		l := good
		if test.change != nil {
			test.change(&l)
		}
		if test.rule != nil {
			hub.Intercept(hubtest.FromDevice("", hubtest.Connect), *test.rule)
		}
		c, err := amqp.Dialer{Stream: hub.Stream}.Dial(t.Context(), l)
		if c != nil {
			t.Errorf("%s: got a connection", test.desc)
		}
		wantError(t, test.desc, err, test.want)
	}
	getTwin(t, dial(t, hub, good))
}

func ptr[T any](v T) *T { return &v }

// tlsTo is the way to a hub with TLS.
func tlsTo(hub *hubtest.Hub) transport.StreamFunc {
	return transport.TLS(&transport.TLSOptions{RootCAs: hub.RootCAs(), DialContext: hub.DialContext})
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestX509(t *testing.T) { bubble(t, testX509) }
func testX509(t *testing.T) {
	time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	hub := hubtest.New(t, nil)
	d, err := hub.AddX509Device("cert1", nil)
	if err != nil {
		t.Fatal(err)
	}
	self, err := hub.AddX509Device("self1", &hubtest.X509Options{SelfSigned: true})
	if err != nil {
		t.Fatal(err)
	}
	dialer := amqp.Dialer{Stream: tlsTo(hub)}
	login := func(as hubtest.Device, with auth.Credential) transport.Login {
		cert, err := auth.CertificateOf(t.Context(), with)
		if err != nil {
			t.Fatal(err)
		}
		return transport.Login{Identity: as.Identity, Certificate: cert, KeepAlive: time.Minute}
	}
	for _, as := range []hubtest.Device{d, self} {
		c, err := dialer.Dial(t.Context(), login(as, as.Credential))
		if err != nil {
			t.Fatalf("%v: %v", as.Identity, err)
		}
		getTwin(t, c)
		wantError(t, "Renew", c.(transport.Renewer).Renew(t.Context(), auth.Token{}), transport.ErrUnsupported)
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	_, err = dialer.Dial(t.Context(), login(d, self.Credential))
	wantError(t, "another's certificate", err, transport.ErrUnauthorized)
	var said *amqp.ConditionError
	if !errors.As(err, &said) || said.Condition != "amqp:unauthorized-access" || said.Code != 401003 {
		t.Errorf("another's certificate: got %+v, want the hub's words", said)
	}
}

// A gateway that leaves next-incoming-id out of FLOW is no trouble, for however
// many requests.
func TestFlowWithoutNextIncomingID(t *testing.T) { bubble(t, testFlowWithoutNextIncomingID) }
func testFlowWithoutNextIncomingID(t *testing.T) {
	hub := hubtest.New(t, hubtest.Options{}.With(quirk.Set{OmitNextIncomingID: true}))
	d := add(t, hub, "dev1")
	c := dial(t, hub, loginOf(t, d, time.Hour))
	for range 6000 { // more than a window and several credits
		getTwin(t, c)
	}
}

func TestRenew(t *testing.T) { bubble(t, testRenew) }
func testRenew(t *testing.T) {
	hub := hubtest.New(t, nil)
	d, other := add(t, hub, "dev1"), add(t, hub, "dev2")
	c := dial(t, hub, loginOf(t, d, time.Hour))
	r := c.(transport.Renewer)
	for range 30 { // a day of tokens on one connection
		time.Sleep(50 * time.Minute)
		if err := r.Renew(t.Context(), tokenOf(t, d, time.Hour)); err != nil {
			t.Fatalf("Renew: %v", err)
		}
		getTwin(t, c)
	}
	wantError(t, "Renew by another's token", r.Renew(t.Context(), tokenOf(t, other, time.Hour)), transport.ErrUnauthorized)
	wantError(t, "Renew by no token", r.Renew(t.Context(), auth.Token{}), transport.ErrUnsupported)
	getTwin(t, c) // on the token before

	// An answer that is late is no answer to the next.
	hub.Intercept(hubtest.FromDevice("dev1", hubtest.Connect), hubtest.Delay(20*time.Second))
	short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	wantError(t, "Renew that is not answered", r.Renew(short, tokenOf(t, other, time.Hour)), context.DeadlineExceeded)
	time.Sleep(time.Minute)
	if err := r.Renew(t.Context(), tokenOf(t, d, time.Hour)); err != nil {
		t.Errorf("Renew after one that was late: %v", err)
	}
	if n := hub.Device("dev1").Stats().Connects; n != 1 {
		t.Errorf("%d logins, want 1", n)
	}

	// Not renewed, the links end with the hub's word.
	start := time.Now()
	_, err := c.Receive(t.Context())
	wantError(t, "Receive at the token's end", err, transport.ErrUnauthorized)
	if took := time.Since(start); took != time.Hour {
		t.Errorf("ended after %v, want 1h", took)
	}
	wantError(t, "Renew on a dead connection", r.Renew(t.Context(), tokenOf(t, d, time.Hour)), transport.ErrUnauthorized)
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantError(t, "Renew after Close", r.Renew(t.Context(), tokenOf(t, d, time.Hour)), transport.ErrClosed)
}

// A hub that gives no answer to the subscription's PUT but an error is a
// Response to the Open.
func TestOpenRefused(t *testing.T) { bubble(t, testOpenRefused) }
func testOpenRefused(t *testing.T) {
	hub := hubtest.New(t, nil)
	c := dial(t, hub, loginOf(t, add(t, hub, "dev1"), time.Hour))
	hub.Intercept(hubtest.FromDevice("dev1", hubtest.Subscribe), hubtest.Fail(503001))
	if err := c.Send(t.Context(), transport.Frame{Kind: transport.Open, Feature: transport.DesiredChanges, ID: "1"}); err != nil {
		t.Fatal(err)
	}
	f, err := c.Receive(t.Context())
	if err != nil || f.Kind != transport.Response || f.ID != "1" || f.Status != 503 {
		t.Errorf("got %+v, %v; want a response with status 503", f, err)
	}
}

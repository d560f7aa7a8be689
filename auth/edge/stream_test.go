package edge_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/edge"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// A gateway is a hub behind the name localhost, on a port of its own, with the
// module edge1/filter on it. Its CA is nobody else's.
type gateway struct {
	*hubtest.Hub
	address string
	module  hubtest.Device
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	hub := hubtest.New(t, nil)
	if _, err := hub.AddDevice("edge1"); err != nil {
		t.Fatal(err)
	}
	module, err := hub.AddDevice("edge1/filter")
	if err != nil {
		t.Fatal(err)
	}
	at, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &gateway{hub, at.String(), module}
}

// keeper is the gateway's daemon.
func (g *gateway) keeper() *keeper {
	return &keeper{sign: "/modules/filter/genid/637308306805488864/sign", key: g.module.PrimaryKey, bundle: string(g.CAPEM())}
}

// environment is what the module finds.
func (g *gateway) environment(uri string) func(string) string {
	return environment(uri, map[string]string{"IOTEDGE_IOTHUBHOSTNAME": g.Host()})
}

func (g *gateway) waitOnline(ctx context.Context, t *testing.T) {
	t.Helper()
	if _, err := g.Device("edge1/filter").Wait(ctx, func(t hubtest.Twin) bool { return t.Connected }); err != nil {
		t.Fatal(err)
	}
}

// open opens a stream to the gateway as a Dialer would, and closes it.
func open(ctx context.Context, m *edge.Module, o *transport.TLSOptions, sessions tls.ClientSessionCache) error {
	login := transport.Login{Identity: m.Identity, Sessions: sessions}
	c, err := m.TLS(o)(ctx, login.Target("mqtt", 8883))
	if err != nil {
		return err
	}
	return c.Close()
}

// A module logs in through its gateway, and both halves of its twin work.
func TestModule(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			g := newGateway(t)
			d := serve(t, network, "", g.keeper().handle)
			m := fromEnvironment(t, g.environment(d.uri), nil)
			dev := device.New(m.Identity, m.Credential, mqtt.Dialer{Stream: m.TLS(&transport.TLSOptions{Address: g.address})}, nil)
			defer dev.Close()
			if err := dev.Connect(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := dev.UpdateReported(ctx, twin.Set("status", "running")); err != nil {
				t.Fatal(err)
			}
			if _, err := g.Device("edge1/filter").WaitReported(ctx, "status", `"running"`); err != nil {
				t.Fatal(err)
			}
			if got := len(d.requests()); got != 2 {
				t.Errorf("got %d requests to the daemon for one connection, want 2", got)
			}
		})
	}
}

// The same with what Microsoft's tools set at a desk.
func TestModuleAtDesk(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g := newGateway(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	m := fromEnvironment(t, environment("", map[string]string{
		"EdgeHubConnectionString":     g.module.ConnectionString + ";GatewayHostName=localhost",
		"EdgeModuleCACertificateFile": file,
	}), nil)
	line := m.TLS(&transport.TLSOptions{Address: g.address})

	lost := device.New(m.Identity, m.Credential, mqtt.Dialer{Stream: line}, nil)
	err := lost.Connect(ctx)
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, transport.ErrUntrusted) {
		t.Errorf("without the file: Connect told %v, want that it is not there", err)
	}
	if err := lost.Close(); err != nil {
		t.Error(err)
	}

	if err := os.WriteFile(file, g.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := device.New(m.Identity, m.Credential, mqtt.Dialer{Stream: line}, nil)
	defer dev.Close()
	if err := dev.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	g.waitOnline(ctx, t)
}

// A client that starts before the daemon does tells so, and gets through
// without being made anew; so it does when the daemon restarts under it.
func TestClientOutlivesDaemon(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g := newGateway(t)
	k := g.keeper()
	d := serve(t, "unix", "", k.handle)
	d.stop()
	m := fromEnvironment(t, g.environment(d.uri), nil)
	dev := device.New(m.Identity, m.Credential, mqtt.Dialer{Stream: m.TLS(&transport.TLSOptions{Address: g.address})}, nil)
	defer dev.Close()
	if err := dev.Connect(ctx); err == nil || !strings.Contains(err.Error(), "no signature from IoT Edge's daemon") {
		t.Errorf("with the daemon down: Connect told %v, want that", err)
	}
	d = serve(t, "unix", d.address, k.handle)
	g.waitOnline(ctx, t)

	d.stop()
	if err := g.Device("edge1/filter").Cut(); err != nil {
		t.Fatal(err)
	}
	serve(t, "unix", d.address, k.handle)
	g.waitOnline(ctx, t)
}

// New roots are used at the next connection, and only they are.
func TestRotatedBundle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	before, after := newGateway(t), newGateway(t)
	if _, err := after.Device("edge1/filter").SetKeys(before.module.PrimaryKey, ""); err != nil {
		t.Fatal(err)
	}
	k := before.keeper()
	d := serve(t, "unix", "", k.handle)
	m := fromEnvironment(t, before.environment(d.uri), nil)
	var at atomic.Pointer[gateway]
	at.Store(before)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at.Load().address)
	}
	dev := device.New(m.Identity, m.Credential, mqtt.Dialer{Stream: m.TLS(&transport.TLSOptions{DialContext: dial})}, nil)
	defer dev.Close()
	if err := dev.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	k.setBundle(string(after.CAPEM()))
	at.Store(after)
	if err := before.Device("edge1/filter").Cut(); err != nil {
		t.Fatal(err)
	}
	after.waitOnline(ctx, t)
}

// untouched is a session cache that counts its uses. That a resumed session is
// judged by roots that were changed meanwhile only newer releases of Go promise.
type untouched struct{ uses int }

func (u *untouched) Get(string) (*tls.ClientSessionState, bool) { u.uses++; return nil, false }

func (u *untouched) Put(string, *tls.ClientSessionState) { u.uses++ }

// The trust bundle is all that a gateway is verified by.
func TestOnlyTheBundle(t *testing.T) {
	g, other := newGateway(t), newGateway(t)
	k := g.keeper()
	d := serve(t, "unix", "", k.handle)
	m := fromEnvironment(t, g.environment(d.uri), nil)
	sessions := &untouched{}
	atGateway := &transport.TLSOptions{Address: g.address, Config: &tls.Config{
		RootCAs: g.RootCAs(), ClientSessionCache: sessions,
		MaxVersion: tls.VersionTLS12, // hands out sessions in the handshake itself
	}}
	for _, tt := range []struct {
		desc, bundle string
		opts         *transport.TLSOptions
		want         error
	}{
		{"the gateway's CA", string(g.CAPEM()), atGateway, nil},
		{"another CA, though the options hold the right one", string(other.CAPEM()), atGateway, transport.ErrUntrusted},
		{"both", string(other.CAPEM()) + string(g.CAPEM()), atGateway, nil},
		{"none", "", atGateway, transport.ErrUntrusted},
		{"the gateway's CA, and no verification asked for", string(g.CAPEM()),
			&transport.TLSOptions{Address: g.address, Config: &tls.Config{InsecureSkipVerify: true}}, auth.ErrInvalid},
		{"the gateway's CA, and a judge of its own asked for", string(g.CAPEM()), &transport.TLSOptions{Address: g.address, Config: &tls.Config{
			InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil },
		}}, auth.ErrInvalid},
		{"the gateway's CA, and a pin on another", string(g.CAPEM()), &transport.TLSOptions{Address: g.address, Pins: []string{strings.Repeat("A", 43) + "="}}, transport.ErrUntrusted},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			k.setBundle(tt.bundle)
			if err := open(t.Context(), m, tt.opts, sessions); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if sessions.uses != 0 {
		t.Errorf("sessions were looked up or kept %d times; one that is resumed may skip the new roots", sessions.uses)
	}
	t.Run("another name than the gateway's", func(t *testing.T) {
		k.setBundle(string(g.CAPEM()))
		m := fromEnvironment(t, environment(d.uri, map[string]string{"IOTEDGE_GATEWAYHOSTNAME": "gateway.example"}), nil)
		if err := open(t.Context(), m, atGateway, nil); !errors.Is(err, transport.ErrUntrusted) {
			t.Errorf("got %v, want ErrUntrusted", err)
		}
	})
	t.Run("nil options", func(t *testing.T) {
		d.stop()
		if err := open(t.Context(), m, nil, nil); err == nil || !strings.Contains(err.Error(), "no trust bundle from IoT Edge's daemon") {
			t.Errorf("got %v, want that the daemon is down, before anybody is dialled", err)
		}
	})
}

// Connect tells of a bundle that is no use, and the client goes on.
func TestConnectTellsEmptyBundle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g := newGateway(t)
	k := g.keeper()
	k.setBundle("")
	d := serve(t, "unix", "", k.handle)
	m := fromEnvironment(t, g.environment(d.uri), nil)
	dev := device.New(m.Identity, m.Credential, mqtt.Dialer{Stream: m.TLS(&transport.TLSOptions{Address: g.address})}, nil)
	defer dev.Close()
	if err := dev.Connect(ctx); !errors.Is(err, transport.ErrUntrusted) || !strings.Contains(err.Error(), "trust_bundle_cert") {
		t.Errorf("got %v, want ErrUntrusted, and where the bundle is set", err)
	}
	if got := dev.State().Phase; got == device.Closed {
		t.Errorf("the client has ended; want that it goes on trying")
	}
}

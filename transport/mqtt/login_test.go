package mqtt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// connectOf is the CONNECT that a login makes.
func connectOf(t *testing.T, l transport.Login) *packets.ConnectPacket {
	t.Helper()
	b, err := mqtt.ConnectPacket(l)
	if err != nil {
		t.Fatal(err)
	}
	p, err := mqttwire.Read(bytes.NewReader(b), hubproto.MaxPacket)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*packets.ConnectPacket)
}

func TestUserName(t *testing.T) {
	const (
		product = "mysdk/1.2.3 (go1.24; linux/amd64)"
		en1     = "myhub.azure-devices.net/dev1/?api-version=2021-04-12&DeviceClientType=mysdk%2F1.2.3%20%28go1.24%3B%20linux%2Famd64%29"
		en2     = en1 + "&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1"
	)
	id := auth.Identity{Host: "myhub.azure-devices.net", DeviceID: "dev1"}
	module, behind := id, id
	module.ModuleID = "mod1"
	behind.Gateway = "edge.local"
	for _, c := range []struct {
		name           string
		id             auth.Identity
		product, model string
		clientID, user string
	}{
		{"EN-1", id, product, "", "dev1", en1},
		{"EN-2", id, product, "dtmi:com:example:Thermostat;1", "dev1", en2},
		{"a module", module, product, "", "dev1/mod1", strings.Replace(en1, "/dev1/", "/dev1/mod1/", 1)},
		{"behind a gateway", behind, product, "", "dev1", en1},
		{"a plus is no space", id, "a+b c", "", "dev1", "myhub.azure-devices.net/dev1/?api-version=2021-04-12&DeviceClientType=a%2Bb%20c"},
	} {
		got := connectOf(t, transport.Login{Identity: c.id, Product: c.product, ModelID: c.model, KeepAlive: time.Minute})
		if got.Username != c.user || got.ClientIdentifier != c.clientID {
			t.Errorf("%s:\n got %q as %q\nwant %q as %q", c.name, got.Username, got.ClientIdentifier, c.user, c.clientID)
		}
	}
	got := connectOf(t, transport.Login{Identity: id, KeepAlive: time.Minute}).Username
	if !strings.Contains(got, "DeviceClientType=devicetwin-go%20%28go1.") {
		t.Errorf("no product given: got %q; want the library's own", got)
	}
}

func TestPassword(t *testing.T) {
	const sas = "SharedAccessSignature sr=x&sig=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D&se=1767225600"
	token, err := auth.ParseToken(sas)
	if err != nil {
		t.Fatal(err)
	}
	l := login(time.Minute)
	if got := connectOf(t, l); got.PasswordFlag || len(got.Password) != 0 || !got.UsernameFlag {
		t.Errorf("without a token: got password %v %q; want none", got.PasswordFlag, got.Password)
	}
	l.Token = token
	if got := connectOf(t, l); !got.PasswordFlag || string(got.Password) != sas {
		t.Errorf("with a token: got password %v %q; want the token", got.PasswordFlag, got.Password)
	}
}

func TestKeepAliveOfLogin(t *testing.T) {
	for _, c := range []struct {
		keepAlive time.Duration
		want      uint16 // seconds; 0 for refused
	}{
		{-time.Second, 0}, {0, 0}, {1, 1}, {time.Second, 1}, {1001 * time.Millisecond, 2},
		{4 * time.Minute, 240}, {1177 * time.Second, 1177}, {1177*time.Second + 1, 0}, {24 * time.Hour, 0},
	} {
		l := login(c.keepAlive)
		if c.want == 0 {
			_, err := mqtt.ConnectPacket(l)
			wantError(t, c.keepAlive.String(), err, transport.ErrUnsupported)
			continue
		}
		got := connectOf(t, l)
		if got.Keepalive != c.want || got.CleanSession || got.ProtocolName != "MQTT" || got.ProtocolVersion != 4 || got.WillFlag {
			t.Errorf("%v: got %+v; want %d s, not clean, MQTT of level 4, no will", c.keepAlive, got, c.want)
		}
	}
}

func TestIdentities(t *testing.T) {
	for _, c := range []struct {
		id    auth.Identity
		wants []error // none for good
		says  string
	}{
		{auth.Identity{Host: "h", DeviceID: "a-:.%_*?!(),=@;$'"}, nil, ""},
		{auth.Identity{Host: "h", DeviceID: "a#b"}, []error{transport.ErrUnsupported, auth.ErrInvalid}, "DeviceId"},
		{auth.Identity{Host: "h", DeviceID: "a+b"}, []error{transport.ErrUnsupported, auth.ErrInvalid}, "AMQP"},
		{auth.Identity{Host: "h", DeviceID: "a/b"}, []error{transport.ErrUnsupported, auth.ErrInvalid}, "'/'"},
		{auth.Identity{Host: "h", DeviceID: "a", ModuleID: "b#"}, []error{transport.ErrUnsupported, auth.ErrInvalid}, "ModuleId"},
		{auth.Identity{Host: "h"}, []error{transport.ErrUnsupported, auth.ErrInvalid}, "DeviceId is empty"},
		{auth.Identity{DeviceID: "a"}, []error{transport.ErrUnsupported, auth.ErrInvalid}, "HostName is empty"},
	} {
		dialled := false
		d := mqtt.Dialer{Stream: func(context.Context, transport.Target) (net.Conn, error) {
			dialled = true
			return nil, errors.New("no line here")
		}}
		_, err := d.Dial(t.Context(), transport.Login{Identity: c.id, KeepAlive: time.Minute})
		if c.wants == nil {
			wantError(t, c.id.String(), err, transport.ErrUnavailable)
			continue
		}
		wantError(t, c.id.String(), err, c.wants...)
		if dialled || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: dialled %v, %q; want no stream opened and a text with %q", c.id, dialled, err, c.says)
		}
	}
}

func TestTarget(t *testing.T) {
	cert := &tls.Certificate{}
	l := login(time.Minute)
	l.Identity.Gateway, l.Certificate = "edge.local", cert
	var got transport.Target
	d := mqtt.Dialer{Stream: func(_ context.Context, target transport.Target) (net.Conn, error) {
		got = target
		return nil, transport.ErrThrottled
	}}
	_, err := d.Dial(t.Context(), l)
	wantError(t, "a stream's own sentinel", err, transport.ErrThrottled)
	if errors.Is(err, transport.ErrUnavailable) {
		t.Errorf("a stream's own sentinel: got %v; want it alone", err)
	}
	if got.Protocol != "mqtt" || got.Host != "edge.local" || got.Port != 8883 || got.Certificate != cert {
		t.Errorf("target: got %+v; want MQTT at the gateway's port 8883 with the certificate", got)
	}
}

func TestConnack(t *testing.T) {
	for _, c := range []struct {
		code byte
		want error
		says string
	}{
		{1, transport.ErrProtocol, "MQTT 3.1.1"},
		{2, transport.ErrUnauthorized, "client id"},
		{3, transport.ErrUnavailable, "later"},
		{4, transport.ErrUnauthorized, "token"},
		{5, transport.ErrUnauthorized, "clock"},
		{6, transport.ErrProtocol, "no such code"},
		{255, transport.ErrProtocol, "no such code"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, done := dial(t.Context(), t, login(time.Minute))
			p.wantPacket("the device logs in", 0x10)
			p.say("\x20\x02\x00" + string([]byte{c.code}))
			d := <-done
			wantError(t, "Dial", d.err, c.want)
			var refused *mqtt.ConnackError
			if !errors.As(d.err, &refused) || refused.Code != c.code || !strings.Contains(d.err.Error(), c.says) {
				t.Errorf("code %d: got %v; want a ConnackError that says %q", c.code, d.err, c.says)
			}
			for _, other := range []error{transport.ErrProtocol, transport.ErrUnauthorized, transport.ErrUnavailable, transport.ErrLost} {
				if other != c.want && errors.Is(d.err, other) {
					t.Errorf("code %d: got %v; want it not to match %q", c.code, d.err, other)
				}
			}
			p.wantEnd("the device hangs up")
		})
	}
}

func TestNoConnack(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		want         error
	}{
		{"it hangs up", "", transport.ErrLost},
		{"it hangs up in the middle", "\x20\x02\x00", transport.ErrLost},
		{"it speaks HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", transport.ErrProtocol},
		{"it speaks TLS", "\x15\x03\x03\x00\x02\x02\x28", transport.ErrProtocol},
		{"another packet comes first", "\xd0\x00", transport.ErrProtocol},
		{"it announces 256 MB", "\x30\xff\xff\xff\x7f", transport.ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, done := dial(t.Context(), t, login(time.Minute))
				p.wantPacket("the device logs in", 0x10)
				p.say(c.answer)
				p.Close()
				wantError(t, "Dial", (<-done).err, c.want)
			})
		})
	}
}

// TestDialHonoursContext ends the context at every stage of Dial. That the
// bubble ends shows that no goroutine is left.
func TestDialHonoursContext(t *testing.T) {
	stages := []struct {
		name   string
		stream func(ctx context.Context) (client, server net.Conn, err error)
	}{
		{"while the stream opens", func(ctx context.Context) (net.Conn, net.Conn, error) {
			<-ctx.Done()
			return nil, nil, ctx.Err()
		}},
		{"while the stream opens, with an error of its own", func(ctx context.Context) (net.Conn, net.Conn, error) {
			<-ctx.Done()
			return nil, nil, errors.New("no carrier")
		}},
		{"while CONNECT leaves", func(context.Context) (net.Conn, net.Conn, error) {
			client, server := memconn.Pipe("device", "hub")
			_, err := client.Write(make([]byte, 64<<10)) // fills the buffer
			return client, server, err
		}},
		{"while CONNACK is awaited", func(context.Context) (net.Conn, net.Conn, error) {
			client, server := memconn.Pipe("device", "hub")
			return client, server, nil
		}},
	}
	ends := []struct {
		name  string
		with  func(context.Context) (context.Context, context.CancelFunc)
		wants []error
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Second)
		}, []error{context.DeadlineExceeded, transport.ErrStalled}},
		{"cancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(5*time.Second, cancel)
			return ctx, cancel
		}, []error{context.Canceled, transport.ErrClosed}},
	}
	for _, stage := range stages {
		for _, end := range ends {
			t.Run(stage.name+", "+end.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var server net.Conn
					d := mqtt.Dialer{Stream: func(ctx context.Context, _ transport.Target) (client net.Conn, err error) {
						client, server, err = stage.stream(ctx)
						return client, err
					}}
					ctx, cancel := end.with(t.Context())
					defer cancel()
					start := time.Now()
					_, err := d.Dial(ctx, login(time.Minute))
					wantError(t, "Dial", err, end.wants...)
					wantElapsed(t, "Dial took", start, 5*time.Second)
					if server != nil {
						(&peer{t, server}).wantEnd("the socket is closed")
					}
				})
			})
		}
	}
}

func TestDialEndedAtOnce(t *testing.T) { synctest.Test(t, testDialEndedAtOnce) }
func testDialEndedAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, done := dial(ctx, t, login(time.Minute))
	wantError(t, "Dial", (<-done).err, context.Canceled, transport.ErrClosed)
	p.wantEnd("the socket is closed")
}

// TestSilentLogin gives Dial no deadline: it has its own.
func TestSilentLogin(t *testing.T) { synctest.Test(t, testSilentLogin) }
func testSilentLogin(t *testing.T) {
	start := time.Now()
	p, done := dial(t.Context(), t, login(time.Minute))
	wantError(t, "Dial", (<-done).err, transport.ErrStalled)
	wantElapsed(t, "Dial took", start, 70*time.Second)
	p.wantEnd("the socket is closed")
}

package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

const hubName = "hub.test"

func TestTLSVerifiesTargetName(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	stream := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address})

	state := open(t, stream, transport.Target{Host: hubName, Port: 8883})
	if state.ServerName != hubName {
		t.Errorf("asked for %q by SNI, want the target's %q", state.ServerName, hubName)
	}
	if state.Version < tls.VersionTLS12 {
		t.Errorf("TLS version %x", state.Version)
	}

	_, err := stream(t.Context(), transport.Target{Host: "other.test", Port: 8883})
	var wrongName x509.HostnameError
	if !errors.As(err, &wrongName) {
		t.Fatalf("a hub of another name: error %v, want a HostnameError", err)
	}
	wantText(t, err, `as "other.test"`, "hub.test, not other.test", `by "CN=Test CA"`)

	// A name that the user's own configuration fixes is what errors tell.
	config := ca.config()
	config.ServerName = "fixed.test"
	_, err = transport.TLS(&transport.TLSOptions{Config: config, Address: address})(t.Context(), transport.Target{Host: hubName})
	wantText(t, err, `as "fixed.test"`)
}

func TestTLSWithoutAddress(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	open(t, transport.TLS(&transport.TLSOptions{Config: ca.config()}), transport.Target{Host: host, Port: number})
}

func TestTLSUntrusted(t *testing.T) {
	ca, other := newAuthority(t, "Meddling Proxy CA"), newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	_, err := transport.TLS(&transport.TLSOptions{Config: other.config(), Address: address})(t.Context(), transport.Target{Host: hubName})
	var unknown x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &unknown) || !errors.As(err, &verify) {
		t.Fatalf("error %v, want an UnknownAuthorityError", err)
	}
	wantText(t, err, address, `a certificate of "CN=hub.test" by "CN=Meddling Proxy CA"`, "RootCAs", "proxy")

	// With nil options, the system's roots decide.
	_, err = transport.TLS(&transport.TLSOptions{Address: address})(t.Context(), transport.Target{Host: hubName})
	wantText(t, err, "not trusted here", `"CN=Meddling Proxy CA"`)

	// A certificate that signed itself has no issuer to name.
	self := tls.Certificate{Certificate: [][]byte{ca.cert.Raw}, PrivateKey: ca.key}
	address, _ = serveTLS(t, &tls.Config{Certificates: []tls.Certificate{self}})
	_, err = transport.TLS(&transport.TLSOptions{Config: other.config(), Address: address})(t.Context(), transport.Target{Host: hubName})
	wantText(t, err, `a certificate of "CN=Meddling Proxy CA"; that issuer`)
}

func TestTLSJudgesByTargetClock(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	stream := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address})
	for _, now := range []time.Time{time.Unix(12, 0), time.Now().AddDate(10, 0, 0)} {
		_, err := stream(t.Context(), transport.Target{Host: hubName, Now: func() time.Time { return now }})
		var invalid x509.CertificateInvalidError
		if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
			t.Fatalf("clock at %v: error %v, want x509.Expired", now, err)
		}
		wantText(t, err, "check the clock")
	}
}

// A server that never answers: whatever ends the context ends the handshake,
// and the socket; serve's cleanup waits for the latter.
func TestTLSHandshakeHonoursContext(t *testing.T) {
	greeted := make(chan struct{}, 1)
	address := serve(t, func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			greeted <- struct{}{}
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	stream := transport.TLS(&transport.TLSOptions{Address: address})

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-greeted
		cancel()
	}()
	conn, err := stream(ctx, transport.Target{Host: hubName})
	if conn != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v, want context.Canceled", conn, err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	conn, err = stream(ctx, transport.Target{Host: hubName})
	if conn != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the deadline: %v, %v, want context.DeadlineExceeded", conn, err)
	}

	_, err = stream(ctx, transport.Target{Host: hubName})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v, want context.DeadlineExceeded", err)
	}
}

// A hub that names authorities in its request gets the certificate of another
// one all the same: IoT Hub knows certificates by their thumbprint too.
func TestTLSAlwaysPresentsCertificate(t *testing.T) {
	ca, other := newAuthority(t, "Test CA"), newAuthority(t, "Named CA")
	device := ca.issue(t, "dev1")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address, seen := serveTLS(t, &tls.Config{
			Certificates: []tls.Certificate{ca.issue(t, hubName)},
			ClientAuth:   tls.RequestClientCert, ClientCAs: other.pool(), MaxVersion: version,
		})
		stream := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address})

		open(t, stream, transport.Target{Host: hubName, Certificate: &device})
		if certs := (<-seen).PeerCertificates; len(certs) != 1 || certs[0].Subject.CommonName != "dev1" {
			t.Errorf("%s: the hub saw %d certificates, want that of dev1", tls.VersionName(version), len(certs))
		}
		open(t, stream, transport.Target{Host: hubName})
		if certs := (<-seen).PeerCertificates; len(certs) != 0 {
			t.Errorf("%s: the hub saw %d certificates of a target without one", tls.VersionName(version), len(certs))
		}
	}
}

func TestTLSRefusesOldVersions(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, hubName)},
		MinVersion:   tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
	})
	config := ca.config()
	config.MinVersion = tls.VersionTLS10 // must not be believed
	_, err := transport.TLS(&transport.TLSOptions{Config: config, Address: address})(t.Context(), transport.Target{Host: hubName})
	wantText(t, err, "TLS handshake", "version")
	if config.MinVersion != tls.VersionTLS10 {
		t.Errorf("the caller's configuration was changed: at least %x", config.MinVersion)
	}
}

func TestTLSResumesSessions(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}, MaxVersion: version})
		stream := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address})
		target := transport.Target{Host: hubName, Sessions: tls.NewLRUClientSessionCache(1)}
		for i, want := range []bool{false, true} {
			if got := open(t, stream, target).DidResume; got != want {
				t.Errorf("%s, stream %d resumed: %v, want %v", tls.VersionName(version), i+1, got, want)
			}
		}
		target.Sessions = nil
		if open(t, stream, target).DidResume {
			t.Errorf("%s: resumed without a cache", tls.VersionName(version))
		}
	}
}

func TestTLSPeerIsNone(t *testing.T) {
	address := serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
	_, err := transport.TLS(&transport.TLSOptions{Address: address})(t.Context(), transport.Target{Host: hubName})
	wantText(t, err, "does not speak TLS", "check host and port")

	address = serve(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 64<<10)) })
	_, err = transport.TLS(&transport.TLSOptions{Address: address})(t.Context(), transport.Target{Host: hubName})
	wantText(t, err, "TLS handshake with "+address)
}

// deadConn ends at the first byte, and fails to close.
type deadConn struct {
	net.Conn
	closed int
	err    error
}

func (c *deadConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *deadConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (c *deadConn) Close() error                     { c.closed++; return c.err }
func (c *deadConn) SetDeadline(time.Time) error      { return nil }
func (c *deadConn) SetWriteDeadline(time.Time) error { return nil }

func TestTLSOwnDial(t *testing.T) {
	broken := errors.New("no carrier")
	var asked string
	stream := transport.TLS(&transport.TLSOptions{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		asked = network + " " + address
		return nil, broken
	}})
	_, err := stream(t.Context(), transport.Target{Host: hubName, Port: 8883})
	if want := "tcp hub.test:8883"; asked != want {
		t.Errorf("Dial was asked for %q, want %q", asked, want)
	}
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want one that matches Dial's own", err)
	}
	wantText(t, err, "connect to hub.test:8883")

	for _, closing := range []error{nil, net.ErrClosed, broken} {
		conn := &deadConn{err: closing}
		stream = transport.TLS(&transport.TLSOptions{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }})
		_, err = stream(t.Context(), transport.Target{Host: hubName, Port: 8883})
		wantText(t, err, "hung up in the handshake")
		if conn.closed == 0 {
			t.Error("a stream whose handshake failed is not closed")
		}
		if !errors.Is(err, io.EOF) || errors.Is(err, broken) != (closing == broken) || errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v, with Close failing by %v", err, closing)
		}
	}
}

// The configuration is the caller's; streams neither change it nor see it
// change. Run with -race.
func TestTLSClonesConfig(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	config := ca.config()
	opts := &transport.TLSOptions{Config: config, Address: address}
	stream := transport.TLS(opts)
	opts.Address, config.RootCAs, config.ServerName = "nowhere.invalid:1", x509.NewCertPool(), "nobody.invalid"

	device := ca.issue(t, "dev1")
	target := transport.Target{Protocol: "mqtt", Host: hubName, Port: 8883, Certificate: &device, Sessions: tls.NewLRUClientSessionCache(0), Now: time.Now}
	var streams sync.WaitGroup
	for range 8 {
		streams.Go(func() {
			conn, err := stream(t.Context(), target)
			if err != nil {
				t.Errorf("stream: %v", err)
				return
			}
			_ = conn.Close()
		})
	}
	streams.Wait()
	if config.GetClientCertificate != nil || config.ClientSessionCache != nil || config.Time != nil || config.MinVersion != 0 {
		t.Error("the caller's configuration was changed")
	}
}

// What the user's configuration says goes before the target.
func TestClientConfig(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	device, own := ca.issue(t, "dev1"), ca.issue(t, "own")
	targets, users := tls.NewLRUClientSessionCache(1), tls.NewLRUClientSessionCache(1)
	at := func(sec int64) func() time.Time { return func() time.Time { return time.Unix(sec, 0) } }
	target := transport.Target{Protocol: "mqtt", Host: hubName, Port: 8883, Certificate: &device, Sessions: targets, Now: at(1)}

	got := transport.ClientConfig(&tls.Config{}, target)
	if got.ServerName != hubName || got.Time().Unix() != 1 || got.ClientSessionCache != targets {
		t.Errorf("empty configuration: name %q, clock %v", got.ServerName, got.Time())
	}
	if cert, err := got.GetClientCertificate(nil); cert != &device || err != nil {
		t.Errorf("certificate %v, %v, want the target's", cert, err)
	}
	if got.Renegotiation != tls.RenegotiateOnceAsClient {
		t.Errorf("renegotiation %v, want once: the certificate may be asked for late", got.Renegotiation)
	}
	for _, other := range []transport.Target{
		{Protocol: "mqtt", Host: hubName, Port: 443, Certificate: &device},
		{Protocol: "amqp", Host: hubName, Port: 5671, Certificate: &device},
		{Protocol: "mqtt", Host: hubName, Port: 8883},
	} {
		if c := transport.ClientConfig(&tls.Config{}, other); c.Renegotiation != tls.RenegotiateNever {
			t.Errorf("%s on %d: renegotiation %v, want never", other.Protocol, other.Port, c.Renegotiation)
		}
	}

	got = transport.ClientConfig(&tls.Config{
		ServerName: "fixed.test", Time: at(2), ClientSessionCache: users, Renegotiation: tls.RenegotiateFreelyAsClient,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	}, target)
	if got.ServerName != "fixed.test" || got.Time().Unix() != 2 || got.ClientSessionCache != users ||
		got.Renegotiation != tls.RenegotiateFreelyAsClient {
		t.Error("the target went before the user's configuration")
	}
	if cert, _ := got.GetClientCertificate(nil); cert != &own {
		t.Error("the target's certificate went before the user's")
	}

	got = transport.ClientConfig(&tls.Config{}, transport.Target{Host: hubName})
	if got.GetClientCertificate != nil || got.Renegotiation != tls.RenegotiateNever || got.Time != nil {
		t.Error("a target without certificate and clock sets them")
	}
}

func TestLoginTarget(t *testing.T) {
	cert, cache := &tls.Certificate{}, tls.NewLRUClientSessionCache(1)
	login := transport.Login{
		Identity:    auth.Identity{Host: hubName, DeviceID: "dev1"},
		Certificate: cert, Sessions: cache, Now: time.Now,
	}
	got := login.Target("mqtt", 8883)
	if got.Protocol != "mqtt" || got.Host != hubName || got.Port != 8883 ||
		got.Certificate != cert || got.Sessions != cache || got.Now == nil {
		t.Errorf("Target = %+v", got)
	}
	login.Identity.Gateway = "edge.test"
	if got := login.Target("mqtt", 8883).Host; got != "edge.test" {
		t.Errorf("behind a gateway, Host = %q", got)
	}
}

// A login may stand in a log or an error: its token does not show.
func TestLoginShowsNoToken(t *testing.T) {
	const sig = "v3cEShKGdwuRnUyQS3LODuW9"
	token, err := auth.ParseToken("SharedAccessSignature sr=hub.test&sig=" + sig + "%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600")
	if err != nil {
		t.Fatal(err)
	}
	login := transport.Login{Token: token}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{login, &login, struct{ login transport.Login }{login}} {
			text := fmt.Sprintf(format, v)
			if strings.Contains(text, sig) || strings.Contains(text, fmt.Sprintf("%x", sig)) {
				t.Errorf("%s shows the token: %s", format, text)
			}
		}
	}
}

func wantText(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", says)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q\nwant it to say %q", err, s)
		}
	}
}

// TestRootCAs trusts the CAs of either place, and refuses those of both.
func TestRootCAs(t *testing.T) {
	ca := newAuthority(t, "private CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	target := transport.Target{Host: hubName}
	for _, config := range []*tls.Config{nil, {}, {MinVersion: tls.VersionTLS13}} {
		open(t, transport.TLS(&transport.TLSOptions{RootCAs: ca.pool(), Config: config, Address: address}), target)
		if config != nil && config.RootCAs != nil {
			t.Errorf("the caller's Config got the RootCAs")
		}
	}
	other := newAuthority(t, "another CA")
	if _, err := transport.TLS(&transport.TLSOptions{RootCAs: other.pool(), Address: address})(t.Context(), target); !errors.Is(err, transport.ErrUntrusted) {
		t.Errorf("by another CA: got %v, want ErrUntrusted", err)
	}
	both := &transport.TLSOptions{RootCAs: ca.pool(), Config: ca.config(), Address: address}
	if _, err := transport.TLS(both)(t.Context(), target); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "give one of them") {
		t.Errorf("RootCAs twice: got %v, want ErrInvalid", err)
	}
}

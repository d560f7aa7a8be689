package hubtest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// overTLS is a Dialer that reaches a hub in memory and trusts its CA.
func overTLS(hub *hubtest.Hub) mqtt.Dialer {
	return mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{
		RootCAs: hub.RootCAs(), DialContext: hub.DialContext,
	})}
}

// today leaves the bubble's first day, which no clock should say.
func today() { time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))) }

// The transport itself: a certificate in, a token in, and what a hub refuses.
func TestTransportX509(t *testing.T) { synctest.Test(t, testTransportX509) }
func testTransportX509(t *testing.T) {
	today()
	hub := hubtest.New(t, nil)
	named, err := hub.AddX509Device("dev1", nil)
	if err != nil {
		t.Fatalf("AddX509Device: %v", err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	printed, err := hub.AddX509Device("dev2", &hubtest.X509Options{SelfSigned: true, Issue: &hubtest.IssueOptions{Key: key}})
	if err != nil {
		t.Fatalf("AddX509Device: %v", err)
	}
	part, err := hub.AddX509Device("dev1/mod", nil)
	if err != nil {
		t.Fatalf("AddX509Module: %v", err)
	}
	keyed, err := hub.AddDevice("dev3")
	if err != nil {
		t.Fatalf("AddDevice: %v", err)
	}
	for _, tt := range []struct {
		desc     string
		as, with hubtest.Device
		dialer   mqtt.Dialer
		want     error
	}{
		{"by CA", named, named, overTLS(hub), nil},
		{"by thumbprint", printed, printed, overTLS(hub), nil},
		{"module", part, part, overTLS(hub), nil},
		{"by token, over TLS", keyed, keyed, overTLS(hub), nil},
		{"with the certificate of another", named, printed, overTLS(hub), transport.ErrUnauthorized},
		{"module with its device's", part, named, overTLS(hub), transport.ErrUnauthorized},
		{"certificate for a device of keys", keyed, named, overTLS(hub), transport.ErrUnauthorized},
		{"token for a device of certificates", named, keyed, overTLS(hub), transport.ErrUnauthorized},
		{"without TLS", named, named, mqtt.Dialer{Stream: hub.Stream}, transport.ErrUnauthorized},
	} {
		login := transport.Login{Identity: tt.as.Identity, KeepAlive: time.Minute}
		if login.Token, err = auth.TokenOf(t.Context(), tt.with.Credential, tt.as.Identity.Audience(), time.Now()); err != nil {
			t.Fatalf("%s: Token: %v", tt.desc, err)
		}
		if login.Certificate, err = auth.CertificateOf(t.Context(), tt.with.Credential); err != nil {
			t.Fatalf("%s: Certificate: %v", tt.desc, err)
		}
		conn, err := tt.dialer.Dial(t.Context(), login)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.desc, err, tt.want)
		}
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Errorf("%s: Close: %v", tt.desc, err)
			}
		}
	}
}

// store puts a certificate where firmware looks for it.
func store(t *testing.T, dir string, made hubtest.Issued) {
	t.Helper()
	for name, text := range map[string][]byte{"cert.pem": made.CertificatePEM, "key.pem": made.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatalf("store the certificate: %v", err)
		}
	}
}

// Firmware that gets new files in time never notices the end of the old; one
// that does not stays connected, and out once the line was cut.
func TestFirmwareRenewsItsCertificate(t *testing.T) {
	for _, renews := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) { testRenewal(t, renews) })
	}
}
func testRenewal(t *testing.T, renews bool) {
	today()
	hub := hubtest.New(t, nil)
	at, err := hub.AddX509Device("fan1", &hubtest.X509Options{NoCertificate: true})
	if err != nil {
		t.Fatalf("AddX509Device: %v", err)
	}
	ca, err := hub.DeviceCA()
	if err != nil {
		t.Fatalf("DeviceCA: %v", err)
	}
	month := func() hubtest.Issued {
		made, err := ca.Issue("fan1", &hubtest.IssueOptions{NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 1, 0)})
		if err != nil {
			t.Fatalf("Issue: %v", err)
		}
		return made
	}
	dir := t.TempDir()
	store(t, dir, month())
	files := auth.X509Files(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), nil)
	dev := device.New(at.Identity, files, overTLS(hub), nil)
	defer dev.Close()
	if err := dev.Connect(t.Context()); err != nil {
		t.Fatalf("Connect: %v", err)
	}
	time.Sleep(25 * 24 * time.Hour)
	if renews {
		store(t, dir, month())
		if err := dev.Renew(); err != nil {
			t.Fatalf("Renew: %v", err)
		}
	}
	time.Sleep(10 * 24 * time.Hour)
	if tw, err := hub.Device("fan1").Twin(); err != nil || !tw.Connected {
		t.Fatalf("renews %v, after the end of the first: got connected %v, %v, want true", renews, tw.Connected, err)
	}
	if err := hub.Device("fan1").Cut(); err != nil {
		t.Fatalf("Cut: %v", err)
	}
	time.Sleep(time.Hour)
	tw, err := hub.Device("fan1").Twin()
	if err != nil || tw.Connected != renews {
		t.Errorf("renews %v, an hour after a cut: got connected %v, %v, want %v", renews, tw.Connected, err, renews)
	}
	if s := dev.State(); !renews && !errors.Is(s.Err, auth.ErrCertificateExpired) {
		t.Errorf("without renewal: got %v, want ErrCertificateExpired", s.Err)
	}
}

// A hub whose clock is right refuses what a board with a wrong one takes for
// good.
func TestBoardWithAWrongClock(t *testing.T) { synctest.Test(t, testBoardWithAWrongClock) }
func testBoardWithAWrongClock(t *testing.T) {
	today()
	hub := hubtest.New(t, nil)
	at, err := hub.AddX509Device("fan1", &hubtest.X509Options{Issue: &hubtest.IssueOptions{NotAfter: time.Now().Add(-time.Hour)}})
	if err != nil {
		t.Fatalf("AddX509Device: %v", err)
	}
	yesterday := func() time.Time { return time.Now().AddDate(0, 0, -1) }
	dev := device.New(at.Identity, at.Credential, overTLS(hub), &device.Options{Now: yesterday})
	defer dev.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := dev.Connect(ctx); !errors.Is(err, transport.ErrUnauthorized) {
		t.Errorf("Connect: got %v, want ErrUnauthorized", err)
	}
	if got := hub.Device("fan1").Stats(); got.Refused == 0 || got.Connects != 0 {
		t.Errorf("got %d refused and %d accepted, want some and none", got.Refused, got.Connects)
	}
}

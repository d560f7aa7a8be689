package device_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// selfSigned makes a certificate that no CA stands for.
func (d desk) selfSigned() hubtest.Issued {
	d.Helper()
	made, err := hubtest.SelfSigned("dev1", nil)
	d.must(err)
	return made
}

// TestRenewedCertificate replaces certificate and key on disk: the client uses
// them at the next connection, or at once when it is told to, and the hub never
// sees the old one by way of a resumed TLS session.
func TestRenewedCertificate(t *testing.T) {
	atDesk(t, func(t *testing.T, d desk) {
		old, next := d.selfSigned(), d.selfSigned()
		d.must(d.hub.Device("dev1").SetThumbprints(old.Thumbprint, next.Thumbprint))
		d.dev.Credential = d.pem(old.CertificatePEM, old.KeyPEM)
		var phases []device.Phase
		c := d.online(&device.Options{OnState: func(s device.State) { phases = append(phases, s.Phase) }})
		d.must(d.hub.Device("dev1").Cut()) // the next connection resumes the TLS session
		time.Sleep(time.Minute)
		synctest.Wait()
		phases = nil

		d.must(d.hub.Device("dev1").SetThumbprints(next.Thumbprint, "")) // the old one is over
		d.pem(next.CertificatePEM, next.KeyPEM)
		d.must(c.Renew())
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Errorf("a call held meanwhile: %v", err)
		}
		synctest.Wait()
		if want := []device.Phase{device.Renewing, device.Online}; !slices.Equal(phases, want) {
			t.Errorf("phases %v, want %v", phases, want)
		}
		if n := d.hub.Device("dev1").Stats(); n.Connects != 3 || n.Refused != 0 {
			t.Errorf("%d connects and %d refused, want 3 and none", n.Connects, n.Refused)
		}
	})
}

// TestRenewEndsTheWaiting has a client wait for its next attempt with a
// certificate that the hub refuses, and a new one come.
func TestRenewEndsTheWaiting(t *testing.T) {
	atDesk(t, func(t *testing.T, d desk) {
		old, next := d.selfSigned(), d.selfSigned()
		d.must(d.hub.Device("dev1").SetThumbprints(next.Thumbprint, ""))
		d.dev.Credential = d.pem(old.CertificatePEM, old.KeyPEM)
		c := d.client(nil)
		if err := c.Renew(); !errors.Is(err, device.ErrNotStarted) {
			t.Errorf("before Connect: %v, want %v", err, device.ErrNotStarted)
		}
		if err := c.Connect(t.Context()); !errors.Is(err, transport.ErrUnauthorized) {
			t.Fatalf("Connect: %v, want %v", err, transport.ErrUnauthorized)
		}
		d.pem(next.CertificatePEM, next.KeyPEM)
		start := time.Now()
		d.must(c.Renew())
		d.must(c.Connect(t.Context()))
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v, want no waiting", took)
		}
		d.must(c.Close())
		if err := c.Renew(); !errors.Is(err, device.ErrClosed) {
			t.Errorf("after Close: %v, want %v", err, device.ErrClosed)
		}
	})
}

// TestExpiredCertificateHealsByRenewal lets a certificate end while the board
// is offline, and be renewed later: nobody restarts anything.
func TestExpiredCertificateHealsByRenewal(t *testing.T) {
	atDesk(t, func(t *testing.T, d desk) {
		d.certified(&hubtest.X509Options{NoCertificate: true})
		short := d.issued(&hubtest.IssueOptions{NotAfter: time.Now().Add(time.Hour)})
		d.dev.Credential = d.pem(short.CertificatePEM, short.KeyPEM)
		c := d.online(nil)
		d.must(d.hub.Device("dev1").SetLine(false))
		time.Sleep(2 * time.Hour)
		d.must(d.hub.Device("dev1").SetLine(true))
		time.Sleep(5 * time.Minute)
		if s := c.State(); s.Phase == device.Online || d.hub.Device("dev1").Stats().Refused != 0 {
			t.Errorf("with an expired certificate the client is %v, and the hub refused %d", s.Phase, d.hub.Device("dev1").Stats().Refused)
		}
		long := d.issued(nil)
		d.pem(long.CertificatePEM, long.KeyPEM)
		time.Sleep(5 * time.Minute)
		if s := c.State(); s.Phase != device.Online {
			t.Errorf("once it is renewed the client is %v: %v", s.Phase, s.Err)
		}
	})
}

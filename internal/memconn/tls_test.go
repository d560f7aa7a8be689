package memconn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// TestTLS holds a TLS session over a day of virtual time.
func TestTLS(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		cert, pool := selfSigned(t)
		s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{cert}})
		c := tls.Client(client, &tls.Config{RootCAs: pool, ServerName: "hub"})
		greeted := make(chan error, 1)
		go func() { greeted <- s.Handshake() }()
		wantError(t, "client's handshake", c.Handshake(), nil)
		wantError(t, "server's handshake", <-greeted, nil)

		go func() {
			<-time.After(24 * time.Hour)
			if _, err := s.Write([]byte("good morning")); err != nil {
				t.Errorf("write: %v", err)
			}
		}()
		start := time.Now()
		wantRead(t, c, "good morning")
		if got := time.Since(start); got != 24*time.Hour {
			t.Fatalf("it took %v; want a day", got)
		}

		c.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := c.Read(make([]byte, 1))
		wantTimeout(t, "read over TLS", err)
		c.SetReadDeadline(time.Time{})
		write(t, s, "a deadline does no harm to a reading side")
		wantRead(t, c, "a deadline does no harm to a reading side")
	})
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"hub"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

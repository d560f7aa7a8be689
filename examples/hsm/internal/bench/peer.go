package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// peerName is what a Peer's certificate says.
const peerName = "hub.devicetwin.test"

// A Peer stands for a hub until TLS is done: it wants a client certificate, has
// the client prove that it holds the key, and answers with the name in it.
type Peer struct {
	t       TB
	address string
	roots   *x509.CertPool
	config  *tls.Config
}

// NewPeer makes a peer that trusts the certificate in a PEM file alone, and
// speaks no newer TLS than the version.
func NewPeer(t TB, certificate string, version uint16) *Peer {
	t.Helper()
	clients := x509.NewCertPool()
	text, err := os.ReadFile(certificate)
	if err != nil || !clients.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate (%v)", certificate, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: peerName}, DNSNames: []string{peerName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	p := &Peer{t: t, roots: x509.NewCertPool()}
	p.roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	p.config = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients, MaxVersion: version,
		SessionTicketsDisabled: true, // so that each handshake needs a signature
	}
	p.serve()
	return p
}

func (p *Peer) serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.address = listener.Addr().String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer raw.Close()
				conn := tls.Server(raw, p.config)
				_ = conn.SetDeadline(time.Now().Add(patience))
				if conn.Handshake() != nil {
					return
				}
				fmt.Fprintln(conn, conn.ConnectionState().PeerCertificates[0].Subject.CommonName)
			})
		}
	})
	p.t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
}

// Knows holds that the credential's certificate signs the device in.
func (p *Peer) Knows(ctx context.Context, cred auth.Credential) {
	p.t.Helper()
	if got, err := p.greet(ctx, cred); got != Device || err != nil {
		p.t.Errorf("the peer knows us as %q (%v), want %q", got, err, Device)
	}
}

// Misses holds that the credential cannot sign in, for that reason.
func (p *Peer) Misses(ctx context.Context, cred auth.Credential, why string) {
	p.t.Helper()
	if got, err := p.greet(ctx, cred); err == nil || !strings.Contains(err.Error(), why) {
		p.t.Errorf("without the hardware: the peer knows us as %q (%v), want the error %q", got, err, why)
	}
}

// greet signs in with the credential's certificate, as a transport does, and
// returns the name by which the peer knows the client.
func (p *Peer) greet(ctx context.Context, cred auth.Credential) (string, error) {
	certificate, err := auth.CertificateOf(ctx, cred)
	if err != nil {
		return "", err
	}
	stream := transport.TLS(&transport.TLSOptions{RootCAs: p.roots, Address: p.address})
	conn, err := stream(ctx, transport.Target{Protocol: "mqtt", Host: peerName, Port: 8883, Certificate: certificate})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the peer said nothing after TLS: %w", err)
	}
	return line[:len(line)-1], nil
}

// NeedTool skips the test where a program is not installed; with
// DEVICETWIN_TOOLS=1, as in CI, it fails it.
func NeedTool(t TB, name, debian string) {
	t.Helper()
	if _, err := exec.LookPath(name); errors.Is(err, exec.ErrNotFound) {
		Missing(t, fmt.Sprintf("%s is not installed; on Debian: apt-get install %s", name, debian))
	} else if err != nil {
		t.Fatal(err)
	}
}

// Missing skips the test for a reason, or fails it; see NeedTool.
func Missing(t TB, why string) {
	t.Helper()
	if os.Getenv("DEVICETWIN_TOOLS") == "1" {
		t.Fatal(why)
	}
	t.Skipf("%s", why)
}

package hubtest

import (
	"crypto"
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
	"sync"
	"time"
)

// authority is the hub's own CA with the hub's certificate, made when first
// asked for: a test without TLS does not pay for it.
type authority struct {
	once   sync.Once
	err    error
	root   *x509.Certificate
	config *tls.Config // one for all connections, so that sessions can be resumed
}

// certificateLife is how long CA and certificate are valid around the hub's
// clock: virtual time runs far.
const certificateLife = 20 * 365 * 24 * time.Hour

func (h *Hub) authority() (*authority, error) {
	h.ca.once.Do(func() { h.ca.err = h.ca.make(h.opts) })
	return &h.ca, h.ca.err
}

func (a *authority) make(o Options) error {
	host, clock := o.Host, o.Now
	now := clock()
	ca := o.CA
	if ca == nil {
		var err error
		if ca, err = NewCA("devicetwin test CA", &IssueOptions{now: clock}); err != nil {
			return err
		}
	}
	a.root = ca.cert

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("hubtest: make a certificate: %w", err)
	}
	leaf := template(host, now)
	leaf.DNSNames = []string{"localhost"}
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip := net.ParseIP(host); ip != nil { // no client takes an address for a name
		leaf.IPAddresses = append(leaf.IPAddresses, ip)
	} else {
		leaf.DNSNames = append(leaf.DNSNames, host)
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.root, &key.PublicKey, ca.key)
	if err != nil {
		return fmt.Errorf("hubtest: make a certificate: %w", err)
	}
	// 1.2 or 1.3, any SNI. Like a real hub it asks for a client certificate,
	// needs none, and names no CA.
	a.config = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
		ClientAuth:   tls.RequestClientCert,
		Time:         clock,
	}
	return nil
}

func template(name string, now time.Time) *x509.Certificate {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails, by its documentation
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-certificateLife), NotAfter: now.Add(certificateLife),
	}
}

// RootCAs is a pool with the hub's CA alone, for a client's tls.Config.
func (h *Hub) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	if a, err := h.authority(); err == nil {
		pool.AddCert(a.root)
	}
	return pool
}

// CAPEM is the hub's CA certificate in PEM, for clients in other languages.
func (h *Hub) CAPEM() []byte {
	a, err := h.authority()
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// tlsConfig is the hub's side of TLS.
func (h *Hub) tlsConfig() (*tls.Config, error) {
	a, err := h.authority()
	if err != nil {
		return nil, err
	}
	return a.config, nil
}

// LoadCA reads a CA that was saved by PEM and KeyPEM: one certificate and its
// private key as PKCS#8. It issues as it did before.
func LoadCA(certPEM, keyPEM []byte) (*CA, error) {
	cert, err := parseCA(certPEM)
	if err != nil {
		return nil, fmt.Errorf("hubtest: load a CA: certificate: %w", err)
	}
	key, err := parseKeyPEM(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("hubtest: load a CA: key: %w", err)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, errors.New("hubtest: load a CA: the key is not the certificate's; save both again")
	}
	return &CA{cert: cert, key: key, now: time.Now}, nil
}

// parseKeyPEM reads one private key. Its errors never show any of it.
func parseKeyPEM(text []byte) (crypto.Signer, error) {
	if len(text) > maxCAText {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(text), maxCAText)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it is no PEM block of type PRIVATE KEY")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("it is no PKCS#8 key that can sign")
	}
	return signer, nil
}

// KeyPEM is the CA's private key as PKCS#8: a secret, for LoadCA to read.
func (ca *CA) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return nil, fmt.Errorf("hubtest: save a CA: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

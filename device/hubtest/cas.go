package hubtest

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// maxCAs is how many CA certificates a hub knows at most, as the documentation
// says.
const maxCAs = 25

// maxCAText bounds what AddCA reads: one certificate has some 1 to 2 KB.
const maxCAText = 64 << 10

// deviceCAName is the name under which a hub knows its own DeviceCA.
const deviceCAName = "devicetwin-test-devices"

// deviceAuthority is the hub's own CA for devices, made when first asked for.
type deviceAuthority struct {
	once    sync.Once
	err     error
	root    *CA
	issuing *CA
	known   bool // root is registered, or was; hub.mu guards it
}

// AddCA makes a CA known, under a name of the caller's, or replaces the one of
// that name: with it devices of certificateAuthority prove themselves. The PEM
// holds the CA's certificate, one and nothing else, as auth.ParsePEM reads it. It may be a root or an
// intermediate. It counts as verified. A hub has at most 25; its DeviceCA is one
// of them once it was asked for.
func (h *Hub) AddCA(name string, certPEM []byte) error {
	switch name {
	case "":
		return errors.New("hubtest: the CA has no name")
	case deviceCAName:
		return fmt.Errorf("hubtest: the name %q is that of the hub's own DeviceCA; take another", name)
	}
	cert, err := parseCA(certPEM)
	if err != nil {
		return fmt.Errorf("hubtest: CA %q: %w", name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addCA(name, cert)
}

// addCA is AddCA under hub.mu.
func (h *Hub) addCA(name string, cert *x509.Certificate) error {
	switch {
	case h.closed:
		return ErrClosed
	case h.cas[name] == nil && len(h.cas) >= maxCAs:
		return fmt.Errorf("hubtest: the hub has %d CAs already; remove one", maxCAs)
	}
	h.cas[name] = cert
	return nil
}

// RemoveCA makes the hub forget a CA. Whoever proves itself by it can log in no
// more; a connection stays. Without such a CA it matches ErrUnknown. AddCA makes it
// known again.
func (h *Hub) RemoveCA(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cas[name] == nil {
		return fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	delete(h.cas, name)
	return nil
}

// DeviceCA is the hub's own CA for devices: an intermediate, so that a device
// has to present it, below a root that the hub knows as "devicetwin-test-devices".
// It is made when first asked for, and goes by the hub's clock. Once removed, only
// AddCA makes it known again, under another name.
func (h *Hub) DeviceCA() (*CA, error) {
	d := &h.devices
	d.once.Do(func() { d.err = d.make(h) })
	if d.err != nil {
		return nil, d.err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !d.known {
		if err := h.addCA(deviceCAName, d.root.cert); err != nil {
			return nil, err
		}
		d.known = true
	}
	return d.issuing, nil
}

func (d *deviceAuthority) make(h *Hub) (err error) {
	if d.root = h.opts.DeviceCA; d.root == nil {
		if d.root, err = NewCA("devicetwin test devices", &IssueOptions{now: h.opts.Now}); err != nil {
			return err
		}
	}
	d.issuing, err = d.root.Intermediate("devicetwin test devices, intermediate", nil)
	return err
}

// parseCA reads the one certificate of a CA.
func parseCA(text []byte) (*x509.Certificate, error) {
	if len(text) > maxCAText {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(text), maxCAText)
	}
	blocks, err := auth.ParsePEM(own.Key{}, text)
	switch {
	case err != nil:
		return nil, err
	case len(blocks) == 0:
		return nil, errors.New("there is no PEM in it")
	case len(blocks) > 1:
		return nil, errors.New("there is more than one PEM block in it; add one certificate at a time")
	}
	block := blocks[0]
	if block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("it is a %.40q and no certificate", block.Type)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w; copy it whole, or have it issued anew, with names in UTF8String and a serial number above zero", err)
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return nil, errors.New("it is no CA by its basic constraints (CA:TRUE)")
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("its key usage is not to sign certificates (keyCertSign)")
	}
	return cert, nil
}

// caPool is the CAs that devices may prove themselves by, and how many they are.
// hub.mu is held.
func (h *Hub) caPool() (pool *x509.CertPool, count int) {
	pool = x509.NewCertPool()
	for _, cert := range h.cas {
		pool.AddCert(cert)
	}
	return pool, len(h.cas)
}

package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/files"
)

// A drawer is the folder in which a hub keeps what boards have to know of it: its
// CAs, certificates and keys. What is there is used again.
type drawer struct {
	folder string
	ca     *hubtest.CA // signs the hub's certificate
	device *hubtest.CA // the root of devices' certificates
	ring   keyring
}

// A keyring is the file of symmetric keys, by id and by policy.
type keyring struct {
	Devices  map[string]keys `json:"devices"`
	Policies map[string]keys `json:"policies"`
}

type keys struct {
	Primary   string `json:"primaryKey"`
	Secondary string `json:"secondaryKey"`
}

// keyFile is the keyring's name in the folder.
const keyFile = "keys.json"

// openDrawer reads the folder, and makes the CAs that are not there.
func openDrawer(folder string) (d *drawer, err error) {
	d = &drawer{folder: folder}
	if d.ca, err = keptCA(filepath.Join(folder, "ca"), "devicetwin test CA"); err != nil {
		return nil, err
	}
	if d.device, err = keptCA(filepath.Join(folder, "device-ca"), "devicetwin test devices"); err != nil {
		return nil, err
	}
	text, err := readIfThere(filepath.Join(folder, keyFile))
	if err != nil || text == nil {
		return d, err
	}
	if err := json.Unmarshal(text, &d.ring); err != nil {
		return nil, fmt.Errorf("-dir: %s: %w", filepath.Join(folder, keyFile), err)
	}
	return d, nil
}

// readIfThere reads a file. It returns nil if the file is missing or empty.
func readIfThere(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return nil, nil
	}
	return data, err
}

// keptCA reads a CA from NAME.pem and NAME-private.pem, or makes both. Without
// its key a CA is of no use, and another takes its place.
func keptCA(name, title string) (*hubtest.CA, error) {
	certFile, keyFile := name+".pem", name+"-private.pem"
	cert, err1 := readIfThere(certFile)
	key, err2 := readIfThere(keyFile)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	switch {
	case cert != nil && key != nil:
		ca, err := hubtest.LoadCA(cert, key)
		if err != nil {
			return nil, fmt.Errorf("-dir: %s and %s: %w", certFile, keyFile, err)
		}
		return ca, nil
	case key != nil:
		return nil, fmt.Errorf("-dir: %s is missing: put it back, or remove %s for a new CA", certFile, keyFile)
	}
	ca, err := hubtest.NewCA(title, nil)
	if err != nil {
		return nil, err
	}
	if key, err = ca.KeyPEM(); err != nil {
		return nil, err
	}
	if err := files.Write(keyFile, key, 0o600); err != nil {
		return nil, err
	}
	return ca, files.Write(certFile, ca.PEM(), 0o644)
}

// keep writes the keys that the hub has now.
func (d *drawer) keep(hub *hubtest.Hub, told *info) error {
	ring := keyring{Devices: map[string]keys{}, Policies: map[string]keys{}}
	for id := range told.Devices {
		if made := hub.Device(id); made.PrimaryKey != "" {
			ring.Devices[id] = keys{made.PrimaryKey, made.SecondaryKey}
		}
	}
	for _, name := range append(builtIn(), told.policies()...) {
		if p, ok := hub.Policy(name); ok {
			ring.Policies[name] = keys{p.PrimaryKey, p.SecondaryKey}
		}
	}
	text, err := json.MarshalIndent(ring, "", "  ")
	if err != nil {
		return err
	}
	return files.Write(filepath.Join(d.folder, keyFile), append(text, '\n'), 0o600)
}

// builtIn are the policies that each hub has.
func builtIn() []string {
	return []string{"iothubowner", "service", "device", "registryRead", "registryReadWrite"}
}

// restorePolicies gives the hub's own policies the keys that they had.
func (d *drawer) restorePolicies(hub *hubtest.Hub) error {
	for _, name := range builtIn() {
		p, ok := hub.Policy(name)
		kept, known := d.ring.Policies[name]
		if !ok || !known {
			continue
		}
		p.PrimaryKey, p.SecondaryKey = kept.Primary, kept.Secondary
		if _, err := hub.AddPolicy(p); err != nil {
			return fmt.Errorf("-dir: %s: policy %q: %w", filepath.Join(d.folder, keyFile), name, err)
		}
	}
	return nil
}

// policy is one of the command line's: with the keys that it gives, or that the
// policy of this name had before.
func (d *drawer) policy(hub *hubtest.Hub, spec policySpec) hubtest.Policy {
	p := hubtest.Policy{Name: spec.Name, PrimaryKey: spec.PrimaryKey, SecondaryKey: spec.SecondaryKey, Permissions: spec.Permissions}
	if p.PrimaryKey+p.SecondaryKey != "" {
		return p
	}
	if old, ok := hub.Policy(spec.Name); ok { // of the state
		p.PrimaryKey, p.SecondaryKey = old.PrimaryKey, old.SecondaryKey
	} else if old, ok := d.ring.Policies[spec.Name]; ok {
		p.PrimaryKey, p.SecondaryKey = old.Primary, old.Secondary
	}
	return p
}

// pair is where a device's certificate and key are.
func (d *drawer) pair(id string) (cert, key string) {
	name := filepath.Join(d.folder, files.Name(id))
	return name + "-cert.pem", name + "-key.pem"
}

// add registers a device or module, or finds it among those that were restored,
// and returns its files, if it has some.
func (d *drawer) add(hub *hubtest.Hub, spec deviceSpec) (made hubtest.Device, cert, key string, err error) {
	made = hub.Device(spec.ID)
	restored := made.Auth != "" // by the hub's state
	switch {
	case restored && made.Auth != spec.Auth:
		return made, "", "", fmt.Errorf("in the -state file it proves itself by %s, and here by %s; change the one or the other", made.Auth, spec.Auth)
	case spec.Auth == authSAS:
		made, err = d.addKeyed(hub, spec, made, restored)
		return made, "", "", err
	}
	cert, key = d.pair(spec.ID)
	made, err = d.addCertified(hub, spec, restored)
	return made, cert, key, err
}

// addKeyed adds a device of keys: those of the command line's file, of the
// state, or of the folder, in this order, else new ones.
func (d *drawer) addKeyed(hub *hubtest.Hub, spec deviceSpec, made hubtest.Device, restored bool) (hubtest.Device, error) {
	kept := keys{spec.PrimaryKey, spec.SecondaryKey}
	if !restored {
		var err error
		if made, err = hub.AddDevice(spec.ID); err != nil {
			return made, err
		}
		old := d.ring.Devices[spec.ID]
		if kept == (keys{}) {
			kept = old
		}
	}
	if kept == (keys{}) || kept == (keys{made.PrimaryKey, made.SecondaryKey}) || restored && kept == (keys{Primary: made.PrimaryKey}) {
		return made, nil
	}
	return hub.Device(spec.ID).SetKeys(kept.Primary, kept.Secondary)
}

// addCertified adds a device of a certificate: the one in the folder if it is
// good here, else a new one, which is written there.
func (d *drawer) addCertified(hub *hubtest.Hub, spec deviceSpec, restored bool) (hubtest.Device, error) {
	certFile, keyFile := d.pair(spec.ID)
	opts := &hubtest.X509Options{SelfSigned: spec.Auth == authSelfSigned}
	cert, err := d.keptCertificate(spec, certFile, keyFile)
	if err != nil {
		return hubtest.Device{}, err
	}
	if cert != nil && opts.SelfSigned {
		return addKnown(hub, spec.ID, cert, restored)
	}
	opts.NoCertificate = cert != nil
	made, err := addX509(hub, spec.ID, opts, restored)
	if err != nil || cert != nil {
		return made, err
	}
	return made, errors.Join(files.Write(keyFile, made.KeyPEM, 0o600), files.Write(certFile, made.CertificatePEM, 0o644))
}

// addKnown adds a device that is known by the thumbprint of a certificate.
func addKnown(hub *hubtest.Hub, id string, cert *x509.Certificate, restored bool) (hubtest.Device, error) {
	if !restored {
		if _, err := hub.AddDevice(id); err != nil {
			return hubtest.Device{}, err
		}
	}
	if err := hub.Device(id).SetThumbprints(fmt.Sprintf("%X", sha256.Sum256(cert.Raw)), ""); err != nil {
		return hubtest.Device{}, err
	}
	return hub.Device(id), nil
}

func addX509(hub *hubtest.Hub, id string, opts *hubtest.X509Options, restored bool) (hubtest.Device, error) {
	switch {
	case restored && opts.NoCertificate: // it is known by its name
		return hub.Device(id), nil
	case restored:
		return hub.Device(id).SetX509(opts)
	}
	return hub.AddX509Device(id, opts)
}

// keptCertificate reads a device's certificate, with its key, or nil where there is
// none, or the one that is there is of another CA or another kind.
func (d *drawer) keptCertificate(spec deviceSpec, certFile, keyFile string) (*x509.Certificate, error) {
	cert, err1 := readIfThere(certFile)
	key, err2 := readIfThere(keyFile)
	if err := errors.Join(err1, err2); err != nil || cert == nil || key == nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("-dir: %s and %s: %w (remove both for new ones)", certFile, keyFile, err)
	}
	leaf := pair.Leaf
	if leaf.Subject.CommonName != spec.ID {
		return nil, nil
	}
	if spec.Auth == authSelfSigned {
		if !bytes.Equal(leaf.RawIssuer, leaf.RawSubject) { // a CA's
			return nil, nil
		}
		return leaf, nil
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(d.device.PEM())
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := leaf.Verify(opts); err != nil {
		return nil, nil // of another CA, or ended: a new one takes its place
	}
	return leaf, nil
}

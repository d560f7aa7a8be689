package device_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pfx"
	"github.com/devicetwin/devicetwin-go/auth/pkcs8"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/internal/pbetest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

const passphrase = "correct horse battery staple"

// A desk is a world over TLS, with a folder for what a board keeps in files.
type desk struct {
	*world
	dir string
}

func (d desk) file(name string, text []byte) string {
	d.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		d.Fatal(err)
	}
	return path
}

// certified makes dev1 one that a CA's certificate proves.
func (d desk) certified(opts *hubtest.X509Options) hubtest.Device {
	d.Helper()
	dev, err := d.hub.Device("dev1").SetX509(opts)
	if err != nil {
		d.Fatal(err)
	}
	return dev
}

// issued is a certificate of the hub's CA for devices.
func (d desk) issued(opts *hubtest.IssueOptions) hubtest.Issued {
	d.Helper()
	ca, err := d.hub.DeviceCA()
	if err != nil {
		d.Fatal(err)
	}
	made, err := ca.Issue("dev1", opts)
	if err != nil {
		d.Fatal(err)
	}
	return made
}

// pem writes certificate and key, and reads them as a credential.
func (d desk) pem(cert, key []byte) auth.Credential {
	d.Helper()
	return auth.X509Files(d.file("cert.pem", cert), d.file("key.pem", key), &auth.X509Options{Passphrase: passphrase, Decrypt: pkcs8.Decrypt})
}

// sealed encrypts a key of the hub's making.
func (d desk) sealed(keyPEM []byte, pass string) []byte {
	d.Helper()
	block, _ := pem.Decode(keyPEM)
	sealed, err := pbetest.Seal(block.Bytes, pass, nil)
	if err != nil {
		d.Fatal(err)
	}
	return pem.EncodeToMemory(sealed)
}

// pfx writes a PFX, and reads it as a credential.
func (d desk) pfx(dev hubtest.Device, pass string) auth.Credential {
	d.Helper()
	pair, err := tls.X509KeyPair(dev.CertificatePEM, dev.KeyPEM)
	if err != nil {
		d.Fatal(err)
	}
	var above []*x509.Certificate
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			d.Fatal(err)
		}
		above = append(above, c)
	}
	der, err := pkcs12.Modern.Encode(pair.PrivateKey, pair.Leaf, above, pass)
	if err != nil {
		d.Fatal(err)
	}
	return pfx.File(d.file("device.pfx", der), passphrase)
}

func (d desk) key(text string) auth.Key {
	d.Helper()
	key, err := auth.ParseKey(text)
	if err != nil {
		d.Fatal(err)
	}
	return key
}

// token is a ready-made one of the device's key.
func (d desk) token(life time.Duration) auth.Token {
	d.Helper()
	token, err := auth.SignToken(own.Key{}, d.Context(), d.key(d.dev.PrimaryKey), d.dev.Identity.Audience(), "", time.Now().Add(life))
	if err != nil {
		d.Fatal(err)
	}
	return token
}

// A proof is one kind of credential: how it is had, what at the hub makes it
// worthless, and how it breaks on the way.
type proof struct {
	name   string
	good   func(d desk) auth.Credential
	spoil  func(d desk)
	broken []brokenProof
}

type brokenProof struct {
	what string
	cred func(d desk) auth.Credential
	is   error
	says string
}

var errAshes = errors.New("the key service burnt down")

// proofs are all that a board can hold. A connection string's part in them is
// tested in package auth, keys in hardware beside examples/hsm, and the modules
// of IoT Edge in auth/edge.
func proofs() []proof {
	otherKeys := func(d desk) { _, err := d.hub.Device("dev1").SetKeys("", ""); d.must(err) }
	otherCertificate := func(d desk) {
		d.must(d.hub.Device("dev1").SetThumbprints(strings.Repeat("A1", 32), ""))
	}
	now := time.Now
	return []proof{
		{"a shared key", func(d desk) auth.Credential { return auth.SAS(d.key(d.dev.PrimaryKey), nil) }, otherKeys, []brokenProof{
			{"no key", func(desk) auth.Credential { return auth.SAS(nil, nil) }, auth.ErrInvalid, "no signer"},
			{"an empty key", func(desk) auth.Credential { return auth.SAS(auth.Key{}, nil) }, auth.ErrInvalid, "the key is empty"},
			{"a life of a second", func(d desk) auth.Credential {
				return auth.SAS(d.key(d.dev.PrimaryKey), &auth.SASOptions{Lifetime: time.Second})
			}, auth.ErrInvalid, "SASOptions.Lifetime is 1s"},
		}},
		{"the secondary shared key", func(d desk) auth.Credential { return auth.SAS(d.key(d.dev.SecondaryKey), nil) }, otherKeys, nil},
		{"a policy's key", func(d desk) auth.Credential {
			p, _ := d.hub.Policy("device")
			return auth.SAS(d.key(p.PrimaryKey), &auth.SASOptions{Policy: "device"})
		}, func(d desk) {
			_, err := d.hub.AddPolicy(hubtest.Policy{Name: "device", Permissions: []string{"DeviceConnect"}})
			d.must(err)
		}, nil},
		{"a given token", func(d desk) auth.Credential { return auth.StaticToken(d.token(time.Hour)) }, otherKeys, []brokenProof{
			{"none", func(desk) auth.Credential { return auth.StaticToken(auth.Token{}) }, auth.ErrInvalid, "the zero token"},
			{"one that ended", func(d desk) auth.Credential { return auth.StaticToken(d.token(-time.Hour)) }, auth.ErrTokenExpired, "give a new one"},
		}},
		{"a fetched token", func(d desk) auth.Credential {
			return auth.TokenFunc(func(context.Context, string) (auth.Token, error) { return d.token(time.Hour), nil })
		}, otherKeys, []brokenProof{
			{"nobody answers", func(desk) auth.Credential {
				return auth.TokenFunc(func(context.Context, string) (auth.Token, error) { return auth.Token{}, errAshes })
			}, errAshes, "the credential gave no token"},
			{"one that ended", func(d desk) auth.Credential {
				return auth.TokenFunc(func(context.Context, string) (auth.Token, error) { return d.token(-time.Hour), nil })
			}, auth.ErrTokenExpired, "give a new one"},
		}},
		{"a certificate of a CA, in PEM files", func(d desk) auth.Credential {
			dev := d.certified(nil)
			return d.pem(dev.CertificatePEM, dev.KeyPEM)
		}, otherCertificate, []brokenProof{
			{"no file", func(d desk) auth.Credential { return auth.X509Files(d.dir+"/none", "", nil) }, fs.ErrNotExist, "read the client certificate or its key"},
			{"an empty file", func(d desk) auth.Credential { return d.pem(nil, nil) }, auth.ErrInvalid, "not in PEM"},
			{"another key", func(d desk) auth.Credential { return d.pem(d.issued(nil).CertificatePEM, d.issued(nil).KeyPEM) }, auth.ErrInvalid, `not that of the certificate of "CN=dev1"`},
			{"it has expired", func(d desk) auth.Credential {
				made := d.issued(&hubtest.IssueOptions{NotAfter: now().Add(-time.Hour)})
				return d.pem(made.CertificatePEM, made.KeyPEM)
			}, auth.ErrCertificateExpired, `"CN=dev1" ended at`},
			{"it has not begun", func(d desk) auth.Credential {
				made := d.issued(&hubtest.IssueOptions{NotBefore: now().Add(time.Hour)})
				return d.pem(made.CertificatePEM, made.KeyPEM)
			}, auth.ErrCertificateNotYetValid, "check the clock first"},
			{"the hub's root is known, and the way to it has a gap", func(d desk) auth.Credential {
				made := d.issued(&hubtest.IssueOptions{WithoutChain: true})
				return auth.X509Files(d.file("cert.pem", made.CertificatePEM), d.file("key.pem", made.KeyPEM), &auth.X509Options{Roots: x509.NewCertPool()})
			}, auth.ErrInvalid, "add that intermediate"},
		}},
		{"a self-signed certificate", func(d desk) auth.Credential {
			dev := d.certified(&hubtest.X509Options{SelfSigned: true})
			return d.pem(dev.CertificatePEM, dev.KeyPEM)
		}, otherCertificate, nil},
		{"a certificate whose key is encrypted", func(d desk) auth.Credential {
			dev := d.certified(nil)
			return d.pem(dev.CertificatePEM, d.sealed(dev.KeyPEM, passphrase))
		}, otherCertificate, []brokenProof{
			{"a wrong passphrase", func(d desk) auth.Credential {
				made := d.issued(nil)
				return d.pem(made.CertificatePEM, d.sealed(made.KeyPEM, "another"))
			}, auth.ErrInvalid, "passphrase"},
			{"nothing opens it", func(d desk) auth.Credential {
				made := d.issued(nil)
				return auth.X509Files(d.file("cert.pem", made.CertificatePEM), d.file("key.pem", d.sealed(made.KeyPEM, passphrase)), nil)
			}, auth.ErrInvalid, "pkcs8.Decrypt"},
		}},
		{"a certificate in a PFX", func(d desk) auth.Credential { return d.pfx(d.certified(nil), passphrase) }, otherCertificate, []brokenProof{
			{"a wrong passphrase", func(d desk) auth.Credential { return d.pfx(d.certified(nil), "another") }, auth.ErrInvalid, "passphrase"},
			{"no file", func(d desk) auth.Credential { return pfx.File(d.dir+"/none", passphrase) }, fs.ErrNotExist, "read the client certificate"},
			{"no PFX", func(d desk) auth.Credential { return pfx.File(d.file("x.pfx", []byte("rubbish")), passphrase) }, auth.ErrInvalid, "PFX"},
		}},
		{"a key that only signs", func(d desk) auth.Credential {
			dev := d.certified(nil)
			pair, err := tls.X509KeyPair(dev.CertificatePEM, dev.KeyPEM)
			d.must(err)
			return auth.X509Files(d.file("cert.pem", dev.CertificatePEM), "", &auth.X509Options{Key: locked{pair.PrivateKey.(crypto.Signer)}})
		}, otherCertificate, []brokenProof{
			{"another one's", func(d desk) auth.Credential {
				made := d.issued(nil)
				pair, err := tls.X509KeyPair(made.CertificatePEM, made.KeyPEM)
				d.must(err)
				return auth.X509Files(d.file("cert.pem", d.issued(nil).CertificatePEM), "", &auth.X509Options{Key: locked{pair.PrivateKey.(crypto.Signer)}})
			}, auth.ErrInvalid, "not that of the certificate"},
		}},
	}
}

// locked is a key of which only the signer shows.
type locked struct{ crypto.Signer }

func (d desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// atDesk tells a story over TLS.
func atDesk(t *testing.T, f func(t *testing.T, d desk)) {
	t.Helper()
	story(t, func(t *testing.T, w *world) {
		w.stream = transport.TLS(&transport.TLSOptions{Config: hubConfig(w.hub), DialContext: w.hub.DialContext})
		f(t, desk{w, t.TempDir()})
	})
}

// TestEveryCredential has every kind of credential accepted, refused by the
// hub, and broken before anything is sent.
func TestEveryCredential(t *testing.T) {
	for _, p := range proofs() {
		t.Run(p.name+", accepted and then refused", func(t *testing.T) {
			atDesk(t, func(t *testing.T, d desk) {
				d.dev.Credential = p.good(d)
				c := d.online(nil)
				if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
					t.Errorf("UpdateReported: %v", err)
				}
				d.must(c.Close())

				p.spoil(d)
				err := d.client(nil).Connect(t.Context())
				if !errors.Is(err, transport.ErrUnauthorized) {
					t.Fatalf("got %v, want %v", err, transport.ErrUnauthorized)
				}
				cert, _ := auth.CertificateOf(t.Context(), d.dev.Credential)
				if told := strings.Contains(err.Error(), "thumbprint"); told != (cert != nil) {
					t.Errorf("%v tells of a certificate: %t, want %t", err, told, cert != nil)
				}
			})
		})
		for _, b := range p.broken {
			t.Run(p.name+", "+b.what, func(t *testing.T) {
				atDesk(t, func(t *testing.T, d desk) {
					d.dev.Credential = b.cred(d)
					d.broken = true
					err := d.client(nil).Connect(t.Context())
					if !errors.Is(err, b.is) || err != nil && !strings.Contains(err.Error(), b.says) {
						t.Errorf("got %v, want one that matches %q and says %q", err, b.is, b.says)
					}
					if err != nil && strings.Contains(err.Error(), passphrase) {
						t.Errorf("%v holds the passphrase", err)
					}
					if n := d.hub.Device("dev1").Stats(); n.Connects+n.Refused != 0 {
						t.Errorf("the hub was asked: %+v", n)
					}
				})
			})
		}
	}
}

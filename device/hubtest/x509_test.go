package hubtest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/quirk"
)

// stage is a hub for one login: "dev1" is not there yet; "keys" is a device with
// keys, and "plant" a root CA that the hub knows.
type stage struct {
	*testing.T
	h     *Hub
	plant *CA
}

func (s stage) add(opts *X509Options) Device {
	s.Helper()
	return must[Device](s, "AddX509Device")(s.h.AddX509Device("dev1", opts))
}

// external adds a device whose certificate comes from elsewhere.
func (s stage) external() { s.Helper(); s.add(&X509Options{NoCertificate: true}) }

func (s stage) below(ca *CA, o *IssueOptions) *CA {
	s.Helper()
	return must[*CA](s, "Intermediate")(ca.Intermediate("plant, line 1", o))
}

func (s stage) issue(ca *CA, name string, o *IssueOptions) *tls.Certificate {
	s.Helper()
	made := must[Issued](s, "Issue")(ca.Issue(name, o))
	return &made.Certificate
}

func (s stage) selfSigned(name string, o *IssueOptions) *tls.Certificate {
	s.Helper()
	made := must[Issued](s, "SelfSigned")(SelfSigned(name, o))
	return &made.Certificate
}

// known makes dev1 known by thumbprints.
func (s stage) known(primary, secondary string) {
	s.Helper()
	addDevice(s, s.h, "dev1")
	if err := s.h.Device("dev1").SetThumbprints(primary, secondary); err != nil {
		s.Fatalf("SetThumbprints: %v", err)
	}
}

// hours is a validity relative to now.
func (s stage) hours(from, to time.Duration) *IssueOptions {
	now := s.h.opts.Now()
	return &IssueOptions{now: s.h.opts.Now, NotBefore: now.Add(from * time.Hour), NotAfter: now.Add(to * time.Hour)}
}

// sign makes a certificate by crypto/x509 alone.
func (s stage) sign(tmpl, above *x509.Certificate, public crypto.PublicKey, by crypto.PrivateKey) []byte {
	s.Helper()
	return must[[]byte](s, "CreateCertificate")(x509.CreateCertificate(rand.Reader, tmpl, above, public, by))
}

// pairOf reads a device's PEM as a client would.
func pairOf(t testing.TB, d Device) *tls.Certificate {
	t.Helper()
	c := must[tls.Certificate](t, "X509KeyPair")(tls.X509KeyPair(d.CertificatePEM, d.KeyPEM))
	return &c
}

func sha1Of(c *tls.Certificate) string {
	sum := sha1.Sum(c.Certificate[0])
	return hex.EncodeToString(sum[:])
}

func sha256Of(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// rogue makes a CA that says the same of itself, and of all above it, and has other
// keys.
func rogue(t testing.TB, ca *CA) *CA {
	t.Helper()
	o := &IssueOptions{NotBefore: ca.cert.NotBefore, NotAfter: ca.cert.NotAfter, now: ca.now}
	if ca.parent == nil {
		return must[*CA](t, "NewCA")(NewCA(ca.cert.Subject.CommonName, o))
	}
	return must[*CA](t, "Intermediate")(rogue(t, ca.parent).Intermediate(ca.cert.Subject.CommonName, o))
}

// x509Login is one way to log in: what is presented, and why it is refused,
// with "…" for any text; empty for let in.
type x509Login struct {
	desc    string
	present func(s stage) *tls.Certificate
	why     string
}

func TestCertificateAuthority(t *testing.T) {
	playLogins(t, nil, []x509Login{
		{"made by the hub", func(s stage) *tls.Certificate { return pairOf(s, s.add(nil)) }, ""},
		{"from the known root", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "dev1", nil) }, ""},
		{"over an intermediate", func(s stage) *tls.Certificate { s.external(); return s.issue(s.below(s.plant, nil), "dev1", nil) }, ""},
		{"over two intermediates", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.below(s.below(s.plant, nil), nil), "dev1", nil)
		}, ""},
		{"with the root in the chain", func(s stage) *tls.Certificate {
			s.external()
			c := s.issue(s.below(s.plant, nil), "dev1", nil)
			c.Certificate = append(c.Certificate, s.plant.cert.Raw)
			return c
		}, ""},
		{"the intermediate itself is known", func(s stage) *tls.Certificate {
			s.external()
			line := s.below(must[*CA](s, "NewCA")(NewCA("nobody knows", &IssueOptions{now: s.h.opts.Now})), nil)
			if err := s.h.AddCA("line", line.PEM()); err != nil {
				s.Fatalf("AddCA: %v", err)
			}
			return s.issue(line, "dev1", &IssueOptions{WithoutChain: true})
		}, ""},
		{"the hub's, intermediate left out", func(s stage) *tls.Certificate {
			return pairOf(s, s.add(&X509Options{Issue: &IssueOptions{WithoutChain: true}}))
		}, `the certificate of "dev1", with 0 more presented, leads to none of the hub's 2 CAs: x509: certificate signed by unknown authority`},
		{"intermediate left out", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.below(s.plant, nil), "dev1", &IssueOptions{WithoutChain: true})
		}, "…leads to none of the hub's 1 CAs…"},
		{"no certificate", func(s stage) *tls.Certificate { s.external(); return nil }, "the client presented no certificate: the identity proves itself by one (certificateAuthority)"},
		{"name of another", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "dev2", nil) }, `the certificate's common name is "dev2", and the identity "dev1"`},
		{"name in another case", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "Dev1", nil) }, `the certificate's common name is "Dev1"…`},
		{"no name", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "", nil) }, `the certificate's common name is "", …`},
		{"rogue root", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(rogue(s, s.plant), "dev1", nil)
		}, "…leads to none of the hub's 1 CAs…"},
		{"rogue of the hub's own CA", func(s stage) *tls.Certificate {
			s.external()
			ca := must[*CA](s, "DeviceCA")(s.h.DeviceCA())
			return s.issue(rogue(s, ca), "dev1", nil)
		}, "…with 1 more presented, leads to none of the hub's 2 CAs…"},
		{"self-signed", func(s stage) *tls.Certificate {
			s.external()
			return s.selfSigned("dev1", &IssueOptions{now: s.h.opts.Now})
		}, "…leads to none…"},
		{"leaf has ended", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "dev1", s.hours(-2, -1)) },
			`the certificate of "CN=dev1" ended at 1999-12-31T23:00:00Z, and the hub's clock says 2000-01-01T00:00:00Z`},
		{"leaf has not begun", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "dev1", s.hours(1, 2)) },
			`the certificate of "CN=dev1" begins at 2000-01-01T01:00:00Z, and the hub's clock says 2000-01-01T00:00:00Z`},
		{"leaf ends now", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "dev1", s.hours(-1, 0)) }, ""},
		{"leaf begins now", func(s stage) *tls.Certificate { s.external(); return s.issue(s.plant, "dev1", s.hours(0, 1)) }, ""},
		{"intermediate has ended", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.below(s.plant, s.hours(-3, -1)), "dev1", s.hours(-2, 1))
		}, `the certificate of "CN=plant\\, line 1" ended at…`},
		{"intermediate has not begun", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.below(s.plant, s.hours(1, 2)), "dev1", nil)
		}, `the certificate of "CN=plant\\, line 1" begins at…`},
		{"root has ended", func(s stage) *tls.Certificate {
			s.external()
			old := must[*CA](s, "NewCA")(NewCA("old", s.hours(-3, -1)))
			if err := s.h.AddCA("old", old.PEM()); err != nil {
				s.Fatalf("AddCA: %v", err)
			}
			return s.issue(old, "dev1", s.hours(-2, 1))
		}, "…leads to none of the hub's 2 CAs…"},
		{"an ended certificate that is not needed", func(s stage) *tls.Certificate {
			s.external()
			c := s.issue(s.plant, "dev1", nil)
			c.Certificate = append(c.Certificate, s.below(s.plant, s.hours(-2, -1)).cert.Raw)
			return c
		}, ""},
		{"signed by another device", func(s stage) *tls.Certificate {
			s.external()
			thief := s.issue(s.plant, "dev2", nil)
			c := s.selfSigned("dev1", &IssueOptions{now: s.h.opts.Now})
			c.Certificate = [][]byte{s.sign(template("dev1", s.h.opts.Now()), thief.Leaf, c.Leaf.PublicKey, thief.PrivateKey), thief.Certificate[0]}
			return c
		}, "…leads to none…"},
		{"for servers alone", func(s stage) *tls.Certificate {
			s.external()
			c := s.selfSigned("dev1", nil)
			tmpl := template("dev1", s.h.opts.Now())
			tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			c.Certificate = [][]byte{s.sign(tmpl, s.plant.cert, c.Leaf.PublicKey, s.plant.key)}
			return c
		}, "…incompatible key usage"},
		{"for nothing in particular", func(s stage) *tls.Certificate {
			s.external()
			c := s.selfSigned("dev1", nil)
			c.Certificate = [][]byte{s.sign(template("dev1", s.h.opts.Now()), s.plant.cert, c.Leaf.PublicKey, s.plant.key)}
			return c
		}, ""},
		{"P-384", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.plant, "dev1", &IssueOptions{Key: keyP384(s)})
		}, ""},
		{"RSA", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.plant, "dev1", &IssueOptions{Key: keyRSA(s)})
		}, ""},
		{"Ed25519", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.plant, "dev1", &IssueOptions{Key: keyEd25519(s)})
		}, ""},
		{"below a CA with Ed25519", func(s stage) *tls.Certificate {
			s.external()
			return s.issue(s.below(s.plant, &IssueOptions{Key: keyEd25519(s)}), "dev1", nil)
		}, ""},
		{"disabled", func(s stage) *tls.Certificate {
			c := pairOf(s, s.add(nil))
			if err := s.h.Device("dev1").SetEnabled(false); err != nil {
				s.Fatalf("SetEnabled: %v", err)
			}
			return c
		}, "identity is disabled"},
	})
}

func TestThumbprint(t *testing.T) {
	const nothing = "0123456789abcdef0123456789abcdef01234567"
	logins := []x509Login{
		{"made by the hub", func(s stage) *tls.Certificate { return pairOf(s, s.add(&X509Options{SelfSigned: true})) }, ""},
		{"SHA-1", func(s stage) *tls.Certificate { c := s.selfSigned("dev1", nil); s.known(sha1Of(c), ""); return c }, ""},
		{"SHA-1 in capitals", func(s stage) *tls.Certificate {
			c := s.selfSigned("dev1", nil)
			s.known(strings.ToUpper(sha1Of(c)), "")
			return c
		}, ""},
		{"SHA-256", func(s stage) *tls.Certificate { c := s.selfSigned("dev1", nil); s.known(sha256Of(c), ""); return c }, ""},
		{"secondary alone", func(s stage) *tls.Certificate { c := s.selfSigned("dev1", nil); s.known("", sha256Of(c)); return c }, ""},
		{"secondary, of another kind", func(s stage) *tls.Certificate {
			c := s.selfSigned("dev1", nil)
			s.known(nothing, sha256Of(c))
			return c
		}, ""},
		{"any name", func(s stage) *tls.Certificate { c := s.selfSigned("toaster", nil); s.known(sha1Of(c), ""); return c }, ""},
		{"Ed25519", func(s stage) *tls.Certificate {
			return pairOf(s, s.add(&X509Options{SelfSigned: true, Issue: &IssueOptions{Key: keyEd25519(s)}}))
		}, ""},
		{"from an unknown CA", func(s stage) *tls.Certificate {
			c := s.issue(rogue(s, s.plant), "x", nil)
			s.known(sha256Of(c), "")
			return c
		}, ""},
		{"not this one", func(s stage) *tls.Certificate { s.known(nothing, ""); return s.selfSigned("dev1", nil) },
			"Thumbprint does not match configuration: Thumbprint: SHA1Hash=…, SHA2Hash=…; Configuration: PrimaryThumbprint=0123456789ABCDEF0123456789ABCDEF01234567, SecondaryThumbprint="},
		{"made anew with the same key", func(s stage) *tls.Certificate {
			c := s.selfSigned("dev1", nil)
			s.known(sha1Of(c), sha256Of(c))
			c.Certificate = [][]byte{s.sign(template("dev1", s.h.opts.Now()), c.Leaf, c.Leaf.PublicKey, c.PrivateKey)}
			return c
		}, "Thumbprint does not match…"},
		{"the intermediate's", func(s stage) *tls.Certificate {
			line := s.below(s.plant, nil)
			s.known(sha256Of(&tls.Certificate{Certificate: [][]byte{line.cert.Raw}}), "")
			return s.issue(line, "dev1", nil)
		}, "Thumbprint does not match…"},
		{"a good one of the CA kind", func(s stage) *tls.Certificate { s.known(nothing, ""); return s.issue(s.plant, "dev1", nil) }, "Thumbprint does not match…"},
		{"no certificate", func(s stage) *tls.Certificate { s.known(nothing, ""); return nil }, "the client presented no certificate…(selfSigned)"},
	}
	early := func(s stage) *tls.Certificate {
		c := s.selfSigned("dev1", s.hours(1, 2))
		s.known(sha1Of(c), "")
		return c
	}
	ended := func(s stage) *tls.Certificate {
		return pairOf(s, s.add(&X509Options{SelfSigned: true, Issue: s.hours(-2, -1)}))
	}
	playLogins(t, nil, append(logins, x509Login{"has ended", ended, ""}, x509Login{"has not begun", early, ""}))
	playLogins(t, &Options{quirks: quirk.Set{StrictThumbprints: true}}, append(logins,
		x509Login{"has ended, strict", ended, "…ended at…"}, x509Login{"has not begun, strict", early, "…begins at…"}))
}

// playLogins plays each login over both versions of TLS, with an absent and with
// an empty password; and none of them with a token.
func playLogins(t *testing.T, opts *Options, logins []x509Login) {
	t.Helper()
	for _, tt := range logins {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s/%s", tls.VersionName(version), tt.desc), func(t *testing.T) {
				bubble(t, func(t *testing.T) { playLogin(t, opts, tt, version) })
			})
		}
	}
}

func playLogin(t *testing.T, opts *Options, tt x509Login, version uint16) {
	var heard reasons
	var o Options
	if opts != nil {
		o = *opts
	}
	o.Logger = heard.logger()
	h := New(t, &o)
	s := stage{t, h, must[*CA](t, "NewCA")(NewCA("plant", &IssueOptions{now: h.opts.Now}))}
	if err := h.AddCA("plant", s.plant.PEM()); err != nil {
		t.Fatalf("AddCA: %v", err)
	}
	c := client{cert: tt.present(s), version: version}
	want := letIn
	if tt.why != "" {
		want = refused
	}
	disabled := tt.why == errDisabled.Error()
	if disabled {
		want = unavailable
	}
	for _, password := range []string{"-", ""} {
		got, line := c.login(t, h, "dev1", password)
		if got != want {
			t.Errorf("password %q: got %s (%s), want %s", password, got, heard.take(), want)
		}
		if why := heard.take(); !matches(why, tt.why) {
			t.Errorf("reason: got  %s\nwant %s", why, tt.why)
		}
		if tt.why != "" {
			if got := line.receive(); got != "close" {
				t.Errorf("after the refusal: got %s, want close", got)
			}
		}
		_ = line.conn.Close()
		h.detachAll(t)
	}
	pol, _ := h.Policy("device")
	token := sign(t, h.Host()+"/devices/dev1", pol.PrimaryKey, h.opts.Now().Add(time.Hour), "device")
	if want = refused; disabled {
		want = unavailable
	}
	if got, _ := c.login(t, h, "dev1", token); got != want {
		t.Errorf("with a good token of a policy: got %s, want %s", got, want)
	}
}

// detachAll forgets dev1's session, so that each login begins one.
func (h *Hub) detachAll(t testing.TB) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.identities["dev1"].mqtt.session = nil
}

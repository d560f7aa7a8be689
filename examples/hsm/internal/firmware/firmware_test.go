package firmware_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/bench"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/firmware"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errAway = errors.New("the drawer is locked")
	errFull = errors.New("the drawer is full")
)

// A drawer is a place for keys that is no hardware at all.
type drawer struct {
	mu      sync.Mutex
	shared  *auth.Key
	private *ecdsa.PrivateKey
	away    bool // nothing can be had
	full    bool // nothing can be put in, nor be taken out
	wrong   bool // another key than the one that was put in is kept
	closed  int
}

func (d *drawer) Sign(ctx context.Context, data []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away || d.shared == nil {
		return nil, errAway
	}
	return d.shared.Sign(ctx, data)
}

func (d *drawer) put(_ context.Context, secret []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errFull
	}
	if d.wrong {
		secret = []byte("another")
	}
	key, err := auth.ParseKey(base64.StdEncoding.EncodeToString(secret))
	d.shared = &key
	return err
}

func (d *drawer) generate(context.Context) (_ crypto.Signer, err error) {
	if d.full {
		return nil, errFull
	}
	if d.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); d.wrong {
		return broken{d.private}, err
	}
	return d.private, err
}

// broken is a key that does not sign.
type broken struct{ crypto.Signer }

func (broken) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) { return nil, errAway }

func (d *drawer) remove(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return errAway
	}
	d.shared, d.private = nil, nil
	return nil
}

func (d *drawer) setAway(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

func (d *drawer) program() firmware.Program {
	return firmware.Program{Name: "drawer", Usage: "\nFlags of the drawer:\n  -pin FILE\n", Flags: func(f *flag.FlagSet) func(firmware.Kind, func(string) string) (*firmware.Hardware, error) {
		file := f.String("pin", "", "")
		return func(kind firmware.Kind, env func(string) string) (*firmware.Hardware, error) {
			pin, err := firmware.Secret("pin", *file, env, "DRAWER_PIN")
			if err != nil {
				return nil, err
			}
			if pin != "1234" {
				return nil, fmt.Errorf("%w: the PIN is wrong", auth.ErrInvalid)
			}
			return &firmware.Hardware{
				Place: "the drawer", Signer: d, Import: d.put, Generate: d.generate, Remove: d.remove,
				Key: func(context.Context) (crypto.Signer, error) {
					if d.private == nil {
						return nil, errAway
					}
					return d.private, nil
				},
				Close: func() { d.closed++ },
			}, nil
		}
	}}
}

func newBench(t *testing.T, d *drawer) *bench.Bench {
	b := bench.New(t, d.program())
	b.Env["DRAWER_PIN"] = "1234"
	return b
}

func TestSharedAccessKey(t *testing.T) {
	d := &drawer{}
	b := newBench(t, d)
	if got := b.Provision(b.Dev.PrimaryKey+"\r\n", "provision", "sas", "-"); !strings.Contains(got, "in the drawer") {
		t.Errorf("got %q, want the place", got)
	}
	d.setAway(true)
	r := b.Start("", "-v", "run", "sas")
	r.WaitFor(errAway.Error())
	d.setAway(false)
	r.InStep(1200)
	r.EndWell()
	b.Provision("", "remove", "sas")
	if d.shared != nil || d.closed != 3 {
		t.Errorf("removed: got key %v and %d closed drawers, want none and 3", d.shared, d.closed)
	}
}

func TestCertificate(t *testing.T) {
	d := &drawer{}
	b := newBench(t, d)
	file := filepath.Join(t.TempDir(), "device.pem")
	told := b.Provision("", "-days", "10", "provision", "x509", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if want := fmt.Sprintf("sha256 %X", sha256.Sum256(block.Bytes)); !strings.Contains(told, want) {
		t.Errorf("got %q, want the thumbprint %s", told, want)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := certificate.NotAfter.Sub(certificate.NotBefore).Hours(); got != 10*24+1 {
		t.Errorf("the certificate is good for %v hours, want %d", got, 10*24+1)
	}
	b.Enrol(told)
	key := d.private
	d.private = nil // not at the start
	r := b.Start("", "run", "x509", file)
	r.WaitFor(errAway.Error())
	r.End()
	d.private = key
	r = b.Start("", "run", "x509", file)
	r.InStep(1500)
	r.EndWell()
}

func TestRequest(t *testing.T) {
	b := newBench(t, &drawer{})
	file := filepath.Join(t.TempDir(), "device.csr")
	b.Provision("", "-csr", "provision", "x509", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := request.CheckSignature(); err != nil || request.Subject.CommonName != bench.Device {
		t.Errorf("got a request of %q (%v), want one of %q", request.Subject.CommonName, err, bench.Device)
	}
}

func TestFailures(t *testing.T) {
	const (
		host = "hub.devicetwin.test"
		key  = desktest.Key
	)
	run := func(flags ...string) []string {
		return append(append([]string{"-host", host, "-device", "d"}, flags...), "run", "sas")
	}
	dir := t.TempDir()
	certificate := func(name string) []string {
		return []string{"-device", "d", "provision", "x509", filepath.Join(dir, name)}
	}
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	tests := []struct {
		desc   string
		drawer *drawer
		pin    string
		stdin  string
		args   []string
		code   int
		want   string // in what is said
	}{
		{"help", &drawer{}, "", "", []string{"-h"}, firmware.ExitDone, "Flags of the drawer"},
		{"no command", &drawer{}, "1234", "", nil, firmware.ExitUsage, "missing command"},
		{"half a command", &drawer{}, "1234", "", []string{"run"}, firmware.ExitUsage, `"run"`},
		{"an unknown command", &drawer{}, "1234", "", []string{"open", key}, firmware.ExitUsage, "unknown command"},
		{"an unknown flag", &drawer{}, "1234", "", []string{"-" + key, "run", "sas"}, firmware.ExitUsage, "unknown flag"},
		{"a late flag", &drawer{}, "1234", "", []string{"run", "sas", "-v"}, firmware.ExitUsage, `"-v" after the command`},
		{"no file", &drawer{}, "1234", "", []string{"provision", "sas"}, firmware.ExitUsage, "provision sas: missing FILE"},
		{"a word too many", &drawer{}, "1234", "", []string{"remove", "sas", key}, firmware.ExitUsage, "remove sas: unexpected"},
		{"days that are none", &drawer{}, "1234", "", []string{"-days", "many", "remove", "sas"}, firmware.ExitUsage, `-days "many"`},
		{"a time without a unit", &drawer{}, "1234", "", []string{"-timeout", "5", "remove", "sas"}, firmware.ExitUsage, `-timeout "5": missing unit`},
		{"no time", &drawer{}, "1234", "", []string{"-timeout", "0", "remove", "sas"}, firmware.ExitUsage, "-timeout 0s"},
		{"a host that is none", &drawer{}, "1234", "", []string{"-host", "a b", "-device", "d", "run", "sas"}, firmware.ExitUsage, `-host "a b"`},
		{"a device that is none", &drawer{}, "1234", "", []string{"-host", host, "-device", "a b", "run", "sas"}, firmware.ExitUsage, `-device "a b"`},
		{"a PIN in place of its file", &drawer{}, "1234", "", run("-pin", "648219"), firmware.ExitUsage, "-pin: its file"},
		{"no days", &drawer{}, "1234", "", []string{"-days", "0", "remove", "sas"}, firmware.ExitUsage, "-days 0"},
		{"no host", &drawer{}, "1234", "", []string{"run", "sas"}, firmware.ExitUsage, "missing -host"},
		{"no device in a certificate", &drawer{}, "1234", "", []string{"provision", "x509", "f"}, firmware.ExitUsage, "missing -device"},
		{"no port", &drawer{}, "1234", "", run("-endpoint", key), firmware.ExitUsage, "-endpoint (a value that may be a secret)"},
		{"no CA file", &drawer{}, "1234", "", run("-ca", key), firmware.ExitUsage, "-ca (a value that may be a secret): no such file"},
		{"no CA in the file", &drawer{}, "1234", "", run("-ca", write("empty", "")), firmware.ExitUsage, "no certificate in PEM"},
		{"no PIN file", &drawer{}, "1234", "", run("-pin", key), firmware.ExitUsage, "-pin: its file"},
		{"a PIN of a book's length", &drawer{}, "1234", "", run("-pin", write("book", strings.Repeat("x", 5000))), firmware.ExitUsage, "more than 4096 bytes"},
		{"a wrong PIN", &drawer{}, key, "", run(), firmware.ExitUsage, "the PIN is wrong"},
		{"a wrong PIN in a file", &drawer{}, "1234", "", run("-pin", write("wrong", "4321\n")), firmware.ExitUsage, "the PIN is wrong"},
		{"no key file", &drawer{}, "1234", "", []string{"provision", "sas", key}, firmware.ExitUsage, "provision sas (a value that may be a secret): no such file"},
		{"no key in the file", &drawer{}, "1234", "not base64", []string{"provision", "sas", "-"}, firmware.ExitUsage, "not base64"},
		{"a full drawer", &drawer{full: true}, "1234", key, []string{"provision", "sas", "-"}, firmware.ExitFailed, "import the shared access key: " + errFull.Error()},
		{"a drawer that keeps another key", &drawer{wrong: true}, "1234", key, []string{"provision", "sas", "-"}, firmware.ExitFailed, "signs otherwise"},
		{"a drawer that takes and does not give", &drawer{away: true}, "1234", key, []string{"provision", "sas", "-"}, firmware.ExitFailed, "and the key stays in the drawer"},
		{"a full drawer, again", &drawer{full: true}, "1234", "", certificate("a"), firmware.ExitFailed, "generate a key: " + errFull.Error()},
		{"a key that does not sign", &drawer{wrong: true}, "1234", "", certificate("b"), firmware.ExitFailed, "sign with the new key: " + errAway.Error()},
		{"a certificate that is there", &drawer{}, "1234", "", certificate("empty"), firmware.ExitUsage, "exists already"},
		{"a folder that is not there", &drawer{}, "1234", "", certificate("no/c"), firmware.ExitFailed, "write the certificate"},
		{"a locked drawer", &drawer{away: true}, "1234", "", []string{"remove", "x509"}, firmware.ExitFailed, "remove the key: " + errAway.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			b := newBench(t, tt.drawer)
			b.Flags = nil
			b.Env["DRAWER_PIN"] = tt.pin
			b.Secrets = append(b.Secrets, key, "648219")
			code, _, stderr := b.Run(tt.stdin, tt.args...)
			if code != tt.code || !strings.Contains(stderr, tt.want) {
				t.Errorf("got exit status %d and %q, want %d and %q", code, stderr, tt.code, tt.want)
			}
			if tt.drawer.private != nil {
				t.Error("a key that came to nothing was left in the drawer")
			}
		})
	}
}

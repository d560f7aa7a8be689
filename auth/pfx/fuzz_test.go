package pfx

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/pbe"
)

// FuzzParse takes files with a MAC as they are; and their contents with a MAC
// that is right, which is what someone who knows the passphrase can make.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.pfx")
	if err != nil || len(names) < 10 {
		f.Fatalf("testdata holds %d files, %v; want 10 or more", len(names), err)
	}
	for _, name := range names {
		der := vector(f, strings.TrimSuffix(filepath.Base(name), ".pfx"))
		f.Add(der, false)
		pfx, err := read(der)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pfx.content, true)
	}
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"), false)
	f.Add(forge(f, vector(f, "modern"), func(pdu *pfxPDU) { pdu.MAC.Iterations = 1 << 40 }), false)
	f.Fuzz(func(t *testing.T, der []byte, known bool) {
		if known {
			var err error
			if der, err = wrap(der, passphrase); err != nil {
				t.Fatal(err)
			}
		}
		if pfx, err := read(der); err == nil {
			if pfx.iterations > pbe.MaxIterations {
				t.Fatalf("passed, with %d iterations", pfx.iterations)
			}
			if pfx.iterations > 10_000 {
				return // allowed, and too slow to be tried here
			}
		}
		before := bytes.Clone(der)
		cert, err := Parse(der, passphrase, nil)
		if err != nil && (!errors.Is(err, auth.ErrInvalid) || len(cert.Certificate) > 0 || cert.PrivateKey != nil) {
			t.Fatalf("got %v and a certificate of %d, want ErrInvalid alone", err, len(cert.Certificate))
		}
		if err == nil && (cert.Leaf == nil || cert.PrivateKey == nil) {
			t.Fatal("no error, and no certificate or key")
		}
		if !bytes.Equal(der, before) {
			t.Fatal("the input was changed")
		}
	})
}

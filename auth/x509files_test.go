package auth_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
)

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// folder is where a test keeps its files.
type folder struct {
	*testing.T
	name string
}

func (f folder) path(name string) string { return filepath.Join(f.name, name) }

func (f folder) write(name string, text []byte) {
	f.Helper()
	if err := os.WriteFile(f.path(name), text, 0o600); err != nil {
		f.Fatal(err)
	}
}

// TestRotation replaces certificate and key under a credential: what is whole
// is used at once, and what is torn never.
func TestRotation(t *testing.T) {
	f := folder{t, t.TempDir()}
	old, next := newLeaf(t, "old", nil, newECKey(t)), newLeaf(t, "next", nil, newECKey(t))
	cred := auth.X509Files(f.path("cert.pem"), f.path("key.pem"), nil)
	want := func(when, name string) {
		t.Helper()
		cert, err := auth.CertificateOf(t.Context(), cred)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if got := cert.Leaf.Subject.CommonName; got != name {
			t.Errorf("%s: got %q, want %q", when, got, name)
		}
	}

	if _, err := auth.CertificateOf(t.Context(), cred); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, auth.ErrInvalid) {
		t.Errorf("before there are files: %v; want %v, which is tried again", err, fs.ErrNotExist)
	}
	f.write("cert.pem", certPEM(old))
	f.write("key.pem", keyPEM(t, next.key))
	_, err := auth.CertificateOf(t.Context(), cred)
	wantError(t, err, auth.ErrInvalid, "not that of")
	f.write("key.pem", keyPEM(t, old.key))
	want("once there are files", "old")
	first, _ := auth.CertificateOf(t.Context(), cred)
	if second, _ := auth.CertificateOf(t.Context(), cred); first != second {
		t.Error("the same files are parsed again")
	}

	f.write("cert.pem", certPEM(next))
	want("between the two files", "old")
	f.write("key.pem", keyPEM(t, next.key)[:50])
	want("with half a key", "old")
	if err := os.Remove(f.path("key.pem")); err != nil {
		t.Fatal(err)
	}
	want("without a key", "old")
	f.write("key.pem", keyPEM(t, next.key))
	want("once both are there", "next")
	f.write("key.pem", make([]byte, 300<<10))
	want("with a file that is too large", "next")
}

func TestOneFile(t *testing.T) {
	f := folder{t, t.TempDir()}
	leaf := newLeaf(t, "dev1", nil, newECKey(t))
	f.write("both.pem", append(keyPEM(t, leaf.key), certPEM(leaf)...))
	f.write("cert.pem", certPEM(leaf))
	f.write("huge.pem", make([]byte, 300<<10))
	for what, cred := range map[string]auth.Credential{
		"key and certificate in one file": auth.X509Files(f.path("both.pem"), "", nil),
		"the key lives elsewhere":         auth.X509Files(f.path("cert.pem"), "", &auth.X509Options{Key: leaf.key}),
	} {
		if _, err := auth.CertificateOf(t.Context(), cred); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := auth.CertificateOf(t.Context(), auth.X509Files(f.path("huge.pem"), "", nil))
	wantError(t, err, auth.ErrInvalid, "more than 262144 bytes")
}

package pfx

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/devicetwin/devicetwin-go/auth"
)

// openssl runs the openssl of this machine. Where there is none the test is
// skipped, but where DEVICETWIN_TOOLS=1 promises one.
func openssl(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("DEVICETWIN_TOOLS") != "1" {
		t.Skip("there is no openssl here")
	}
	if err != nil {
		t.Fatalf("DEVICETWIN_TOOLS=1, and there is no openssl: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	return out
}

// pemOf is a key, if there is one, and certificates in PEM.
func pemOf(t *testing.T, key crypto.Signer, certs ...*x509.Certificate) []byte {
	t.Helper()
	var text []byte
	if key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func TestFilesFromOpenSSL(t *testing.T) {
	legacy := []string{"-provider", "legacy", "-provider", "default"}
	with := func(args ...string) []string { return append(slices.Clone(legacy), args...) }
	tests := []struct {
		name, passphrase string
		args             []string
		refused          string // part of the error; empty when it is read
	}{
		{"as it comes", passphrase, nil, ""},
		{"legacy", passphrase, with("-legacy"), ""},
		{"no MAC", passphrase, []string{"-nomac"}, ""},
		{"no MAC, legacy", passphrase, with("-legacy", "-nomac"), ""},
		{"an empty passphrase", "", nil, ""},
		{"an empty passphrase, legacy", "", with("-legacy"), ""},
		{"an empty passphrase and no MAC", "", []string{"-nomac"}, ""},
		{"a passphrase in UTF-8", "Grüße, 1 = ½ €", nil, ""},
		{"a passphrase in UTF-8, legacy", "Grüße, 1 = ½ €", with("-legacy"), ""},
		{"AES-128 and AES-192", passphrase, []string{"-certpbe", "AES-128-CBC", "-keypbe", "AES-192-CBC"}, ""},
		{"3DES for both", passphrase, []string{"-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"}, ""},
		{"RC2 of 128 bits", passphrase, with("-certpbe", "PBE-SHA1-RC2-128"), ""},
		{"the certificates in the clear", passphrase, []string{"-certpbe", "NONE"}, ""},
		{"the key in the clear", passphrase, []string{"-keypbe", "NONE"}, ""},
		{"all in the clear", passphrase, []string{"-certpbe", "NONE", "-keypbe", "NONE"}, ""},
		{"all in the clear and no MAC", "", []string{"-certpbe", "NONE", "-keypbe", "NONE", "-nomac"}, ""},
		{"one iteration", passphrase, []string{"-noiter", "-nomaciter"}, ""},
		{"100,000 iterations", passphrase, []string{"-iter", "100000"}, ""},
		{"a MAC of SHA-512", passphrase, []string{"-macalg", "sha512"}, ""},
		{"names and attributes", passphrase, []string{"-name", "my device", "-caname", "above", "-CSP", "Microsoft Enhanced"}, ""},

		{"a MAC of SHA-384", passphrase, []string{"-macalg", "sha384"}, "its MAC: "},
		{"RC4", passphrase, with("-certpbe", "PBE-SHA1-RC4-128"), "1.2.840.113549.1.12.1.1"},
		{"3DES of two keys", passphrase, []string{"-certpbe", "PBE-SHA1-2DES"}, "2-key 3DES"},
		{"700,000 iterations for each of three", passphrase, []string{"-iter", "700000"}, "more than 2000000 iterations together"},
	}
	for _, p := range pairs(t) {
		// The device's certificate first, as openssl demands; the others in the
		// wrong order.
		text := pemOf(t, p.key, p.leaf, p.root, p.inter)
		for _, tt := range tests {
			t.Run(p.name+"/"+tt.name, func(t *testing.T) {
				if p.name != "P-256" && strings.Contains(tt.name, ",000 iterations") {
					t.Skip("it takes long; one key is enough")
				}
				der := openssl(t, text, append([]string{"pkcs12", "-export", "-passout", "pass:" + tt.passphrase}, tt.args...)...)
				cert, err := Parse(der, tt.passphrase, nil)
				if tt.refused != "" {
					if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.refused) {
						t.Errorf("got %v, want ErrInvalid with %q", err, tt.refused)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				wantPair(t, cert, p.key, p.leaf, p.inter, p.root)
				if strings.HasPrefix(tt.name, "all in the clear and no MAC") {
					return // any passphrase opens it
				}
				if _, err := Parse(der, tt.passphrase+"!", nil); err == nil || err.Error() != "pfx: "+strings.TrimPrefix(wrong().Error(), "auth: ") {
					t.Errorf("with a wrong passphrase: got %v, want %v", err, wrong())
				}
			})
		}
	}
}

// The same key and certificates come out of openssl as out of Parse.
func TestOpenSSLReadsTheSame(t *testing.T) {
	encoders := map[string]*pkcs12.Encoder{"RC2": pkcs12.LegacyRC2, "3DES": pkcs12.LegacyDES, "AES": pkcs12.Modern2023}
	for _, p := range pairs(t) {
		for name, encoder := range encoders {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				der, err := encoder.Encode(p.key, p.leaf, []*x509.Certificate{p.inter}, passphrase)
				if err != nil {
					t.Fatal(err)
				}
				text := openssl(t, der, "pkcs12", "-provider", "legacy", "-provider", "default", "-nodes", "-passin", "pass:"+passphrase)
				theirs, err := auth.ParseX509(text, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantPair(t, theirs, p.key, p.leaf, p.inter)
				ours, err := Parse(der, passphrase, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantPair(t, ours, p.key, p.leaf, p.inter)
			})
		}
	}
}

// What errors tell people to type is to work.
func TestTheCommandInTheErrors(t *testing.T) {
	_, command, _ := strings.Cut(anew, ": (")
	readers, writer, _ := strings.Cut(command, ") | ")
	keys, certs, _ := strings.Cut(readers, "; ")
	p := pairs(t)[1]
	for _, args := range [][]string{
		{"-macalg", "sha384"},
		{"-certpbe", "PBE-SHA1-2DES"},
		{"-iter", "700000"},
	} {
		old := filepath.Join(t.TempDir(), "OLD")
		der := openssl(t, pemOf(t, p.key, p.leaf, p.inter), append([]string{"pkcs12", "-export", "-passout", "pass:old"}, args...)...)
		if err := os.WriteFile(old, der, 0o600); err != nil {
			t.Fatal(err)
		}
		run := func(stdin []byte, command string, more ...string) []byte {
			args := slices.DeleteFunc(strings.Fields(strings.TrimPrefix(command, "openssl ")), func(a string) bool { return a == "-out" || a == "NEW" })
			if i := slices.Index(args, "OLD"); i >= 0 {
				args[i] = old
			}
			return openssl(t, stdin, append(args, more...)...)
		}
		text := append(run(nil, keys, "-passin", "pass:old"), run(nil, certs, "-passin", "pass:old")...)
		cert, err := Parse(run(text, writer, "-passout", "pass:new"), "new", nil)
		if err != nil {
			t.Fatalf("%v, written anew by %s: %v", args, command, err)
		}
		wantPair(t, cert, p.key, p.leaf, p.inter)
	}
}

package pkcs8

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/pbetest"
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

type testKey struct {
	name string
	key  crypto.Signer
	pem  []byte // PKCS#8, in the clear
}

// testKeys are made on the spot.
func testKeys(t *testing.T) []testKey {
	t.Helper()
	var keys []testKey
	add := func(name string, key crypto.Signer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, testKey{name, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})})
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	add("RSA 2048", r, err)
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(name, k, err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	add("Ed25519", e, err)
	return keys
}

// anyPassphrase has what a person may type, in UTF-8.
const anyPassphrase = "Grüße, 1 = ½ 🔑"

// certificate is one of a key, signed by itself.
func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dev1"},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_900_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestKeysFromOpenSSL(t *testing.T) {
	topk8 := func(args ...string) []string {
		return append([]string{"pkcs8", "-topk8", "-passout", "pass:" + anyPassphrase}, args...)
	}
	// Without its legacy provider openssl writes a key that was to have DES in
	// the clear, and says nothing.
	legacy := func(cipher string) []string {
		return []string{"pkey", "-traditional", "-provider", "legacy", "-provider", "default", "-passout", "pass:" + anyPassphrase, "-" + cipher}
	}
	tests := []struct {
		name    string
		args    []string
		refused string // part of the error; empty when it is read
	}{
		{"as it comes", topk8(), ""},
		{"aes-128-cbc", topk8("-v2", "aes-128-cbc"), ""},
		{"aes-192-cbc", topk8("-v2", "aes-192-cbc"), ""},
		{"aes-256-cbc", topk8("-v2", "aes-256-cbc"), ""},
		{"des3", topk8("-v2", "des3"), ""},
		{"HMAC-SHA1", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"), ""},
		{"HMAC-SHA224", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA224"), ""},
		{"HMAC-SHA256", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"), ""},
		{"HMAC-SHA384", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA384"), ""},
		{"HMAC-SHA512", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"), ""},
		{"HMAC-SHA512-224", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512-224"), ""},
		{"HMAC-SHA512-256", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512-256"), ""},
		{"HMAC-SHA384 and 3DES", topk8("-v2", "des3", "-v2prf", "hmacWithSHA384"), ""},
		{"HMAC-SHA224 and AES-192", topk8("-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA224"), ""},
		{"HMAC-MD5", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithMD5"), "a hash that is not known"},
		{"100,000 iterations", topk8("-iter", "100000"), ""},
		{"scrypt", topk8("-scrypt"), ""},
		{"scrypt, eight times", topk8("-scrypt", "-scrypt_p", "8"), ""},
		{"scrypt, nine times", topk8("-scrypt", "-scrypt_p", "9"), "p = 9"},
		{"2,000,001 iterations", topk8("-iter", "2000001"), "2000001 iterations"},
		{"PBES1 with MD5 and DES", topk8("-provider", "legacy", "-provider", "default", "-v1", "PBE-MD5-DES"), "MD5 and DES"},
		{"PKCS#12 with 3DES", topk8("-v1", "PBE-SHA1-3DES"), "3DES-CBC"},
		{"RFC 1421 with DES", legacy("des"), ""},
		{"RFC 1421 with 3DES", legacy("des3"), ""},
		{"RFC 1421 with AES-128", legacy("aes128"), ""},
		{"RFC 1421 with AES-192", legacy("aes192"), ""},
		{"RFC 1421 with AES-256", legacy("aes256"), ""},
		{"RFC 1421 with Camellia", legacy("camellia256"), "CAMELLIA-256-CBC"},
	}
	for _, k := range testKeys(t) {
		crt := certificate(t, k.key)
		for _, tt := range tests {
			t.Run(k.name+"/"+tt.name, func(t *testing.T) {
				if k.name == "Ed25519" && tt.args[0] == "pkey" {
					t.Skip("there is no such form of these keys")
				}
				if k.name != "P-256" && (strings.Contains(tt.name, "iterations") || strings.Contains(tt.name, "scrypt, ")) {
					t.Skip("it takes long; one key is enough")
				}
				sealed := openssl(t, k.pem, tt.args...)
				if !bytes.Contains(sealed, []byte("ENCRYPTED")) {
					t.Fatal("openssl has not encrypted the key")
				}
				opts := &auth.X509Options{Passphrase: anyPassphrase, Decrypt: Decrypt}
				if tt.refused != "" {
					_, err := auth.ParseX509(crt, sealed, opts)
					if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.refused) {
						t.Errorf("got %v, want ErrInvalid with %q", err, tt.refused)
					}
					return
				}
				cert, err := auth.ParseX509(crt, sealed, opts)
				if err != nil {
					t.Fatal(err)
				}
				wantKey(t, cert.PrivateKey.(crypto.Signer), k.key.Public())

				opts.Passphrase = "another"
				if _, err := auth.ParseX509(crt, sealed, opts); err == nil || err.Error() != wrong().Error() {
					t.Errorf("with a wrong passphrase: got %v, want %v", err, wrong())
				}
			})
		}
	}
}

// The keys that other tests seal are to be like those of people.
func TestOpenSSLReadsWhatIsSealed(t *testing.T) {
	for _, opts := range []*pbetest.Options{nil, {Iterations: 1}, {SayKeyLength: true}} {
		key, b := sealed(t, opts)
		plain, _ := pem.Decode(openssl(t, pem.EncodeToMemory(b), "pkcs8", "-passin", "pass:"+passphrase))
		got, err := x509.ParsePKCS8PrivateKey(plain.Bytes)
		if err != nil || !key.Equal(got.(crypto.PrivateKey)) {
			t.Errorf("%+v: openssl reads another key, or none: %v", opts, err)
		}
	}
}

// What errors tell people to type is to work.
func TestTheCommandInTheErrors(t *testing.T) {
	_, command, _ := strings.Cut(anew, "openssl ")
	args := strings.Fields(command)
	k := testKeys(t)[1]
	for _, old := range [][]string{
		{"-v2prf", "hmacWithMD5"},
		{"-v1", "PBE-SHA1-3DES"},
		{"-scrypt", "-scrypt_p", "9"},
	} {
		sealed := openssl(t, k.pem, append([]string{"pkcs8", "-topk8", "-passout", "pass:old"}, old...)...)
		args := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-in" || a == "OLD" || a == "-out" || a == "NEW" })
		b, _ := pem.Decode(openssl(t, sealed, append(args, "-passin", "pass:old", "-passout", "pass:new")...))
		key, err := Decrypt(b, "new")
		if err != nil {
			t.Fatalf("%v, written anew by openssl %s: %v", old, command, err)
		}
		wantKey(t, key, k.key.Public())
	}
}

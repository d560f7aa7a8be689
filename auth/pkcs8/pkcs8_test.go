package pkcs8

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/pbe"
	"github.com/devicetwin/devicetwin-go/internal/pbetest"
)

// passphrase opens the keys in testdata.
const passphrase = "correct-horse"

func block(t testing.TB, name string) *pem.Block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(text)
	if b == nil {
		t.Fatalf("%s holds no PEM block", name)
	}
	return b
}

// wantKey says whether a key is the one with this public half.
func wantKey(t *testing.T, got crypto.Signer, want crypto.PublicKey) {
	t.Helper()
	if got == nil || !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(want) {
		t.Errorf("got a key that is not the one that was encrypted: %T", got)
	}
}

func vectors(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.pem")
	if err != nil || len(names) < 16 {
		t.Fatalf("testdata holds %d keys, %v; want 11 or more", len(names), err)
	}
	for i, name := range names {
		names[i] = filepath.Base(name)
	}
	return names
}

func TestKeysInTestdata(t *testing.T) {
	for _, name := range vectors(t) {
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, "-")
			want, err := x509.ParsePKIXPublicKey(block(t, kind+".pub").Bytes)
			if err != nil {
				t.Fatal(err)
			}
			key, err := Decrypt(block(t, name), passphrase)
			if err != nil {
				t.Fatal(err)
			}
			wantKey(t, key, want)
		})
	}
}

// sealed is a key, and the same encrypted by a passphrase.
func sealed(t *testing.T, opts *pbetest.Options) (ed25519.PrivateKey, *pem.Block) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := pbetest.Seal(der, passphrase, opts)
	if err != nil {
		t.Fatal(err)
	}
	return key, b
}

// A wrong passphrase now and then decrypts to something that looks padded, once
// in 256 times. That is to be told as every other.
func TestWrongPassphrases(t *testing.T) {
	_, cheap := sealed(t, &pbetest.Options{Iterations: 1})
	blocks := map[string]*pem.Block{
		"PBES2":         cheap,
		"legacy DES":    block(t, "p256-legacy-des.pem"),
		"legacy AES256": block(t, "p256-legacy-aes256.pem"),
	}
	for name, b := range blocks {
		for i := range 1000 {
			guess := strings.Repeat("x", i%30) + string(rune('a'+i/30))
			key, err := Decrypt(b, guess)
			if key != nil || err == nil || err.Error() != wrong().Error() {
				t.Fatalf("%s, passphrase %q: got %v, want %v", name, guess, err, wrong())
			}
		}
	}
}

func TestNoErrorHoldsTheSecrets(t *testing.T) {
	const secret = "a-passphrase-that-no-error-may-hold"
	for _, name := range vectors(t) {
		whole := block(t, name)
		for _, cut := range []int{0, 1, 16, len(whole.Bytes) / 2} {
			b := *whole
			b.Bytes = b.Bytes[:len(b.Bytes)-cut]
			_, err := Decrypt(&b, secret)
			if err == nil || !errors.Is(err, auth.ErrInvalid) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s without its last %d bytes: got %v, want ErrInvalid without the passphrase", name, cut, err)
			}
		}
	}
}

// encrypted is an encrypted key that only says how it was encrypted.
func encrypted(t testing.TB, a pkix.AlgorithmIdentifier, data []byte) *pem.Block {
	t.Helper()
	der, err := asn1.Marshal(encryptedKey{a, data})
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}
}

func algorithm(t testing.TB, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	der, err := asn1.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int64
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// pbes2 is PBES2 with AES-256.
func pbes2(t testing.TB, kdf pkix.AlgorithmIdentifier) pkix.AlgorithmIdentifier {
	t.Helper()
	aes := algorithm(t, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, make([]byte, 16))
	return algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, struct{ KDF, Cipher pkix.AlgorithmIdentifier }{kdf, aes})
}

func kdf2(t testing.TB, p pbkdf2Params) pkix.AlgorithmIdentifier {
	t.Helper()
	return pbes2(t, algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, p))
}

func hmacOf(last int) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, last}}
}

// The bounds themselves are held by package pbe's own tests.
func TestRefused(t *testing.T) {
	data, salt := make([]byte, 64), make([]byte, 8)
	good := kdf2(t, pbkdf2Params{Salt: salt, Iterations: 1})
	rfc1421 := func(info string, n int) *pem.Block {
		return &pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": info}, Bytes: make([]byte, n)}
	}
	tests := []struct {
		name  string
		block *pem.Block
		want  string // part of the error
	}{
		{"no block", nil, "no private key in PEM"},
		{"a block without encryption", &pem.Block{Type: "PRIVATE KEY", Bytes: data}, `"PRIVATE KEY" block is not encrypted`},
		{"a block of 1 MB", &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: make([]byte, 1<<20)}, "at most 65536"},
		{"an empty block", &pem.Block{Type: "ENCRYPTED PRIVATE KEY"}, "cannot be read"},
		{"bytes after the key", &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: append(encrypted(t, good, data).Bytes, 0)}, "cannot be read"},
		{"three million iterations", encrypted(t, kdf2(t, pbkdf2Params{Salt: salt, Iterations: 3_000_000}), data), "3000000 iterations"},
		{"MD5", encrypted(t, kdf2(t, pbkdf2Params{salt, 1, 0, hmacOf(6)}), data), "a hash that is not known"},
		{"half a block", encrypted(t, good, data[:24]), "no whole number of blocks"},
		{"nothing encrypted", encrypted(t, good, nil), "no whole number of blocks"},
		{"PKCS#12's own encryption", encrypted(t, algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}, struct {
			Salt []byte
			N    int
		}{salt, 1}), data), "old way of PKCS#12 (3DES-CBC)"},
		{"PBES1", encrypted(t, algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 3}, 1), data), "openssl pkcs8 -topk8 -v2 aes-256-cbc"},
		{"RFC 1421 without a cipher", rfc1421("", 16), "no DEK-Info header"},
		{"RFC 1421 with Camellia", rfc1421("CAMELLIA-256-CBC,00", 16), `"CAMELLIA-256-CBC"`},
		{"RFC 1421 with a short initial vector", rfc1421("AES-128-CBC,0011223344556677", 16), "16 digits in place of 32"},
		{"RFC 1421 with an initial vector that is no number", rfc1421("DES-CBC,................", 16), "does not open"},
		{"RFC 1421 with half a block", rfc1421("AES-128-CBC,00112233445566778899aabbccddeeff", 8), "no whole number of blocks"},
		{"RFC 1421 with nothing encrypted", rfc1421("AES-128-CBC,00112233445566778899aabbccddeeff", 0), "no whole number of blocks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := Decrypt(tt.block, passphrase)
			if key != nil || !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, tt.want)
			}
		})
	}
	if _, err := Decrypt(block(t, vectors(t)[0]), ""); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "no passphrase") {
		t.Errorf("without a passphrase: got %v, want ErrInvalid that says so", err)
	}
}

// Some tools say how long the key is, which other readers take for the end of
// the parameters, and so miss the hash.
func TestLengthOfTheKeyIsSaid(t *testing.T) {
	key, b := sealed(t, &pbetest.Options{SayKeyLength: true})
	got, err := Decrypt(b, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	wantKey(t, got, key.Public())
}

// What package pbe reads and this one does not is an error, not a panic.
func TestUnknownHash(t *testing.T) {
	s := pbe.Scheme{KDF: pbe.PBKDF2, PRF: "HMAC-MD5", Salt: []byte("salt"), Iterations: 1, KeySize: 32, BlockSize: 16, IV: make([]byte, 16)}
	if _, err := open(s, make([]byte, 16), passphrase); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "HMAC-MD5 is not read") {
		t.Errorf("got %v, want ErrInvalid that names the hash", err)
	}
}

func TestEveryCutKey(t *testing.T) {
	whole := block(t, "ed25519-sha1.pem").Bytes
	for n := range whole {
		if _, err := Decrypt(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: whole[:n]}, passphrase); !errors.Is(err, auth.ErrInvalid) {
			t.Fatalf("the first %d of %d bytes: got %v, want ErrInvalid", n, len(whole), err)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	for _, name := range vectors(f) {
		b := block(f, name)
		f.Add(b.Headers["DEK-Info"], b.Bytes)
	}
	f.Add("", encrypted(f, kdf2(f, pbkdf2Params{Salt: []byte("salt"), Iterations: 1 << 40}), make([]byte, 32)).Bytes)
	f.Add("AES-128-CBC,zz", make([]byte, 16))
	f.Fuzz(func(t *testing.T, dek string, der []byte) {
		b := &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}
		if dek != "" {
			b = &pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": dek}, Bytes: der}
		} else if s, _, err := check(der); err == nil {
			if s.Iterations > pbe.MaxIterations || s.Memory() > pbe.MaxMemory {
				t.Fatalf("passed, but %+v", s)
			}
			if s.Iterations > 10_000 || s.Memory() > 16<<20 {
				return // allowed, and too slow to be tried here
			}
		}
		before := bytes.Clone(der)
		key, err := Decrypt(b, passphrase)
		if err != nil && (!errors.Is(err, auth.ErrInvalid) || key != nil || len(err.Error()) > 1000) {
			t.Fatalf("got %v and %v, want a short ErrInvalid alone", key, err)
		}
		if err == nil && key.Public() == nil {
			t.Fatal("a key without a public half")
		}
		if !bytes.Equal(der, before) {
			t.Fatal("the input was changed")
		}
	})
}

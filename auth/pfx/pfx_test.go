package pfx

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/internal/pbe"
)

// passphrase opens the files in testdata that do not say otherwise.
const passphrase = "correct-horse"

// wantPair says whether a certificate is that of a pair, with its chain.
func wantPair(t *testing.T, got tls.Certificate, key crypto.Signer, chain ...*x509.Certificate) {
	t.Helper()
	signer, ok := got.PrivateKey.(crypto.Signer)
	if !ok || !signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
		t.Errorf("got another key (%T) than the one that was written", got.PrivateKey)
	}
	if len(got.Certificate) != len(chain) {
		t.Fatalf("got a chain of %d certificates, want %d", len(got.Certificate), len(chain))
	}
	for i, c := range chain {
		if !bytes.Equal(got.Certificate[i], c.Raw) {
			t.Errorf("certificate %d of the chain is not that of %s", i+1, c.Subject)
		}
	}
}

func TestFilesInTestdata(t *testing.T) {
	for name, passphrase := range map[string]string{
		"modern": passphrase, "legacy": passphrase, "nomac": passphrase,
		"empty": "", "empty-legacy": "", "plain": "", "utf8": "grüße", "utf8-legacy": "grüße",
	} {
		t.Run(name, func(t *testing.T) {
			cert, err := Parse(vector(t, name), passphrase, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := cert.Leaf.Subject.CommonName; got != "dev1" || len(cert.Certificate) != 2 {
				t.Errorf("got the certificate of %q, and a chain of %d; want dev1 and 2", got, len(cert.Certificate))
			}
			if err := auth.CheckCertificate(own.Key{}, &cert, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
				t.Errorf("it cannot be used: %v", err)
			}
			if name == "plain" {
				return // any passphrase opens it
			}
			for _, bad := range []string{passphrase + "x", "correct-house"} {
				if _, err := Parse(vector(t, name), bad, nil); err == nil || !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "passphrase does not open it") {
					t.Errorf("with the passphrase %q: got %v, want ErrInvalid that names it", bad, err)
				}
			}
		})
	}
}

// What the library writes, with everything above the device's certificate, and
// in any order.
func TestFilesOfTheLibrary(t *testing.T) {
	encoders := map[string]*pkcs12.Encoder{
		"RC2": pkcs12.LegacyRC2, "3DES": pkcs12.LegacyDES, "AES": pkcs12.Modern2023, "PBMAC1": pkcs12.Modern2026,
	}
	for _, p := range pairs(t) {
		for name, encoder := range encoders {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				der, err := encoder.Encode(p.key, p.root, []*x509.Certificate{p.leaf, p.inter}, passphrase)
				if err != nil {
					t.Fatal(err)
				}
				cert, err := Parse(der, passphrase, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantPair(t, cert, p.key, p.leaf, p.inter, p.root)
			})
		}
	}
}

// A certificate that Go's parser refuses and hubs take says how it is read: a PFX
// that is written again would hold the same.
func TestLaxCertificates(t *testing.T) {
	p := pair{name: "P-256", key: pairs(t)[1].key}.certified(t)
	for _, which := range []string{"leaf", "intermediate"} {
		leaf, inter := *p.leaf, *p.inter
		for _, c := range []*x509.Certificate{&leaf, &inter} {
			if (c == &leaf) == (which == "leaf") {
				at := bytes.LastIndex(c.Raw, []byte(c.Subject.CommonName))
				c.Raw = slices.Clone(c.Raw)
				c.Raw[at+1] = '_' // in a PrintableString
			}
		}
		if _, err := x509.ParseCertificate(leaf.Raw); which == "leaf" && err == nil {
			t.Fatal("Go's parser takes it")
		}
		der, err := pkcs12.Modern.Encode(p.key, &leaf, []*x509.Certificate{&inter}, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(der, passphrase, nil)
		if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "auth.ParseX509") {
			t.Errorf("the %s: got %v, want ErrInvalid that names another way", which, err)
		}
	}
}

func TestRoots(t *testing.T) {
	p := pair{name: "P-256", key: pairs(t)[1].key}.certified(t)
	der, err := pkcs12.Modern.Encode(p.key, p.leaf, nil, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.root)
	_, err = Parse(der, passphrase, &Options{Roots: roots})
	if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "test intermediate") {
		t.Errorf("without the intermediate: got %v, want ErrInvalid that names it", err)
	}
	if _, err := Parse(der, passphrase, nil); err != nil {
		t.Errorf("without roots nobody asks: got %v", err)
	}
}

func TestRefused(t *testing.T) {
	all := pairs(t)
	p, other := all[1], all[2]
	modern := vector(t, "modern")
	cheap := pbkdf2Of(t, 1, 0, 9)
	leafPart := clear(t, certBag(t, p.leaf))
	var many []safeBag
	for range maxCerts + 1 {
		many = append(many, certBag(t, p.leaf))
	}
	mac := func(change func(*macData)) []byte { return forge(t, modern, func(pdu *pfxPDU) { change(&pdu.MAC) }) }
	pbmac := func(iterations int64, keyLength, hash int) []byte {
		return mac(func(m *macData) {
			m.Digest.Algorithm = identifier(t, ids(1, 5, 14), pbmac1{pbkdf2Of(t, iterations, keyLength, hash), pkix.AlgorithmIdentifier{Algorithm: ids(2, 9)}})
		})
	}
	of := func(parts ...contentInfo) []byte { return pfxOf(t, passphrase, parts...) }
	tests := []struct {
		name string
		der  []byte
		want string // part of the error
	}{
		{"nothing", nil, "it is empty"},
		{"half a megabyte", make([]byte, 512<<10), "at most 262144"},
		{"PEM", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.leaf.Raw}), "it is PEM, and no PFX; read it by auth.X509Files"},
		{"base64", []byte(base64.StdEncoding.EncodeToString(modern)), "base64 -d"},
		{"text", []byte("hello"), "this is no PFX"},
		{"BER", append([]byte{0x30, 0x80}, modern[4:]...), "in BER in place of DER"},
		{"BER within", append([]byte{0x30, 11, 2, 1, 3, 0x30, 0x80}, make([]byte, 6)...), "or in BER within"},
		{"half of it", modern[:len(modern)/2], "it is cut"},
		{"more than it", append(bytes.Clone(modern), 0, 0), "2 bytes after it"},
		{"a certificate in DER", p.leaf.Raw, "it is no PFX, or damaged, or in BER within"},
		{"version 2", forge(t, modern, func(pdu *pfxPDU) { pdu.Version = 2 }), "version 2"},
		{"a signature in place of a MAC", forge(t, modern, func(pdu *pfxPDU) { pdu.Content.Type = ids(1, 7, 2) }), "by a signature"},
		{"contents of no kind", forge(t, modern, func(pdu *pfxPDU) { pdu.Content.Type = ids(9) }), "the contents cannot be read"},
		{"contents that are none", forge(t, modern, func(pdu *pfxPDU) { pdu.Content.Content = explicit([]byte{5, 0}) }), "the contents cannot be read"},

		{"a MAC of 2^62 iterations", mac(func(m *macData) { m.Iterations = 1 << 62 }), "iterations"},
		{"a MAC of no iterations", mac(func(m *macData) { m.Iterations = -1 }), "-1 iterations"},
		{"a MAC without a salt", mac(func(m *macData) { m.Salt = nil }), "its MAC: invalid configuration: its salt has 0 bytes"},
		{"a MAC of SHA-384", mac(func(m *macData) { m.Digest.Algorithm.Algorithm[8] = 2 }), "2.16.840.1.101.3.4.2.2"},
		{"a PBMAC1 of 3,000,000 iterations", pbmac(3_000_000, 32, 9), "3000000 iterations"},
		{"a PBMAC1 with a key of one byte", pbmac(1, 1, 9), "a key of 1 bytes"},
		{"a PBMAC1 with a key of 1 MB", pbmac(1, 1<<20, 9), "a key of 1048576 bytes"},
		{"a PBMAC1 of SHA-384", pbmac(1, 32, 10), "HMAC-SHA384"},
		{"a PBMAC1 of nothing", mac(func(m *macData) { m.Digest.Algorithm.Algorithm = ids(1, 5, 14) }), "PBMAC1 cannot be read"},
		{"iterations that are many together", of(
			sealed(t, pbes2(t, pbkdf2Of(t, pbe.MaxIterations, 0, 9)), make([]byte, 16)),
			clear(t, sealedKeyBag(t, pbes2(t, cheap)))), "more than 2000000 iterations together"},

		{"no parts", of(), "0 parts"},
		{"three parts", of(leafPart, leafPart, leafPart), "3 parts"},
		{"parts that are none", pfxOf(t, passphrase, contentInfo{Type: ids(1, 7, 1)}), "part in the clear cannot be read"},
		{"a part that is no list", of(contentInfo{ids(1, 7, 1), explicit(marshal(t, []byte("text")))}), "list of keys and certificates cannot be read"},
		{"a part for a certificate", of(contentInfo{ids(1, 7, 3), explicit([]byte{5, 0})}), "is of a kind that is not read (1.2.840.113549.1.7.3)"},
		{"an encrypted part that is none", of(contentInfo{ids(1, 7, 6), explicit([]byte{5, 0})}), "encrypted part cannot be read"},
		{"an encrypted part of 3,000,000 iterations", of(sealed(t, pbes2(t, pbkdf2Of(t, 3_000_000, 0, 9)), make([]byte, 16))), "its encrypted part: invalid configuration: its key is derived in 3000000"},
		{"an encrypted part of half a block", of(sealed(t, pbes2(t, cheap), make([]byte, 8))), "no whole number of blocks"},
		{"an encrypted part of SHA-384", of(sealed(t, pbes2(t, pbkdf2Of(t, 1, 0, 10)), make([]byte, 16))), "HMAC-SHA384"},
		{"an encrypted part by two keys of DES", of(sealed(t, pkcs12Of(t, 4), make([]byte, 16))), "2-key 3DES-CBC with PKCS#12, which is not read"},
		{"an encrypted part that is rubbish", of(sealed(t, pbes2(t, cheap), make([]byte, 16))), "an encrypted part does not open"},
		{"a key of 3,000,000 iterations", of(leafPart, clear(t, sealedKeyBag(t, pbes2(t, pbkdf2Of(t, 3_000_000, 0, 9))))), "its private key: invalid configuration: its key is derived in 3000000"},
		{"a key of iterations for ever", of(leafPart, clear(t, sealedKeyBag(t, pbes2(t, pbkdf2Of(t, math.MaxInt64, 0, 9))))), "iterations"},
		{"a key that is none", of(clear(t, safeBag{ID: ids(1, 12, 10, 1, 2), Value: explicit([]byte{5, 0})})), "encrypted key cannot be read"},
		{"a key that does not open", of(leafPart, clear(t, sealedKeyBag(t, pbes2(t, cheap)))), "its key or certificate cannot be read"},

		{"no key", vector(t, "nokey"), "there is no private key in it"},
		{"no certificate", vector(t, "nocert"), "there is no certificate in it"},
		{"two keys", of(leafPart, clear(t, keyBag(t, p.key), sealedKeyBag(t, pbes2(t, cheap)))), "there are 2 private keys in it"},
		{"the key of another", of(leafPart, clear(t, keyBag(t, other.key))), "the private key is not that of the certificate"},
		{"a certificate that is no part of the chain", of(clear(t, certBag(t, p.leaf), certBag(t, other.leaf)), clear(t, keyBag(t, p.key))), "the chain has a gap"},
		{"too many certificates", of(clear(t, many...), clear(t, keyBag(t, p.key))), "there are 17 certificates"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert, err := Parse(tt.der, passphrase, nil)
			if len(cert.Certificate) > 0 || !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func TestPassphrasesThatCannotBe(t *testing.T) {
	for bad, want := range map[string]string{"gr\xfc\xdfe": "not UTF-8", "🔑": "beyond U+FFFF"} {
		if _, err := Parse(vector(t, "modern"), bad, nil); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), bad) {
			t.Errorf("passphrase %q: got %v, want ErrInvalid with %q, and not the passphrase", bad, err, want)
		}
	}
}

// A key within an encrypted part shows its cost only to who has opened that
// part. The key here asks for 2^31 - 1 iterations, so a failure is a time-out.
func TestKeyWithinAnEncryptedPartCostsNothing(t *testing.T) {
	p := pairs(t)[1]
	bags := marshal(t, []safeBag{certBag(t, p.leaf), sealedKeyBag(t, pbes2(t, pbkdf2Of(t, math.MaxInt32, 0, 9)))})
	pad := aes.BlockSize - len(bags)%aes.BlockSize
	bags = append(bags, bytes.Repeat([]byte{byte(pad)}, pad)...)
	for _, passphrase := range []string{passphrase, ""} {
		key, err := pbkdf2.Key(sha256.New, passphrase, []byte("saltsalt"), 1, 32)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, len(bags))
		cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(data, bags)
		within := sealed(t, pbes2(t, pbkdf2Of(t, 1, 0, 9)), data)
		der := pfxOf(t, passphrase, within, clear(t, keyBag(t, p.key)))
		for name, der := range map[string][]byte{
			"with a MAC":    der,
			"without a MAC": forge(t, der, func(pdu *pfxPDU) { pdu.MAC = macData{} }),
			"alone":         pfxOf(t, passphrase, within),
		} {
			if _, err := Parse(der, passphrase, nil); !errors.Is(err, auth.ErrInvalid) || strings.Contains(err.Error(), "no private key") {
				t.Errorf("%s, passphrase %q: got %v, want ErrInvalid", name, passphrase, err)
			}
		}
	}
}

// Without a MAC a wrong passphrase decrypts to rubbish, which once in 256 times
// looks padded.
func TestWrongPassphrasesWithoutMAC(t *testing.T) {
	der := vector(t, "nomac")
	for i := range 600 {
		_, err := Parse(der, strings.Repeat("x", i%30)+string(rune('a'+i/30)), nil)
		if want := "pfx: " + strings.TrimPrefix(wrong().Error(), "auth: "); err == nil || err.Error() != want {
			t.Fatalf("try %d: got %v, want %s", i, err, want)
		}
	}
}

func TestEveryCutFile(t *testing.T) {
	whole := vector(t, "modern")
	for n := range whole {
		if _, err := Parse(whole[:n], passphrase, nil); !errors.Is(err, auth.ErrInvalid) {
			t.Fatalf("the first %d of %d bytes: got %v, want ErrInvalid", n, len(whole), err)
		}
	}
}

func TestFileIsReplaced(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "device.pfx")
	write := func(name string, der []byte) {
		if err := os.WriteFile(name, der, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := pairs(t)
	encode := func(p pair) []byte {
		der, err := pkcs12.Modern.Encode(p.key, p.leaf, []*x509.Certificate{p.inter}, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	first, second := all[1], all[3]
	cred := File(name, passphrase)
	if _, err := auth.CertificateOf(t.Context(), cred); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without a file: got %v, want fs.ErrNotExist", err)
	}
	write(name, encode(first)[:100])
	if _, err := auth.CertificateOf(t.Context(), cred); !errors.Is(err, auth.ErrInvalid) {
		t.Fatalf("with a cut file: got %v, want ErrInvalid", err)
	}
	steps := []struct {
		name string
		do   func()
		want pair
	}{
		{"the file is there", func() { write(name, encode(first)) }, first},
		{"the next one is half written", func() { write(name, encode(second)[:700]) }, first},
		{"the file is gone", func() { _ = os.Remove(name) }, first},
		{"the next one is under another passphrase", func() {
			der, err := pkcs12.Modern.Encode(second.key, second.leaf, nil, "another")
			if err != nil {
				t.Fatal(err)
			}
			write(name, der)
		}, first},
		{"the next one is there", func() { write(name, encode(second)) }, second},
	}
	for _, step := range steps {
		step.do()
		cert, err := auth.CertificateOf(t.Context(), cred)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		wantPair(t, *cert, step.want.key, step.want.leaf, step.want.inter)
	}
}

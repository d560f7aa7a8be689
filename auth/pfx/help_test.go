package pfx

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	der, err := os.ReadFile(filepath.Join("testdata", name+".pfx"))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A pair is what a device has: a key, and its certificate under an intermediate
// under a root.
type pair struct {
	name              string
	key               crypto.Signer
	leaf, inter, root *x509.Certificate
}

// pairs are made on the spot, one of each kind of key.
func pairs(t testing.TB) []pair {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var all []pair
	for _, p := range []pair{
		{name: "RSA 2048", key: r},
		{name: "P-256", key: ecKey(t, elliptic.P256())},
		{name: "P-384", key: ecKey(t, elliptic.P384())},
		{name: "Ed25519", key: e},
	} {
		all = append(all, p.certified(t))
	}
	return all
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (p pair) certified(t testing.TB) pair {
	t.Helper()
	rootKey, interKey := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	form := func(name string, ca bool) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: ca, BasicConstraintsValid: true,
			NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_900_000_000, 0),
		}
	}
	sign := func(c, issuer *x509.Certificate, key, issuerKey crypto.Signer) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), issuerKey)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	root := form("test root", true)
	p.root = sign(root, root, rootKey, rootKey)
	p.inter = sign(form("test intermediate", true), p.root, interKey, rootKey)
	p.leaf = sign(form("dev1", false), p.inter, p.key, interKey)
	return p
}

// forge changes a PFX without knowing its passphrase.
func forge(t testing.TB, der []byte, change func(*pfxPDU)) []byte {
	t.Helper()
	var pdu pfxPDU
	if _, err := asn1.Unmarshal(der, &pdu); err != nil {
		t.Fatal(err)
	}
	change(&pdu)
	return marshal(t, pdu)
}

func marshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// clear is a part in the clear.
func clear(t testing.TB, bags ...safeBag) contentInfo {
	t.Helper()
	part, err := dataPart(marshal(t, bags))
	if err != nil {
		t.Fatal(err)
	}
	return part
}

// sealed is something encrypted, by a scheme of one's own.
func sealed(t testing.TB, a pkix.AlgorithmIdentifier, data []byte) contentInfo {
	t.Helper()
	content := marshal(t, encryptedData{Info: encryptedInfo{Type: ids(1, 7, 1), Algorithm: a, Data: data}})
	return contentInfo{ids(1, 7, 6), explicit(content)}
}

// pfxOf is a PFX of some parts, whose MAC is right.
func pfxOf(t testing.TB, passphrase string, parts ...contentInfo) []byte {
	t.Helper()
	der, err := wrapParts(parts, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func ids(last ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113549}, last...)
}

func identifier(t testing.TB, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: marshal(t, params)}}
}

// pbkdf2Of is that of a file, with a hash by the last number of its identifier.
func pbkdf2Of(t testing.TB, iterations int64, keyLength, hash int) pkix.AlgorithmIdentifier {
	t.Helper()
	return identifier(t, ids(1, 5, 12), struct {
		Salt       []byte
		Iterations int64
		KeyLength  int `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier
	}{[]byte("saltsalt"), iterations, keyLength, pkix.AlgorithmIdentifier{Algorithm: ids(2, hash)}})
}

// pkcs12Of is one of PKCS#12's own schemes, by the last number of its
// identifier.
func pkcs12Of(t testing.TB, last int) pkix.AlgorithmIdentifier {
	t.Helper()
	return identifier(t, ids(1, 12, 1, last), struct {
		Salt       []byte
		Iterations int
	}{[]byte("saltsalt"), 1})
}

// pbes2 is AES-256 with an initial vector of noughts.
func pbes2(t testing.TB, kdf pkix.AlgorithmIdentifier) pkix.AlgorithmIdentifier {
	t.Helper()
	aes := identifier(t, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, make([]byte, 16))
	return identifier(t, ids(1, 5, 13), []pkix.AlgorithmIdentifier{kdf, aes})
}

func keyBag(t testing.TB, key crypto.Signer) safeBag {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return safeBag{ID: ids(1, 12, 10, 1, 1), Value: explicit(der)}
}

// sealedKeyBag is a key that nothing opens.
func sealedKeyBag(t testing.TB, a pkix.AlgorithmIdentifier) safeBag {
	t.Helper()
	return safeBag{ID: ids(1, 12, 10, 1, 2), Value: explicit(marshal(t, encryptedKey{a, make([]byte, 64)}))}
}

func certBag(t testing.TB, c *x509.Certificate) safeBag {
	t.Helper()
	return safeBag{ID: ids(1, 12, 10, 1, 3), Value: explicit(marshal(t, struct {
		ID   asn1.ObjectIdentifier
		Data []byte `asn1:"tag:0,explicit"`
	}{ids(1, 9, 22, 1), c.Raw}))}
}

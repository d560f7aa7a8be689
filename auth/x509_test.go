package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// TestParseX509 reads keys of every kind in every plain form, with chains in
// every order, and expects the chain from the leaf up.
func TestParseX509(t *testing.T) {
	root := newIssuer(t, "root", nil)
	upper := newIssuer(t, "upper", root)
	lower := newIssuer(t, "lower", upper)
	for kind, key := range newKeys(t) {
		leaf := newLeaf(t, "dev1", lower, key)
		forms := map[string][]byte{"PKCS#8": keyPEM(t, key)}
		switch key := key.(type) {
		case *rsa.PrivateKey:
			forms["PKCS#1"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			params := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
			forms["SEC 1"] = append([]byte(params), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
		}
		for form, text := range forms {
			for _, tt := range []struct {
				what string
				file []byte
				want []string
			}{
				{"the leaf alone", certPEM(leaf), []string{"dev1"}},
				{"leaf first", certPEM(leaf, lower, upper, root), []string{"dev1", "lower", "upper", "root"}},
				{"root first", certPEM(root, upper, lower, leaf), []string{"dev1", "lower", "upper", "root"}},
				{"without the root", certPEM(upper, leaf, lower), []string{"dev1", "lower", "upper"}},
				{"one twice, with text between", append(append([]byte("Bag Attributes\n"), certPEM(lower, leaf)...), certPEM(lower)...), []string{"dev1", "lower"}},
			} {
				t.Run(kind+" "+form+" "+tt.what, func(t *testing.T) {
					cert, err := auth.ParseX509(tt.file, text, nil)
					if err != nil {
						t.Fatal(err)
					}
					if got := names(t, cert); !slices.Equal(got, tt.want) {
						t.Errorf("presented is %q, want %q", got, tt.want)
					}
					if err := auth.CheckCertificate(own.Key{}, &cert, midway); err != nil {
						t.Errorf("CheckCertificate: %v", err)
					}
					if _, err := auth.ParseX509(append(tt.file, text...), nil, nil); err != nil {
						t.Errorf("key and certificates in one file: %v", err)
					}
				})
			}
		}
	}
}

// TestParseX509Errors holds that each broken input has its own message, that
// says what is wrong by name, and holds nothing of the key.
// TestNamesAreTexts: CAs write one name in two encodings, and hubs take both.
func TestNamesAreTexts(t *testing.T) {
	root := newIssuer(t, "Plant CA", nil) // in a PrintableString
	key := newECKey(t)
	for _, tt := range []struct {
		text string
		tag  int
		ok   bool
	}{
		{"Plant CA", asn1.TagUTF8String, true},
		{"plant  ca", asn1.TagPrintableString, true},
		{"Plant CA", asn1.TagT61String, true},
		{"Plant CB", asn1.TagUTF8String, false},
	} {
		set, err := asn1.MarshalWithParams([]struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}{{asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.RawValue{Tag: tt.tag, Bytes: []byte(tt.text)}}}, "set")
		if err != nil {
			t.Fatal(err)
		}
		other := *root.cert
		if other.RawSubject, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: set}); err != nil {
			t.Fatal(err)
		}
		leaf := newLeaf(t, "dev1", &issuer{&other, root.key}, key)
		cert, err := auth.ParseX509(certPEM(leaf, root), keyPEM(t, key), nil)
		if tt.ok && (err != nil || len(cert.Certificate) != 2) || !tt.ok && !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("issued by %q of tag %d: got %v", tt.text, tt.tag, err)
		}
	}
	impostor := newIssuer(t, "Plant CA", nil)
	_, err := auth.ParseX509(certPEM(newLeaf(t, "dev1", root, key), impostor), keyPEM(t, key), nil)
	wantError(t, err, auth.ErrInvalid, "by another of that name")
}

func TestParseX509Errors(t *testing.T) {
	root := newIssuer(t, "root", nil)
	upper := newIssuer(t, "upper", root)
	lower := newIssuer(t, "lower", upper)
	again := newIssuer(t, "lower", upper) // the same name, another key
	stranger := newIssuer(t, "stranger", nil)
	key := newECKey(t)
	leaf, self := newLeaf(t, "dev1", lower, key), newLeaf(t, "self", nil, key)
	plain := keyPEM(t, key)
	block, _ := pem.Decode(plain)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes})
	legacy := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: block.Bytes})
	refuses := func(*pem.Block, string) (crypto.Signer, error) { return nil, auth.ErrInvalid }
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	many := certPEM(slices.Repeat([]*issuer{leaf}, 17)...)

	for _, tt := range []struct {
		what      string
		cert, key []byte
		opts      *auth.X509Options
		says      string
	}{
		{"nothing", nil, plain, nil, `no "CERTIFICATE" block`},
		{"DER in place of PEM", leaf.cert.Raw, plain, nil, "not in PEM"},
		{"the key in place of the certificate", plain, plain, nil, `no "CERTIFICATE" block`},
		{"a certificate cut short", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.cert.Raw[:99]}), plain, nil, "certificate 1 in the file cannot be read"},
		{"a huge file", make([]byte, 257<<10), plain, nil, "at most 262144 are read"},
		{"too many certificates", many, plain, nil, "more than 16 certificates"},
		{"no key", certPEM(leaf), certPEM(leaf), nil, "no private key in PEM"},
		{"a huge key", certPEM(leaf), make([]byte, 257<<10), nil, "the key has"},
		{"two keys", certPEM(leaf), append(slices.Clone(plain), plain...), nil, "two private keys"},
		{"a key cut short", certPEM(leaf), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes[:50]}), nil, "cannot be read"},
		{"OpenSSH's key", certPEM(leaf), pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("x")}), nil, "ssh-keygen -p -m PKCS8"},
		{"an encrypted key and no way to open it", certPEM(leaf), encrypted, nil, "X509Options.Decrypt"},
		{"a key encrypted in the old way", certPEM(leaf), legacy, nil, "X509Options.Decrypt"},
		{"an encrypted key and no passphrase", certPEM(leaf), encrypted, &auth.X509Options{Decrypt: refuses}, "no passphrase"},
		{"another key", certPEM(leaf), keyPEM(t, newECKey(t)), nil, `not that of the certificate of "CN=dev1"`},
		{"another kind of key", certPEM(leaf), keyPEM(t, newKeys(t)["RSA"]), nil, `not that of the certificate of "CN=dev1"`},
		{"a missing intermediate", certPEM(leaf, upper, root), plain, nil, `"CN=lower" issued the certificate of "CN=dev1"`},
		{"a missing upper intermediate", certPEM(leaf, lower, root), plain, nil, `"CN=upper" issued the certificate of "CN=lower"`},
		{"an intermediate of the same name", certPEM(leaf, again), plain, nil, "another of that name"},
		{"a stranger beside the chain", certPEM(leaf, lower, upper, root, stranger), plain, nil, `"CN=stranger" is no part of the chain`},
		{"a CA beside a self-signed certificate", certPEM(self, root), plain, nil, `"CN=root" is no part of the chain`},
		{"no way to the hub's root", certPEM(leaf), plain, &auth.X509Options{Roots: roots}, `"CN=lower" issued the certificate of "CN=dev1"; add that intermediate`},
		{"half a way to the hub's root", certPEM(leaf, lower), plain, &auth.X509Options{Roots: roots}, `"CN=upper" issued the certificate of "CN=lower"`},
		{"self-signed, where the hub's root is known", certPEM(self), plain, &auth.X509Options{Roots: roots}, "none of the given roots"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			_, err := auth.ParseX509(tt.cert, tt.key, tt.opts)
			wantError(t, err, auth.ErrInvalid, tt.says)
			for _, secret := range []string{string(plain[40:60]), fmt.Sprintf("%x", block.Bytes[40:50])} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%v holds a part of the key", err)
				}
			}
		})
	}
	if _, err := auth.ParseX509(certPEM(leaf, lower, upper), plain, &auth.X509Options{Roots: roots}); err != nil {
		t.Errorf("the whole way to the hub's root: %v", err)
	}
}

// TestDecryptIsAsked holds what the opener of encrypted keys gets.
func TestDecryptIsAsked(t *testing.T) {
	key := newECKey(t)
	opts := &auth.X509Options{Passphrase: "open sesame", Decrypt: func(b *pem.Block, passphrase string) (crypto.Signer, error) {
		if b.Type != "ENCRYPTED PRIVATE KEY" || string(b.Bytes) != "sealed" || passphrase != "open sesame" {
			t.Errorf("got a block %q of %q with %q", b.Type, b.Bytes, passphrase)
		}
		return key, nil
	}}
	text := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("sealed")})
	cert, err := auth.ParseX509(certPEM(newLeaf(t, "dev1", nil, key)), text, opts)
	if err != nil || cert.PrivateKey != key {
		t.Errorf("got key %v, %v", cert.PrivateKey, err)
	}
}

// hardware is a key that only signs.
type hardware struct{ key crypto.Signer }

func (h hardware) Public() crypto.PublicKey { return h.key.Public() }
func (h hardware) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return h.key.Sign(r, digest, o)
}

// odd is a key whose public half nobody can compare.
type odd struct{ hardware }

func (odd) Public() crypto.PublicKey { return "no key" }

func TestKeyInHardware(t *testing.T) {
	key := hardware{newECKey(t)}
	leaf := newLeaf(t, "dev1", nil, key)
	cert, err := auth.ParseX509(certPEM(leaf), nil, &auth.X509Options{Key: key})
	if err != nil || cert.PrivateKey != crypto.PrivateKey(key) {
		t.Fatalf("got %v, %v", cert.PrivateKey, err)
	}
	got, err := auth.CertificateOf(t.Context(), auth.X509(cert))
	if err != nil || got.PrivateKey != crypto.PrivateKey(key) {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = auth.ParseX509(certPEM(leaf), nil, &auth.X509Options{Key: hardware{newECKey(t)}})
	wantError(t, err, auth.ErrInvalid, `not that of the certificate of "CN=dev1"`)
	_, err = auth.ParseX509(certPEM(leaf), nil, &auth.X509Options{Key: odd{key}})
	wantError(t, err, auth.ErrInvalid, "public half")
	_, err = auth.NewCertificate(own.Key{}, nil, key, nil)
	wantError(t, err, auth.ErrInvalid, "no client certificate")
	_, err = auth.AsSigner(own.Key{}, "what a reader returned")
	wantError(t, err, auth.ErrInvalid, "string")
}

func TestCheckCertificate(t *testing.T) {
	root := newIssuer(t, "root", nil)
	short := issue(t, "short", root, newECKey(t), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.NotAfter = true, true, midway
	})
	key := newECKey(t)
	leaf := newLeaf(t, "dev1", nil, key)
	below := newLeaf(t, "dev2", short, key)
	one := tls.Certificate{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: key}
	two := tls.Certificate{Certificate: [][]byte{below.cert.Raw, short.cert.Raw}, PrivateKey: key}
	with := func(c tls.Certificate, change func(*tls.Certificate)) *tls.Certificate {
		change(&c)
		return &c
	}
	for _, tt := range []struct {
		what string
		cert *tls.Certificate
		now  time.Time
		want error
		says string
	}{
		{"its first second", &one, certFrom, nil, ""},
		{"its last second", &one, certUntil, nil, ""},
		{"before it begins", &one, certFrom.Add(-time.Second), auth.ErrCertificateNotYetValid, `"CN=dev1" begins at 2026-01-01T00:00:00Z, and the clock says 2025-12-31T23:59:59Z`},
		{"after its end", &one, certUntil.Add(time.Second), auth.ErrCertificateExpired, `"CN=dev1" ended at 2027-01-01T00:00:00Z`},
		{"the end of an intermediate", &two, midway, nil, ""},
		{"after the end of an intermediate", &two, midway.Add(time.Hour), auth.ErrCertificateExpired, `"CN=short" ended`},
		{"none", nil, midway, auth.ErrInvalid, "no client certificate"},
		{"an empty one", &tls.Certificate{}, midway, auth.ErrInvalid, "no client certificate"},
		{"rubbish", &tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: key}, midway, auth.ErrInvalid, "cannot be read"},
		{"rubbish above", with(two, func(c *tls.Certificate) { c.Certificate = [][]byte{below.cert.Raw, {1}} }), midway, auth.ErrInvalid, "certificate 2 of 2"},
		{"no key", with(one, func(c *tls.Certificate) { c.PrivateKey = nil }), midway, auth.ErrInvalid, "no private key"},
		{"another key", with(one, func(c *tls.Certificate) { c.PrivateKey = newECKey(t) }), midway, auth.ErrInvalid, "not that of"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			err := auth.CheckCertificate(own.Key{}, tt.cert, tt.now)
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, tt.want, tt.says)
		})
	}
}

func TestX509Credential(t *testing.T) {
	key := newECKey(t)
	cred := auth.X509(tls.Certificate{Certificate: [][]byte{newLeaf(t, "dev1", nil, key).cert.Raw}, PrivateKey: key})
	cert, err := auth.CertificateOf(t.Context(), cred)
	if err != nil || cert.Leaf.Subject.CommonName != "dev1" {
		t.Errorf("got %v, %v", cert, err)
	}
	if token, err := auth.TokenOf(t.Context(), cred, hub, midway); !token.IsZero() || err != nil {
		t.Errorf("Token: %v, %v; want none", token, err)
	}
	_, err = auth.CertificateOf(t.Context(), auth.X509(tls.Certificate{}))
	wantError(t, err, auth.ErrInvalid, "no client certificate")
	_, err = auth.CertificateOf(canceled(t), cred)
	if !errors.Is(err, canceled(t).Err()) {
		t.Errorf("with an ended context: %v", err)
	}
}

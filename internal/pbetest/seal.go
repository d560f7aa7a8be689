// Package pbetest encrypts keys for tests, as tools of people's do; the library
// itself only opens them.
package pbetest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
)

// keySize of AES-256 in bytes.
const keySize = 32

// Options of Seal; nil are the usual ones.
type Options struct {
	// Iterations of PBKDF2; zero means 2048, as openssl has it.
	Iterations int
	// SayKeyLength writes the length of the key, too, which is optional.
	SayKeyLength bool
}

// Seal encrypts a key in PKCS#8 by a passphrase: PBES2 (RFC 8018) by PBKDF2 with
// HMAC-SHA-256, and AES-256 in CBC mode.
func Seal(key []byte, passphrase string, opts *Options) (*pem.Block, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Iterations == 0 {
		o.Iterations = 2048
	}
	salt, iv := random(16), random(aes.BlockSize)
	derived, err := pbkdf2.Key(sha256.New, passphrase, salt, o.Iterations, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(key)%aes.BlockSize
	data := append(bytes.Clone(key), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	kdf := pbkdf2Params{Salt: salt, Iterations: o.Iterations, PRF: pkix.AlgorithmIdentifier{
		Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, Parameters: asn1.NullRawValue,
	}}
	if o.SayKeyLength {
		kdf.KeyLength = keySize
	}
	var w writer
	der := w.write(encryptedKey{
		w.algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, pbes2Params{
			w.algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, kdf),
			w.algorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, iv),
		}),
		data,
	})
	return &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}, w.err
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return b
}

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct{ KDF, Cipher pkix.AlgorithmIdentifier }

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier
}

// A writer writes DER, and keeps the first error.
type writer struct{ err error }

func (w *writer) write(v any) []byte {
	der, err := asn1.Marshal(v)
	if w.err == nil {
		w.err = err
	}
	return der
}

func (w *writer) algorithm(oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: w.write(params)}}
}

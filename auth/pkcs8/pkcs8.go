// Package pkcs8 opens private keys that are encrypted by a passphrase. It is
// linked only by firmware that names it:
//
//	auth.X509Files("device.crt", "device.key", &auth.X509Options{
//		Passphrase: passphrase,
//		Decrypt:    pkcs8.Decrypt,
//	})
//
// # What it opens
//
// ENCRYPTED PRIVATE KEY (PKCS#8) by PBES2, which is what openssl has written
// since 1.1.0: AES-128, -192, -256 or 3DES in CBC mode, with a key from PBKDF2
// with HMAC over SHA-1 or any SHA-2, or from scrypt. And the PEM encryption of
// RFC 1421 (Proc-Type: 4,ENCRYPTED), which older tools write: DES, 3DES,
// AES-128, -192 or -256 in CBC mode. That one protects little, for its key costs
// nothing to guess; it is here because such files are. Anything else is an error
// that names it, and the command that turns it into what is read.
//
// # What a file may cost
//
// The file says how dear its derivation is, and a hostile or careless one could
// keep a board busy for days, or take all of its memory. That is looked at
// first: at most 2,000,000 iterations of PBKDF2, and 32 MB and N·r·p = 1,048,576
// of scrypt, which is some 30 s of a slow core (Cortex-A7, by estimate). Usual
// files take well under a second. [Decrypt] cannot be stopped while it derives.
//
// The algorithms are those of the standard library, and scrypt that of
// golang.org/x/crypto.
package pkcs8

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/internal/pbe"
)

// maxKey bounds a key; one of RSA with 16384 bits has some 9 KB.
const maxKey = 64 << 10

// anew is the command that turns any key into what is read here.
const anew = "encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD -out NEW"

// Decrypt opens an encrypted private key; it fits auth.X509Options.Decrypt. The
// passphrase is the bytes that the key was encrypted with: UTF-8 from today's
// tools. The key is RSA, ECDSA or Ed25519.
//
// Errors match auth.ErrInvalid, say what to do, and hold no part of the key or
// the passphrase. A wrong passphrase and a damaged key cannot be told apart.
// Decrypt may be called concurrently; each call takes its own memory.
func Decrypt(block *pem.Block, passphrase string) (crypto.Signer, error) {
	switch {
	case block == nil:
		return nil, fmt.Errorf("%w: there is no private key in PEM; give the file with the PRIVATE KEY block", auth.ErrInvalid)
	case len(block.Bytes) > maxKey:
		return nil, fmt.Errorf("%w: the private key has %d bytes; at most %d are read", auth.ErrInvalid, len(block.Bytes), maxKey)
	case passphrase == "":
		return nil, fmt.Errorf("%w: the private key is encrypted, and there is no passphrase", auth.ErrInvalid)
	case isLegacy(block):
		return decryptLegacy(block, passphrase)
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return decryptPBES2(block.Bytes, passphrase)
	}
	return nil, fmt.Errorf("%w: the private key in the %.60q block is not encrypted in a way that is known; give it without a passphrase, or %s", auth.ErrInvalid, block.Type, anew)
}

// encryptedKey is EncryptedPrivateKeyInfo of RFC 5958, section 3.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

func decryptPBES2(der []byte, passphrase string) (crypto.Signer, error) {
	s, data, err := check(der)
	if err != nil {
		return nil, err
	}
	opened, err := open(s, data, passphrase)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(opened)
	if err != nil {
		return nil, wrong()
	}
	return auth.AsSigner(own.Key{}, key)
}

// check reads an encrypted key up to what only the passphrase opens: how it is
// encrypted, at a cost within the bounds, and whole blocks of ciphertext.
func check(der []byte) (pbe.Scheme, []byte, error) {
	var key encryptedKey
	rest, err := asn1.Unmarshal(der, &key)
	if err != nil || len(rest) > 0 {
		return pbe.Scheme{}, nil, fmt.Errorf("%w: the encrypted private key cannot be read: cut, or damaged; copy the file anew", auth.ErrInvalid)
	}
	s, err := pbe.Parse(key.Algorithm)
	if err != nil {
		return pbe.Scheme{}, nil, fmt.Errorf("pkcs8: the encrypted private key: %w", errtext.Bare("auth", err))
	}
	if s.KDF == pbe.PKCS12 {
		return pbe.Scheme{}, nil, fmt.Errorf("%w: the private key is encrypted in the old way of PKCS#12 (%s), which is not read here; %s", auth.ErrInvalid, s.Cipher, anew)
	}
	if err := s.CheckData(key.Data); err != nil {
		return pbe.Scheme{}, nil, fmt.Errorf("pkcs8: the encrypted private key: %w", errtext.Bare("auth", err))
	}
	return s, key.Data, nil
}

// wrong is what a wrong passphrase looks like. CBC has no check of its own: it
// decrypts to rubbish, which may even look padded, but is no key.
func wrong() error {
	return fmt.Errorf("%w: the passphrase does not open the private key; check it, and that it is this file's (a damaged file, or a key of a kind that TLS does not know, looks the same)", auth.ErrInvalid)
}

package pkcs8

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// isLegacy reports whether a block is encrypted in the way of RFC 1421, section
// 4.6.1.1.
func isLegacy(b *pem.Block) bool { return strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") }

// decryptLegacy opens a key whose PEM headers say how. Its derivation is one
// round of MD5, so it costs nothing.
func decryptLegacy(b *pem.Block, passphrase string) (crypto.Signer, error) {
	name, iv, ok := strings.Cut(b.Headers["DEK-Info"], ",")
	if !ok {
		return nil, fmt.Errorf("%w: the private key says that it is encrypted, and has no DEK-Info header that says how: cut; copy the file anew", auth.ErrInvalid)
	}
	block := blockSize(name)
	switch {
	case block == 0:
		return nil, fmt.Errorf("%w: the private key is encrypted by %.60q; DES-CBC, DES-EDE3-CBC, AES-128-CBC, AES-192-CBC and AES-256-CBC are read; %s", auth.ErrInvalid, name, anew)
	case len(iv) != 2*block:
		return nil, fmt.Errorf("%w: the DEK-Info header of the private key has an initial vector of %d digits in place of %d: damaged; copy the file anew", auth.ErrInvalid, len(iv), 2*block)
	case len(b.Bytes) == 0 || len(b.Bytes)%block != 0:
		return nil, fmt.Errorf("%w: the encrypted private key has %d bytes, and no whole number of blocks: cut, or damaged; copy the file anew", auth.ErrInvalid, len(b.Bytes))
	}
	//lint:ignore SA1019 It is deprecated because it does not notice a changed file; here a key that fits its certificate is the proof. No other function reads such files.
	der, err := x509.DecryptPEMBlock(b, []byte(passphrase))
	if err != nil {
		return nil, wrong()
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return auth.AsSigner(own.Key{}, key)
	}
	return nil, wrong()
}

// blockSize of a cipher of RFC 1421's kind in bytes; 0 when it is not known.
func blockSize(name string) int {
	switch name {
	case "DES-CBC", "DES-EDE3-CBC":
		return 8
	case "AES-128-CBC", "AES-192-CBC", "AES-256-CBC":
		return 16
	}
	return 0
}

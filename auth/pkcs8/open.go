package pkcs8

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/pbe"
)

// open decrypts what PBES2 has encrypted (RFC 8018, section 6.2.2), by a scheme
// that is checked. The data stays as it is.
func open(s pbe.Scheme, data []byte, passphrase string) ([]byte, error) {
	key, err := derive(s, passphrase)
	if err != nil {
		return nil, err
	}
	block, err := cipherFor(s, key)
	if err != nil {
		return nil, cannot(err)
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, s.IV).CryptBlocks(plain, data)
	// RFC 8018, section 6.1.1, step 4: as many bytes as were missing in the last
	// block, at least one, each of which is their number.
	n := int(plain[len(plain)-1])
	if n < 1 || n > s.BlockSize || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, wrong()
	}
	return plain[:len(plain)-n], nil
}

// derive makes the cipher's key.
func derive(s pbe.Scheme, passphrase string) ([]byte, error) {
	var key []byte
	var err error
	if s.KDF == pbe.Scrypt {
		key, err = scrypt.Key([]byte(passphrase), s.Salt, s.N, s.R, s.P, s.KeySize)
	} else if h := hashOf(s.PRF); h != nil {
		key, err = pbkdf2.Key(h, passphrase, s.Salt, s.Iterations, s.KeySize)
	} else {
		err = fmt.Errorf("PBKDF2 with %s is not read; %s", s.PRF, anew)
	}
	if err != nil {
		return nil, cannot(err)
	}
	return key, nil
}

// hashOf is the hash below an HMAC; nil for one that is not known.
func hashOf(prf string) func() hash.Hash {
	switch prf {
	case "HMAC-SHA1":
		return sha1.New
	case "HMAC-SHA224":
		return sha256.New224
	case "HMAC-SHA256":
		return sha256.New
	case "HMAC-SHA384":
		return sha512.New384
	case "HMAC-SHA512":
		return sha512.New
	case "HMAC-SHA512-224":
		return sha512.New512_224
	case "HMAC-SHA512-256":
		return sha512.New512_256
	}
	return nil
}

// cipherFor is the block cipher, whose sizes the scheme has said.
func cipherFor(s pbe.Scheme, key []byte) (cipher.Block, error) {
	if s.BlockSize == des.BlockSize {
		return des.NewTripleDESCipher(key)
	}
	return aes.NewCipher(key)
}

// cannot is an algorithm that does not run here: Go in its FIPS 140-3 mode
// allows neither 3DES nor a short salt.
func cannot(err error) error {
	return fmt.Errorf("%w: the private key cannot be opened by this program: %w", auth.ErrInvalid, err)
}

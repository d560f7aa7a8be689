// Package pbe reads how a key or a PFX was encrypted by a passphrase, and
// refuses what would cost a board too much, before anything is derived. It
// derives and decrypts nothing itself.
package pbe

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/bits"

	"github.com/devicetwin/devicetwin-go/auth"
)

// What a file may cost. It is read by a board of 64 MB and one slow core, and
// whoever can write the file chooses the numbers in it.
const (
	// MaxIterations of PBKDF2 and of PKCS#12's own derivation. OWASP asked in
	// 2023 for 600,000 (SHA-256) and 1,300,000 (SHA-1), and openssl's default is
	// 2,048. In portable Go and 32 bits, on a desk's x86-64 core, an iteration for
	// AES-256 takes 0.9 µs (SHA-256), 1.0 µs (SHA-1) or, at most, 2.7 µs (SHA-512);
	// a Cortex-A7 is taken to be five times slower, which makes some 30 s of all of
	// them.
	MaxIterations = 2_000_000
	// MaxMemory is what scrypt may take, in bytes: half a small board. openssl's
	// default (N = 16384, r = 8) takes 16 MB.
	MaxMemory = 32 << 20

	maxWork   = 1 << 20 // N·r·p of scrypt, eight times openssl's default
	maxFactor = 64      // r and p of scrypt; both are small in practice
	maxSalt   = 1 << 10 // bytes; 8 to 32 in practice
	minSalt   = 1       // a file without a salt was not made by a sane tool
)

// The ways to derive a key, as Scheme names them.
const (
	PBKDF2 = "PBKDF2"
	Scrypt = "scrypt"
	PKCS12 = "PKCS#12" // its own, with SHA-1: RFC 7292, appendix B
)

// A Scheme is how something was encrypted, checked: all of its costs are within
// the bounds, and its sizes fit.
type Scheme struct {
	// KDF is PBKDF2, Scrypt or PKCS12.
	KDF string
	// PRF of PBKDF2, such as "HMAC-SHA256"; else empty.
	PRF string
	// Salt of the derivation, 1 to 1024 bytes.
	Salt []byte
	// Iterations of PBKDF2 and PKCS12, at least 1; else 0.
	Iterations int
	// N, R and P of Scrypt, N a power of two; else 0.
	N, R, P int
	// Cipher, such as "AES-256-CBC".
	Cipher string
	// KeySize and BlockSize of the cipher in bytes. KeySize is 0 for PKCS12.
	KeySize, BlockSize int
	// IV of the cipher, BlockSize bytes; nil for PKCS12, which derives it.
	IV []byte
}

// Memory is what Scrypt takes, in bytes, at most MaxMemory; 0 for the others.
func (s Scheme) Memory() int { return 128 * s.N * s.R }

// CheckData says whether a ciphertext can be one of the scheme's cipher.
func (s Scheme) CheckData(data []byte) error {
	if len(data) == 0 || len(data)%s.BlockSize != 0 {
		return fmt.Errorf("%w: what %s encrypted is %d bytes, and no whole number of blocks: cut, or damaged; copy the file anew", auth.ErrInvalid, s.Cipher, len(data))
	}
	return nil
}

// Object identifiers by their texts.
const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
	oidScrypt = "1.3.6.1.4.1.11591.4.11"
)

// Parse reads the algorithm of something encrypted: PBES2 (RFC 8018) or one of
// PKCS#12's own. Errors match auth.ErrInvalid.
func Parse(a pkix.AlgorithmIdentifier) (Scheme, error) {
	oid := a.Algorithm.String()
	if oid == oidPBES2 {
		return parsePBES2(a)
	}
	if name, ok := pkcs12Cipher(oid); ok {
		return parsePKCS12(a, name)
	}
	if name, ok := pbes1(oid); ok {
		return Scheme{}, fmt.Errorf("%w: it is encrypted by %s (PBES1), which is too weak; encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW", auth.ErrInvalid, name)
	}
	return Scheme{}, fmt.Errorf("%w: it is encrypted by an algorithm that is not known (%.60s); encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW", auth.ErrInvalid, oid)
}

type pbes2Params struct{ KDF, Encryption pkix.AlgorithmIdentifier }

func parsePBES2(a pkix.AlgorithmIdentifier) (Scheme, error) {
	var p pbes2Params
	if err := unmarshal(a.Parameters.FullBytes, &p, "PBES2"); err != nil {
		return Scheme{}, err
	}
	c, ok := cipherOf(p.Encryption.Algorithm.String())
	if !ok {
		return Scheme{}, fmt.Errorf("%w: it is encrypted by a cipher that is not known (%.60s); AES-128, -192, -256 and 3DES in CBC mode are", auth.ErrInvalid, p.Encryption.Algorithm)
	}
	s := Scheme{Cipher: c.name, KeySize: c.key, BlockSize: c.block}
	if err := unmarshal(p.Encryption.Parameters.FullBytes, &s.IV, c.name); err != nil {
		return Scheme{}, err
	}
	if len(s.IV) != c.block {
		return Scheme{}, fmt.Errorf("%w: the initial vector of %s has %d bytes in place of %d: damaged; copy the file anew", auth.ErrInvalid, c.name, len(s.IV), c.block)
	}
	var err error
	switch p.KDF.Algorithm.String() {
	case oidPBKDF2:
		err = s.readPBKDF2(p.KDF)
	case oidScrypt:
		err = s.readScrypt(p.KDF)
	default:
		err = fmt.Errorf("%w: the key is derived by a function that is not known (%.60s); PBKDF2 and scrypt are", auth.ErrInvalid, p.KDF.Algorithm)
	}
	if err != nil {
		return Scheme{}, err
	}
	return s, nil
}

// pbkdf2Params are of RFC 8018, appendix A.2. The salt may also be an
// algorithm, which nobody uses.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int64
	KeyLength  int64                    `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

func (s *Scheme) readPBKDF2(kdf pkix.AlgorithmIdentifier) error {
	k, err := ParsePBKDF2(kdf)
	if err != nil {
		return err
	}
	s.KDF, s.PRF, s.Salt, s.Iterations = PBKDF2, k.PRF, k.Salt, k.Iterations
	return s.checkKeyLength(k.KeyLength)
}

// A KDF is the parameters of PBKDF2, checked.
type KDF struct {
	// Iterations are 1 to MaxIterations.
	Iterations int
	// Salt, 1 to 1024 bytes.
	Salt []byte
	// PRF, such as "HMAC-SHA256".
	PRF string
	// KeyLength in bytes; 0 when it is not said.
	KeyLength int64
}

// ParsePBKDF2 reads the parameters of PBKDF2, where it stands for itself: in
// PBMAC1 (RFC 9579). Any other function is an error.
func ParsePBKDF2(a pkix.AlgorithmIdentifier) (KDF, error) {
	if oid := a.Algorithm.String(); oid != oidPBKDF2 {
		return KDF{}, fmt.Errorf("%w: the key is derived by a function that is not known here (%.60s); PBKDF2 is", auth.ErrInvalid, oid)
	}
	var p pbkdf2Params
	if err := unmarshal(a.Parameters.FullBytes, &p, PBKDF2); err != nil {
		return KDF{}, err
	}
	name, ok := prf(p.PRF.Algorithm.String())
	if !ok {
		return KDF{}, fmt.Errorf("%w: PBKDF2 with a hash that is not known (%.60s)", auth.ErrInvalid, p.PRF.Algorithm)
	}
	if err := CheckCost(p.Salt, p.Iterations); err != nil {
		return KDF{}, err
	}
	return KDF{Iterations: int(p.Iterations), Salt: p.Salt, PRF: name, KeyLength: p.KeyLength}, nil
}

// scryptParams are of RFC 7914, section 7.
type scryptParams struct {
	Salt      []byte
	N, R, P   int64
	KeyLength int64 `asn1:"optional"`
}

func (s *Scheme) readScrypt(kdf pkix.AlgorithmIdentifier) error {
	var p scryptParams
	if err := unmarshal(kdf.Parameters.FullBytes, &p, Scrypt); err != nil {
		return err
	}
	if err := s.checkKeyLength(p.KeyLength); err != nil {
		return err
	}
	if err := checkSalt(p.Salt); err != nil {
		return err
	}
	switch {
	// N first: with it and r and p bounded, no product overflows.
	case p.N < 2 || p.N > maxWork || bits.OnesCount64(uint64(p.N)) != 1,
		p.R < 1 || p.R > maxFactor, p.P < 1 || p.P > maxFactor,
		128*p.N*p.R > MaxMemory, p.N*p.R*p.P > maxWork:
		return fmt.Errorf("%w: scrypt with N = %d, r = %d, p = %d costs too much here, or is none: it may take %d MB and N·r·p = %d; encrypt it anew: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW",
			auth.ErrInvalid, p.N, p.R, p.P, MaxMemory>>20, maxWork)
	}
	s.KDF, s.Salt, s.N, s.R, s.P = Scrypt, p.Salt, int(p.N), int(p.R), int(p.P)
	return nil
}

// pkcs12Params are of RFC 7292, appendix C.
type pkcs12Params struct {
	Salt       []byte
	Iterations int64
}

func parsePKCS12(a pkix.AlgorithmIdentifier, cipher string) (Scheme, error) {
	var p pkcs12Params
	if err := unmarshal(a.Parameters.FullBytes, &p, cipher); err != nil {
		return Scheme{}, err
	}
	if err := CheckCost(p.Salt, p.Iterations); err != nil {
		return Scheme{}, err
	}
	// Both ciphers of PKCS#12 have blocks of 64 bits.
	return Scheme{KDF: PKCS12, Salt: p.Salt, Iterations: int(p.Iterations), Cipher: cipher, BlockSize: 8}, nil
}

// CheckCost says whether a salt and a count of iterations are within the
// bounds.
func CheckCost(salt []byte, iterations int64) error {
	if err := checkSalt(salt); err != nil {
		return err
	}
	if iterations < 1 || iterations > MaxIterations {
		return fmt.Errorf("%w: its key is derived in %d iterations; 1 to %d are allowed, which takes a small board some 30 s; encrypt it anew with fewer (openssl: -iter 600000)", auth.ErrInvalid, iterations, MaxIterations)
	}
	return nil
}

func checkSalt(salt []byte) error {
	if len(salt) < minSalt || len(salt) > maxSalt {
		return fmt.Errorf("%w: its salt has %d bytes; %d to %d are allowed: damaged, or made by no known tool", auth.ErrInvalid, len(salt), minSalt, maxSalt)
	}
	return nil
}

// checkKeyLength compares the length of a key, which may be said or not, with
// what the cipher takes.
func (s *Scheme) checkKeyLength(said int64) error {
	if said != 0 && said != int64(s.KeySize) {
		return fmt.Errorf("%w: it derives a key of %d bytes for %s, which takes %d: damaged, or made by no known tool", auth.ErrInvalid, said, s.Cipher, s.KeySize)
	}
	return nil
}

// unmarshal reads DER whole.
func unmarshal(der []byte, into any, what string) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	if err != nil {
		return fmt.Errorf("%w: the parameters of %s cannot be read (%w): cut, or damaged; copy the file anew", auth.ErrInvalid, what, err)
	}
	return nil
}

package pfx

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/pbe"
)

// The structures of RFC 7292, section 4, and of RFC 2315.
type (
	pfxPDU struct {
		Version int
		Content contentInfo
		MAC     macData `asn1:"optional"`
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	macData struct {
		Digest     digestInfo
		Salt       []byte
		Iterations int64 `asn1:"optional,default:1"`
	}
	digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	encryptedData struct {
		Version int
		Info    encryptedInfo
	}
	encryptedInfo struct {
		Type      asn1.ObjectIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte `asn1:"tag:0,optional"`
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes []attribute   `asn1:"set,optional"`
	}
	attribute struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue `asn1:"set"`
	}
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbmac1 struct{ KDF, MAC pkix.AlgorithmIdentifier }
)

// Object identifiers by their texts.
const (
	oidData         = "1.2.840.113549.1.7.1"
	oidSigned       = "1.2.840.113549.1.7.2"
	oidEncrypted    = "1.2.840.113549.1.7.6"
	oidKeyBag       = "1.2.840.113549.1.12.10.1.1"
	oidSealedKeyBag = "1.2.840.113549.1.12.10.1.2"
	oidCertBag      = "1.2.840.113549.1.12.10.1.3"
	oidSHA1         = "1.3.14.3.2.26"
	oidSHA256       = "2.16.840.1.101.3.4.2.1"
	oidSHA512       = "2.16.840.1.101.3.4.2.3"
	oidPBMAC1       = "1.2.840.113549.1.5.14"
)

// Sizes of a key of PBMAC1 in bytes: a shorter one is no proof (RFC 9579,
// section 9), and none of these hashes is longer.
const (
	minMACKey = 20
	maxMACKey = 64
)

// A file is what a PFX shows without its passphrase. All costs in it are within
// the bounds.
type file struct {
	content   []byte // what the MAC is of
	hasMAC    bool
	encrypted []contentInfo // the parts that only the passphrase opens
	keys      int           // in the others
	certs     int

	iterations int // of all derivations together
}

// read reads a PFX up to what only the passphrase opens.
func read(der []byte) (*file, error) {
	if len(der) > maxFile {
		return nil, fmt.Errorf("%w: it has %d bytes; at most %d are read", auth.ErrInvalid, len(der), maxFile)
	}
	var pdu pfxPDU
	if rest, err := asn1.Unmarshal(der, &pdu); err != nil || len(rest) > 0 {
		return nil, unreadable(der)
	}
	switch kind := pdu.Content.Type.String(); {
	case pdu.Version != 3:
		return nil, fmt.Errorf("%w: it is of version %d; 3 is read, which everybody writes", auth.ErrInvalid, pdu.Version)
	case kind == oidSigned:
		return nil, fmt.Errorf("%w: it is protected by a signature in place of a passphrase, which is not read; %s", auth.ErrInvalid, anew)
	case kind != oidData:
		return nil, damaged("contents")
	}
	f := &file{hasMAC: len(pdu.MAC.Digest.Algorithm.Algorithm) > 0}
	if err := unmarshal(pdu.Content.Content.Bytes, &f.content, "contents"); err != nil {
		return nil, err
	}
	if f.hasMAC {
		if err := f.readMAC(pdu.MAC); err != nil {
			return nil, fmt.Errorf("its MAC: %w", errtext.Bare("auth", err))
		}
	}
	var parts []contentInfo
	if err := unmarshal(f.content, &parts, "list of parts"); err != nil {
		return nil, err
	}
	if len(parts) < 1 || len(parts) > 2 {
		return nil, fmt.Errorf("%w: it has %d parts; one or two are read; %s", auth.ErrInvalid, len(parts), anew)
	}
	for _, part := range parts {
		if err := f.readPart(part); err != nil {
			return nil, err
		}
	}
	if f.keys > 1 {
		return nil, fmt.Errorf("%w: there are %d private keys in it; export one alone", auth.ErrInvalid, f.keys)
	}
	return f, nil
}

func (f *file) readMAC(mac macData) error {
	algorithm := mac.Digest.Algorithm
	switch oid := algorithm.Algorithm.String(); oid {
	case oidSHA1, oidSHA256, oidSHA512:
		if err := pbe.CheckCost(mac.Salt, mac.Iterations); err != nil {
			return err
		}
		return f.spend(int(mac.Iterations))
	case oidPBMAC1:
		var p pbmac1
		if err := unmarshal(algorithm.Parameters.FullBytes, &p, "PBMAC1"); err != nil {
			return err
		}
		kdf, err := pbe.ParsePBKDF2(p.KDF)
		if err != nil {
			return err
		}
		if kdf.KeyLength < minMACKey || kdf.KeyLength > maxMACKey {
			return fmt.Errorf("%w: PBMAC1 with a key of %d bytes; %d to %d are safe; %s", auth.ErrInvalid, kdf.KeyLength, minMACKey, maxMACKey, anew)
		}
		if err := checkPRF(kdf.PRF); err != nil {
			return err
		}
		return f.spend(kdf.Iterations)
	default:
		return fmt.Errorf("%w: it is made by a hash that is not known (%.60s); SHA-1, SHA-256 and SHA-512 are read; %s", auth.ErrInvalid, oid, anew)
	}
}

func (f *file) readPart(part contentInfo) error {
	switch oid := part.Type.String(); oid {
	case oidData:
		var content []byte
		if err := unmarshal(part.Content.Bytes, &content, "part in the clear"); err != nil {
			return err
		}
		var bags []safeBag
		if err := unmarshal(content, &bags, "list of keys and certificates"); err != nil {
			return err
		}
		for _, bag := range bags {
			if err := f.readBag(bag); err != nil {
				return err
			}
		}
	case oidEncrypted:
		var data encryptedData
		if err := unmarshal(part.Content.Bytes, &data, "encrypted part"); err != nil {
			return err
		}
		if err := f.readScheme(data.Info.Algorithm, data.Info.Data); err != nil {
			return fmt.Errorf("its encrypted part: %w", errtext.Bare("auth", err))
		}
		f.encrypted = append(f.encrypted, part)
	default:
		return fmt.Errorf("%w: a part of it is of a kind that is not read (%.60s); parts for a passphrase are; %s", auth.ErrInvalid, oid, anew)
	}
	return nil
}

func (f *file) readBag(bag safeBag) error {
	switch bag.ID.String() {
	case oidKeyBag:
		f.keys++
	case oidCertBag:
		f.certs++
	case oidSealedKeyBag:
		f.keys++
		var key encryptedKey
		if err := unmarshal(bag.Value.Bytes, &key, "encrypted key"); err != nil {
			return err
		}
		if err := f.readScheme(key.Algorithm, key.Data); err != nil {
			return fmt.Errorf("its private key: %w", errtext.Bare("auth", err))
		}
	}
	// Others, such as revocation lists, are skipped.
	return nil
}

// readScheme reads how something is encrypted.
func (f *file) readScheme(a pkix.AlgorithmIdentifier, data []byte) error {
	s, err := pbe.Parse(a)
	if err != nil {
		return err
	}
	switch {
	case s.KDF == pbe.Scrypt, s.KDF == pbe.PKCS12 && s.Cipher == "2-key 3DES-CBC", s.KDF == pbe.PBKDF2 && s.Cipher == "3DES-CBC":
		return fmt.Errorf("%w: it is encrypted by %s with %s, which is not read; %s", auth.ErrInvalid, s.Cipher, s.KDF, anew)
	case s.KDF == pbe.PBKDF2:
		if err := checkPRF(s.PRF); err != nil {
			return err
		}
	}
	if err := s.CheckData(data); err != nil {
		return err
	}
	return f.spend(s.Iterations)
}

// checkPRF says whether the library knows the hash of PBKDF2.
func checkPRF(prf string) error {
	switch prf {
	case "HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512":
		return nil
	}
	return fmt.Errorf("%w: its key is derived by PBKDF2 with %s; HMAC-SHA1, HMAC-SHA256 and HMAC-SHA512 are read; %s", auth.ErrInvalid, prf, anew)
}

// spend counts the iterations of a derivation.
func (f *file) spend(iterations int) error {
	if f.iterations += iterations; f.iterations > pbe.MaxIterations {
		return fmt.Errorf("%w: its keys are derived in more than %d iterations together; write it anew with fewer (openssl: -iter 600000)", auth.ErrInvalid, pbe.MaxIterations)
	}
	return nil
}

func unmarshal(der []byte, into any, what string) error {
	if rest, err := asn1.Unmarshal(der, into); err != nil || len(rest) > 0 {
		return damaged(what)
	}
	return nil
}

func damaged(what string) error {
	return fmt.Errorf("%w: the %s cannot be read: it is damaged, or in BER in place of DER; copy the file anew, or %s", auth.ErrInvalid, what, anew)
}

// unreadable says what a file is that is no PFX.
func unreadable(der []byte) error {
	var whole asn1.RawValue
	text := bytes.TrimSpace(der)
	switch rest, err := asn1.Unmarshal(der, &whole); {
	case len(der) == 0:
		return fmt.Errorf("%w: it is empty; copy the file anew", auth.ErrInvalid)
	case bytes.Contains(der, []byte("-----BEGIN ")):
		return fmt.Errorf("%w: it is PEM, and no PFX; read it by auth.X509Files", auth.ErrInvalid)
	case bytes.HasPrefix(text, []byte("MI")):
		return fmt.Errorf("%w: it is in base64; decode it: base64 -d OLD > NEW", auth.ErrInvalid)
	case der[0] != 0x30:
		return fmt.Errorf("%w: this is no PFX; give the file that ends in .pfx or .p12", auth.ErrInvalid)
	case len(der) > 1 && der[1] == 0x80:
		return fmt.Errorf("%w: it is in BER in place of DER; %s", auth.ErrInvalid, anew)
	case err != nil:
		return fmt.Errorf("%w: it is cut: of %d bytes not all are there; copy the file anew", auth.ErrInvalid, len(der))
	case len(rest) > 0:
		return fmt.Errorf("%w: there are %d bytes after it; copy the file anew", auth.ErrInvalid, len(rest))
	}
	return fmt.Errorf("%w: it is no PFX, or damaged, or in BER within; give the file that ends in .pfx or .p12, or %s", auth.ErrInvalid, anew)
}

// Package pfx reads the certificate of a device, its chain and its key from a
// PFX file (PKCS#12, .pfx, .p12). It is linked only by firmware that names it.
//
// # What it reads
//
// What openssl, Windows and Java write: encrypted by PBES2 with AES (openssl 3,
// today's Windows and Java) or by PKCS#12's own RC2 and 3DES (before), with a
// MAC of SHA-1, SHA-256 or SHA-512, a PBMAC1 of these, or none. The file holds
// one key, which is RSA, ECDSA or Ed25519, and 1 to 16 certificates in one or
// two parts. It is DER; in BER, as some old tools write it, it is an error that
// says so.
//
// # What a file may cost
//
// At most 256 KB are read. The file says how dear its derivations are, and a
// hostile or careless one could keep a board busy for days. So all of them are
// looked at first: together they may have 2,000,000 iterations, each of which is
// done up to twice (of a MAC under an empty passphrase, up to four times). That
// is a minute or so of a slow core (Cortex-A7, by estimate), and well under a
// second for what openssl writes by default. A key within an encrypted part,
// which only who knows the passphrase can make, would hide its cost there: it is
// an error, and nothing is derived for it.
// [Parse] cannot be stopped while it derives.
//
// The algorithms are those of software.sslmate.com/src/go-pkcs12 and of the
// standard library. The former keeps its encoders in package variables, which
// are not used here.
package pfx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"unicode/utf8"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

const (
	maxFile  = 256 << 10 // a chain and a key have some 5 to 20 KB
	maxCerts = 16        // as auth.ParseX509 reads
)

// Options shape how a PFX is read; nil means all defaults.
type Options struct {
	// Roots, if not nil, are the CA certificates that the hub knows this device
	// by: a chain that does not lead to one of them is an error, which names
	// the certificate that is missing. Nil means that this is left to the hub.
	Roots *x509.CertPool
}

// File is the Credential of a PFX file, which may be replaced while the program
// runs: see auth.X509Reload, whose rules hold here. For Options, give
// auth.X509Reload a func of your own that calls [Parse].
func File(name, passphrase string) auth.Credential {
	return auth.X509Reload(func(contents [][]byte) (tls.Certificate, error) {
		return Parse(contents[0], passphrase, nil)
	}, name)
}

// Parse reads the contents of a PFX file. The passphrase is UTF-8, and may be
// empty, as the file's may. The chain is ordered, and presented whole; what is
// none of it is an error, and so is a gap in it: see auth.ParseX509.
//
// Errors match auth.ErrInvalid, say what is wrong and what to do, and hold no
// part of the key or the passphrase. Parse may be called concurrently.
func Parse(der []byte, passphrase string, opts *Options) (tls.Certificate, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	cert, err := parse(der, passphrase, o.Roots)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("pfx: %w", errtext.Bare("auth", err))
	}
	return cert, nil
}

func parse(der []byte, passphrase string, roots *x509.CertPool) (tls.Certificate, error) {
	if err := checkPassphrase(passphrase); err != nil {
		return tls.Certificate{}, err
	}
	f, err := read(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	if der, err = f.verify(der, passphrase); err != nil {
		return tls.Certificate{}, err
	}
	for _, part := range f.encrypted {
		if err := f.lookInto(part, passphrase); err != nil {
			return tls.Certificate{}, err
		}
	}
	switch {
	case f.keys == 0:
		return tls.Certificate{}, fmt.Errorf("%w: there is no private key in it; export the certificate with its key", auth.ErrInvalid)
	case len(f.encrypted) == 0 && f.certs == 0:
		return tls.Certificate{}, fmt.Errorf("%w: there is no certificate in it; export the key with its certificate", auth.ErrInvalid)
	}
	key, leaf, others, err := pkcs12.DecodeChain(der, passphrase)
	if err != nil {
		return tls.Certificate{}, f.unopened("its key or certificate cannot be read, or is of a kind that TLS does not know")
	}
	if n := 1 + len(others); n > maxCerts {
		return tls.Certificate{}, fmt.Errorf("%w: there are %d certificates in it; give the device's own and its intermediates, at most %d", auth.ErrInvalid, n, maxCerts)
	}
	signer, err := auth.AsSigner(own.Key{}, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return auth.NewCertificate(own.Key{}, append([]*x509.Certificate{leaf}, others...), signer, roots)
}

// checkPassphrase says whether a PFX can have a passphrase: PKCS#12 writes it in
// characters of 16 bits (RFC 7292, appendix B.1).
func checkPassphrase(passphrase string) error {
	if !utf8.ValidString(passphrase) {
		return fmt.Errorf("%w: the passphrase is not UTF-8; convert it", auth.ErrInvalid)
	}
	for _, r := range passphrase {
		if r > 0xFFFF {
			return fmt.Errorf("%w: the passphrase holds a character beyond U+FFFF, such as an emoji, which PKCS#12 cannot write; %s with another", auth.ErrInvalid, anew)
		}
	}
	return nil
}

// verify checks the MAC, which says whether the passphrase is the right one. It
// returns the file with a MAC: its own or, where there is none, one of ours,
// without which the library takes no passphrase.
func (f *file) verify(der []byte, passphrase string) ([]byte, error) {
	if !f.hasMAC {
		return wrap(f.content, passphrase)
	}
	// Of the library's functions this is the one that checks the MAC and opens
	// no key. It finds no trust store here: what else it says is none of ours.
	if _, err := pkcs12.DecodeTrustStore(der, passphrase); errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, wrong()
	}
	return der, nil
}

// lookInto says whether an encrypted part opens and holds no key. Before the
// library opens a second key it stops; so the part is shown to it after a key.
func (f *file) lookInto(part contentInfo, passphrase string) error {
	first, err := anyKey()
	if err != nil {
		return err
	}
	der, err := wrapParts([]contentInfo{first, part}, passphrase)
	if err != nil {
		return err
	}
	if _, _, _, err := pkcs12.DecodeChain(der, passphrase); err != nil {
		return f.unopened("an encrypted part does not open by the passphrase of the MAC, or holds a private key, no certificate, or one that breaks a rule of DER")
	}
	return nil
}

// unopened is what a part looks like that cannot be opened. Without a MAC to
// tell the passphrase by, that is most often the passphrase.
func (f *file) unopened(why string) error {
	if !f.hasMAC {
		return wrong()
	}
	return fmt.Errorf("%w: %s; %s; where that changes nothing, give what openssl pkcs12 -in OLD -nodes prints to auth.ParseX509, which reads certificates that break a rule of DER", auth.ErrInvalid, why, anew)
}

func wrong() error {
	return fmt.Errorf("%w: the passphrase does not open it; check it, and that it is this file's (a damaged file looks the same)", auth.ErrInvalid)
}

// anew is the command that writes a PFX as it is read here. The key goes first,
// for openssl looks for certificates after it; and it is never on a disk in the
// clear.
const anew = "write it anew: (openssl pkcs12 -in OLD -nocerts -nodes; openssl pkcs12 -in OLD -nokeys) | openssl pkcs12 -export -out NEW"

package auth

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/devicetwin/devicetwin-go/internal/connstring"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// ParseConnectionString reads a device's or module's connection string, as the
// hub's portal and tools hand it out:
//
//	HostName=myhub.azure-devices.net;DeviceId=dev1;SharedAccessKey=…
//
// Parts are joined by ';', one more at the end is allowed; in each part the
// first '=' ends the key. Keys are compared without regard to case. Values are
// taken as they are: nothing in them is trimmed, unquoted or URL-decoded. White
// space and other invisible characters around the whole string, as files have
// them, are skipped.
//
//	HostName, DeviceId     required
//	ModuleId               the module, for a module's identity
//	GatewayHostName        the edge gateway to connect to
//	SharedAccessKey        base64; the Credential is SAS with this key
//	SharedAccessKeyName    only with SharedAccessKey: the key is that policy's
//	SharedAccessSignature  a ready-made token; the Credential is StaticToken
//	x509=true              (or X509Cert=true) a certificate, which the string
//	                       does not hold: see below
//
// Exactly one of SharedAccessKey, SharedAccessSignature and x509=true is
// required; x509=false counts as absent. A SharedAccessSignature must cover
// the identity, as at StaticToken; one that has ended is accepted, for no clock
// is at hand. Unknown keys are ignored; a key that stands twice, a part without
// '=', an empty value of a known key and an invisible character in one are
// errors. A device id with ';' in it cannot be written this way: make the
// Identity yourself.
//
// With x509=true ParseConnectionString returns the identity, a nil Credential, and
// ErrWantsCertificate. A program that has a certificate goes on:
//
//	id, cred, err := auth.ParseConnectionString(s)
//	if errors.Is(err, auth.ErrWantsCertificate) {
//		cred, err = auth.X509Files("cert.pem", "key.pem", nil), nil
//	}
//
// With any other error the identity is zero. Errors match ErrInvalid, name the field and what to do, and never hold a key,
// a signature, or text that might be one: such parts are told by their number.
func ParseConnectionString(s string) (Identity, Credential, error) {
	fields, err := connstring.Parse(s)
	if err != nil {
		return Identity{}, nil, fmt.Errorf("auth: connection string: %w: %w", errtext.Bare("auth", ErrInvalid), err)
	}
	id, cred, err := connFields(fields).read()
	if err != nil {
		return id, nil, fmt.Errorf("auth: connection string: %w", errtext.Bare("auth", err))
	}
	return id, cred, nil
}

// ErrWantsCertificate says that a connection string says x509=true: it holds no
// credential, since the device has a certificate. The identity is returned with
// it. Give device.New that identity, and the certificate by [X509Files] or
// another Credential. The error matches ErrInvalid, too.
var ErrWantsCertificate = fmt.Errorf("%w: with x509=true it holds no credential; take the identity, and give the device's certificate, such as by auth.X509Files", ErrInvalid)

// FormatConnectionString returns the connection string of an identity and its
// own key in base64, as [ParseConnectionString] reads it: a secret. Without a key
// it says x509=true. What the string says is always this identity: one whose id
// holds a ';' cannot be written, nor can one that Validate refuses. The error
// matches ErrInvalid, names the field, and holds no key.
func FormatConnectionString(_ own.Key, id Identity, base64Key string) (string, error) {
	s, err := formatConnectionString(id, base64Key)
	if err != nil {
		return "", fmt.Errorf("auth: connection string: %w", errtext.Bare("auth", err))
	}
	return s, nil
}

func formatConnectionString(id Identity, key string) (string, error) {
	if err := id.Validate(); err != nil {
		return "", err
	}
	certificate := "true"
	if key != "" {
		certificate = ""
		if _, err := ParseKey(key); err != nil {
			return "", err
		}
	}
	s, err := connstring.Format(
		connstring.Field{Name: keyHost, Value: id.Host},
		connstring.Field{Name: keyDevice, Value: id.DeviceID},
		connstring.Field{Name: keyModule, Value: id.ModuleID},
		connstring.Field{Name: keyGateway, Value: id.Gateway},
		connstring.Field{Name: keySecret, Value: key},
		connstring.Field{Name: keyX509, Value: certificate},
	)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s, nil
}

// The fields of a device's connection string.
const (
	keyHost      = connstring.HostName
	keyDevice    = connstring.DeviceID
	keyModule    = connstring.ModuleID
	keyGateway   = connstring.GatewayHostName
	keySecret    = connstring.SharedAccessKey
	keyPolicy    = connstring.SharedAccessKeyName
	keySignature = connstring.SharedAccessSignature
	keyX509      = connstring.X509
)

// connFields are the fields of a device's connection string.
type connFields connstring.Fields

// read makes the identity and its credential. With x509 it is ErrWantsCertificate,
// beside the identity.
func (f connFields) read() (Identity, Credential, error) {
	id, err := f.identity()
	if err != nil {
		return Identity{}, nil, err
	}
	cred, err := f.credential(id)
	if err != nil && err != ErrWantsCertificate {
		id = Identity{}
	}
	return id, cred, err
}

func (f connFields) identity() (Identity, error) {
	for _, name := range [...]string{keyHost, keyDevice} {
		if f[name] != "" {
			continue
		}
		hint := "copy the whole string of the device from the hub"
		if name == keyDevice && f[keyPolicy] != "" {
			hint = "this looks like a string for services; " + hint
		}
		return Identity{}, fmt.Errorf("%w: %s is missing; %s", ErrInvalid, name, hint)
	}
	id := Identity{
		Host: f[keyHost], DeviceID: f[keyDevice],
		ModuleID: f[keyModule], Gateway: f[keyGateway],
	}
	if err := id.Validate(); err != nil {
		return Identity{}, err
	}
	return id, nil
}

func (f connFields) credential(id Identity) (Credential, error) {
	certificate, err := f.x509()
	if err != nil {
		return nil, err
	}
	var kinds []string
	for _, name := range [...]string{keySecret, keySignature} {
		if f[name] != "" {
			kinds = append(kinds, name)
		}
	}
	if certificate {
		kinds = append(kinds, keyX509+"=true")
	}
	switch {
	case len(kinds) == 0:
		return nil, fmt.Errorf("%w: nothing proves the identity; exactly one of %s, %s and %s=true does",
			ErrInvalid, keySecret, keySignature, keyX509)
	case len(kinds) > 1:
		return nil, fmt.Errorf("%w: %s stand together; leave one", ErrInvalid, strings.Join(kinds, " and "))
	case f[keyPolicy] != "" && f[keySecret] == "":
		return nil, fmt.Errorf("%w: %s stands without %s; it names the policy that the key belongs to",
			ErrInvalid, keyPolicy, keySecret)
	case certificate:
		return nil, ErrWantsCertificate
	case f[keySignature] != "":
		token, err := parseToken(f[keySignature])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keySignature, errtext.Bare("auth", err))
		}
		if err := token.checkCovers(id.Audience()); err != nil {
			return nil, fmt.Errorf("%s: %w", keySignature, errtext.Bare("auth", err))
		}
		return StaticToken(token), nil
	}
	if strings.ContainsFunc(f[keyPolicy], unicode.IsControl) {
		return nil, fmt.Errorf("%w: %s holds a control character or line break", ErrInvalid, keyPolicy)
	}
	key, err := parseKey(f[keySecret])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keySecret, errtext.Bare("auth", err))
	}
	return SAS(key, &SASOptions{Policy: f[keyPolicy]}), nil
}

// x509 reports whether the string asks for a certificate. Its value is not
// quoted either: it may be a certificate pasted in the wrong place.
func (f connFields) x509() (bool, error) {
	switch value := f[keyX509]; {
	case value == "", strings.EqualFold(value, "false"):
		return false, nil
	case strings.EqualFold(value, "true"):
		return true, nil
	}
	return false, fmt.Errorf("%w: %s is neither true nor false; the certificate itself is given to the program", ErrInvalid, keyX509)
}

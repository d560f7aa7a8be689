package auth

import (
	"fmt"
	"strings"
	"unicode"
)

// maxConnectionString bounds a connection string; real ones have some 150 to
// 700 bytes, and one with a token has at most maxToken more.
const maxConnectionString = 16 << 10

// The keys of a connection string that mean something here, as they are
// written in errors.
const (
	keyHost      = "HostName"
	keyDevice    = "DeviceId"
	keyModule    = "ModuleId"
	keyGateway   = "GatewayHostName"
	keySecret    = "SharedAccessKey"
	keyPolicy    = "SharedAccessKeyName"
	keySignature = "SharedAccessSignature"
	keyX509      = "x509"
)

// ParseConnectionString reads a device's or module's connection string, as the
// hub's portal and tools hand it out:
//
//	HostName=myhub.azure-devices.net;DeviceId=dev1;SharedAccessKey=…
//
// Parts are joined by ';', one more at the end is allowed; in each part the
// first '=' ends the key. Keys are compared without regard to case. Values are
// taken as they are: nothing in them is trimmed, unquoted or URL-decoded. White
// space around the whole string, as files have it, is skipped.
//
//	HostName, DeviceId     required
//	ModuleId               the module, for a module's identity
//	GatewayHostName        the edge gateway to connect to
//	SharedAccessKey        base64; the Credential is SAS with this key
//	SharedAccessKeyName    only with SharedAccessKey: the key is that policy's
//	SharedAccessSignature  a ready-made token; the Credential is GivenToken
//	x509=true              (or X509Cert=true) a certificate, which the string
//	                       does not hold: the Credential is nil, and the caller
//	                       supplies one
//
// Exactly one of SharedAccessKey, SharedAccessSignature and x509=true is
// required; x509=false counts as absent. A SharedAccessSignature must cover
// the identity, as at GivenToken; one that has ended is accepted, for no clock
// is at hand. Unknown keys are ignored; a key that stands twice, a part without
// '=' and an empty value of a known key are errors. A device id with ';' in it
// cannot be written this way: make the Identity yourself.
//
// Errors match ErrInvalid, name the field and what to do, and never hold a key,
// a signature, or text that might be one: such parts are told by their number.
func ParseConnectionString(s string) (Identity, Credential, error) {
	f, err := splitConnectionString(trimSpace(s))
	if err != nil {
		return Identity{}, nil, fmt.Errorf("connection string: %w", err)
	}
	id, cred, err := f.read()
	if err != nil {
		return Identity{}, nil, fmt.Errorf("connection string: %w", err)
	}
	return id, cred, nil
}

// connFields are the known fields of a connection string by their names as in
// errors; no value is empty.
type connFields map[string]string

// splitConnectionString takes the string apart. Nothing that it has not
// recognised may be quoted: a key broken by a line or by a ';' looks like a
// part without '=', and its end, with the padding, like an unknown key.
func splitConnectionString(s string) (connFields, error) {
	if s == "" {
		return nil, fmt.Errorf("%w: it is empty; is the variable or file that holds it set?", ErrInvalid)
	}
	if len(s) > maxConnectionString {
		return nil, fmt.Errorf("%w: it has %d bytes; at most %d are read", ErrInvalid, len(s), maxConnectionString)
	}
	parts := strings.Split(strings.TrimSuffix(s, ";"), ";")
	fields := connFields{}
	unknown := map[string]bool{}
	for i, part := range parts {
		bad := func(what string) error {
			return fmt.Errorf("%w: part %d of %d %s", ErrInvalid, i+1, len(parts), what)
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, bad("has no '='; was the string cut or broken, or does a value hold a ';'?")
		}
		if key == "" {
			return nil, bad("has nothing before its '='")
		}
		name := knownKey(key)
		if name == "" {
			if near := knownKey(strings.TrimFunc(key, notAlnum)); near != "" {
				return nil, bad("has white space, a quote or the like beside the name " + near + "; take it off")
			}
			if unknown[strings.ToLower(key)] {
				return nil, bad("has the same (unknown) key as an earlier one")
			}
			unknown[strings.ToLower(key)] = true
			continue
		}
		if _, dup := fields[name]; dup {
			return nil, bad("gives " + name + " a second time")
		}
		if value == "" {
			return nil, bad("gives " + name + " no value; fill it in or leave the part out")
		}
		fields[name] = value
	}
	return fields, nil
}

// knownKey is the name of a known key, "" for any other.
func knownKey(key string) string {
	if strings.EqualFold(key, "X509Cert") {
		return keyX509
	}
	for _, name := range [...]string{
		keyHost, keyDevice, keyModule, keyGateway, keySecret, keyPolicy, keySignature, keyX509,
	} {
		if strings.EqualFold(key, name) {
			return name
		}
	}
	return ""
}

func notAlnum(r rune) bool { return !isAlnum(r) }

// read makes the identity and its credential, nil with x509.
func (f connFields) read() (Identity, Credential, error) {
	id, err := f.identity()
	if err != nil {
		return Identity{}, nil, err
	}
	cred, err := f.credential(id)
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
	return id, id.Validate()
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
		return nil, nil
	case f[keySignature] != "":
		token, err := parseToken(f[keySignature])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keySignature, err)
		}
		if err := token.checkCovers(id.Audience()); err != nil {
			return nil, fmt.Errorf("%s: %w", keySignature, err)
		}
		return GivenToken(token), nil
	}
	if strings.ContainsFunc(f[keyPolicy], unicode.IsControl) {
		return nil, fmt.Errorf("%w: %s holds a control character or line break", ErrInvalid, keyPolicy)
	}
	key, err := parseKey(f[keySecret])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keySecret, err)
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

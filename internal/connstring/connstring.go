// Package connstring reads and writes connection strings: Name=value parts that
// are joined by ';'. Every connection string of this module passes through it, so
// that one law holds for all of them: what Format writes, Parse reads as the same
// fields. What cannot be written so is an error.
//
// Its errors name fields and parts, and never quote a value: it may be a key.
// The caller adds what they match.
package connstring

import (
	"errors"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// MaxLen bounds a connection string, in bytes. Real ones have some 150 to 700,
// and one with a token has at most 8 KB more.
const MaxLen = 16 << 10

// The names of the parts that mean something to somebody, as they are written.
const (
	HostName              = "HostName"
	DeviceID              = "DeviceId"
	ModuleID              = "ModuleId"
	GatewayHostName       = "GatewayHostName"
	SharedAccessKey       = "SharedAccessKey"
	SharedAccessKeyName   = "SharedAccessKeyName"
	SharedAccessSignature = "SharedAccessSignature"
	X509                  = "x509"
)

// Fields are the known fields of a connection string. No value is empty.
type Fields map[string]string

// Parse takes a connection string apart. One more ';' at its end is allowed, and
// what cannot be seen around the whole is skipped. In each part the first '='
// ends the name, which has no case. Values are taken as they are: nothing in them
// is unquoted or decoded. Unknown names are ignored, but none may appear twice.
//
// Nothing that is not recognized is quoted: a key broken by a line or by a ';'
// looks like a part without '=', and its end, with the padding, like an unknown
// name.
func Parse(s string) (Fields, error) {
	switch s = visible.Trim(s); {
	case s == "":
		return nil, errors.New("it is empty; is the variable or file that holds it set?")
	case len(s) > MaxLen:
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(s), MaxLen)
	case visible.IsUTF16(s):
		return nil, visible.Check(s, "")
	}
	parts := strings.Split(strings.TrimSuffix(s, ";"), ";")
	fields, unknown := Fields{}, map[string]bool{}
	for i, part := range parts {
		if err := fields.take(part, unknown); err != nil {
			return nil, fmt.Errorf("part %d of %d %w", i+1, len(parts), err)
		}
	}
	return fields, nil
}

// take reads one part.
func (f Fields) take(part string, unknown map[string]bool) error {
	key, value, ok := strings.Cut(part, "=")
	if !ok {
		return errors.New("has no '='; was the string cut or broken, or does a value hold a ';'?")
	}
	if key == "" {
		return errors.New("has nothing before its '='")
	}
	name := known(key)
	if name == "" {
		if near := known(strings.TrimFunc(key, notAlnum)); near != "" {
			return errors.New("has white space, a quote or the like beside the name " + near + "; take it off")
		}
		if err := visible.Check(key, ""); err != nil { // else a known name would be called missing
			return fmt.Errorf("has a name that cannot be right: %w", err)
		}
		if unknown[strings.ToLower(key)] {
			return errors.New("has the same (unknown) key as an earlier one")
		}
		unknown[strings.ToLower(key)] = true
		return nil
	}
	if _, dup := f[name]; dup {
		return errors.New("gives " + name + " a second time")
	}
	if value == "" {
		return errors.New("gives " + name + " no value; fill it in or leave the part out")
	}
	if err := visible.Check(value, "\r\n"); err != nil { // each field has its own word for a line break
		return fmt.Errorf("gives %s a value that cannot be right: %w", name, err)
	}
	f[name] = value
	return nil
}

// known is the name of a known part, "" for any other.
func known(key string) string {
	if strings.EqualFold(key, "X509Cert") {
		return X509
	}
	for _, name := range [...]string{
		HostName, DeviceID, ModuleID, GatewayHostName, SharedAccessKey, SharedAccessKeyName, SharedAccessSignature, X509,
	} {
		if strings.EqualFold(key, name) {
			return name
		}
	}
	return ""
}

func notAlnum(r rune) bool {
	return !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z')
}

// A Field is a part to write.
type Field struct{ Name, Value string }

// Format writes the fields that have a value, in their order. An error names the
// field that no connection string can hold: its value has a ';', a character that
// cannot be seen, or a space at its beginning or end.
func Format(fields ...Field) (string, error) {
	var b strings.Builder
	seen := map[string]bool{}
	for _, f := range fields {
		if f.Value == "" {
			continue
		}
		if known(f.Name) != f.Name || seen[f.Name] {
			return "", fmt.Errorf("%q is no part of a connection string, or is given twice", f.Name)
		}
		seen[f.Name] = true
		if at := strings.IndexByte(f.Value, ';'); at >= 0 {
			return "", fmt.Errorf("%s holds ';' at byte %d, which ends a part of a connection string; give id and key apart", f.Name, at)
		}
		if err := visible.Check(f.Value, ""); err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
		if visible.Trim(f.Value) != f.Value {
			return "", fmt.Errorf("%s begins or ends in a space", f.Name)
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(f.Name + "=" + f.Value)
	}
	if b.Len() == 0 || b.Len() > MaxLen {
		return "", fmt.Errorf("it would have %d bytes; from 1 to %d are read", b.Len(), MaxLen)
	}
	return b.String(), nil
}

package registry

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/devicetwin/devicetwin-go/auth"
)

// maxConnectionString bounds a connection string; real ones have some 150
// bytes.
const maxConnectionString = 16 << 10

// The parts of a service's connection string.
const (
	partHost   = "HostName"
	partPolicy = "SharedAccessKeyName"
	partKey    = "SharedAccessKey"
)

// policyAccess is what a service's connection string says.
type policyAccess struct {
	host, policy string
	key          auth.Key
}

// parseConnectionString reads the connection string of a shared access policy.
// Parts are joined by ';', of which one more at the end is allowed; the first
// '=' of each ends its name, which has no case; values are taken as they are.
//
// An error names the part and what to do, and quotes nothing that it has not
// recognised: it may be a piece of a key.
func parseConnectionString(s string) (policyAccess, error) {
	a, err := readParts(strings.Trim(s, " \t\r\n"))
	if err != nil {
		return policyAccess{}, fmt.Errorf("registry: connection string: %w", err)
	}
	return a, nil
}

func readParts(s string) (policyAccess, error) {
	var a policyAccess
	parts, err := splitParts(s)
	if err != nil {
		return a, err
	}
	for _, name := range []string{partHost, partPolicy, partKey} {
		if parts[name] != "" {
			continue
		}
		hint := "copy the whole string of a shared access policy from the hub"
		if parts["DeviceId"] != "" {
			hint = "this looks like a device's string; " + hint
		}
		return a, fmt.Errorf("%w: %s is missing; %s", auth.ErrInvalid, name, hint)
	}
	if parts["DeviceId"] != "" {
		return a, fmt.Errorf("%w: it names a DeviceId; a service speaks for no device", auth.ErrInvalid)
	}
	if strings.ContainsFunc(parts[partPolicy], unicode.IsControl) {
		return a, fmt.Errorf("%w: %s holds a control character or line break", auth.ErrInvalid, partPolicy)
	}
	if err := checkHost(parts[partHost]); err != nil {
		return a, err
	}
	a.host, a.policy = parts[partHost], parts[partPolicy]
	if a.key, err = auth.ParseKey(parts[partKey]); err != nil {
		return policyAccess{}, fmt.Errorf("%s: %w", partKey, err)
	}
	return a, nil
}

// checkHost checks the hub's name by the rules of an identity's.
func checkHost(host string) error {
	return auth.Identity{Host: host, DeviceID: "any"}.Validate()
}

// splitParts takes the string apart. No value is empty.
func splitParts(s string) (map[string]string, error) {
	if s == "" {
		return nil, fmt.Errorf("%w: it is empty; is the variable or file that holds it set?", auth.ErrInvalid)
	}
	if len(s) > maxConnectionString {
		return nil, fmt.Errorf("%w: it has %d bytes; at most %d are read", auth.ErrInvalid, len(s), maxConnectionString)
	}
	all := strings.Split(strings.TrimSuffix(s, ";"), ";")
	parts := map[string]string{}
	for i, part := range all {
		bad := func(what string) error {
			return fmt.Errorf("%w: part %d of %d %s", auth.ErrInvalid, i+1, len(all), what)
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, bad("has no '='; was the string cut or broken, or does a value hold a ';'?")
		}
		name := knownPart(key)
		switch {
		case name == "" && knownPart(strings.Trim(key, " \t\r\n\"'")) != "":
			return nil, bad("has white space or a quote beside its name; take it off")
		case name == "SharedAccessSignature":
			return nil, bad("is a ready-made token, which would end; give the policy's key")
		case name == "":
			continue // unknown parts are ignored
		case parts[name] != "":
			return nil, bad("gives " + name + " a second time")
		case value == "":
			return nil, bad("gives " + name + " no value; fill it in or leave the part out")
		}
		parts[name] = value
	}
	return parts, nil
}

func knownPart(key string) string {
	for _, name := range []string{partHost, partPolicy, partKey, "SharedAccessSignature", "DeviceId"} {
		if strings.EqualFold(key, name) {
			return name
		}
	}
	return ""
}

package registry

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/connstring"
)

// policyAccess is the content of a service's connection string.
type policyAccess struct {
	host, policy string
	key          auth.Key
}

// parseConnectionString reads the connection string of a shared access policy.
// Errors name the part and what to do, and quote nothing that is not recognized,
// since it may be a piece of a key.
func parseConnectionString(s string) (policyAccess, error) {
	fields, err := connstring.Parse(s)
	if err != nil {
		return policyAccess{}, fmt.Errorf("registry: connection string: %w: %w", auth.ErrInvalid, err)
	}
	a, err := readFields(fields)
	if err != nil {
		return policyAccess{}, fmt.Errorf("registry: connection string: %w", err)
	}
	return a, nil
}

func readFields(f connstring.Fields) (policyAccess, error) {
	if f[connstring.SharedAccessSignature] != "" {
		return policyAccess{}, fmt.Errorf("%w: %s is a token, which expires; give the policy's key", auth.ErrInvalid, connstring.SharedAccessSignature)
	}
	for _, name := range []string{connstring.HostName, connstring.SharedAccessKeyName, connstring.SharedAccessKey} {
		if f[name] != "" {
			continue
		}
		hint := "copy the whole string of a shared access policy from the hub"
		if f[connstring.DeviceID] != "" {
			hint = "this looks like a device's string; " + hint
		}
		return policyAccess{}, fmt.Errorf("%w: %s is missing; %s", auth.ErrInvalid, name, hint)
	}
	if f[connstring.DeviceID] != "" {
		return policyAccess{}, fmt.Errorf("%w: it has a DeviceId; give the string of a shared access policy", auth.ErrInvalid)
	}
	if strings.ContainsFunc(f[connstring.SharedAccessKeyName], unicode.IsControl) {
		return policyAccess{}, fmt.Errorf("%w: %s holds a control character or line break", auth.ErrInvalid, connstring.SharedAccessKeyName)
	}
	if err := checkHost(f[connstring.HostName]); err != nil {
		return policyAccess{}, err
	}
	key, err := auth.ParseKey(f[connstring.SharedAccessKey])
	if err != nil {
		return policyAccess{}, fmt.Errorf("%s: %w", connstring.SharedAccessKey, err)
	}
	return policyAccess{host: f[connstring.HostName], policy: f[connstring.SharedAccessKeyName], key: key}, nil
}

// checkHost checks the hub's name by the rules of auth.Identity.
func checkHost(host string) error {
	return auth.Identity{Host: host, DeviceID: "any"}.Validate()
}

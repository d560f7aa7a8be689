package auth

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is matched by every error about a malformed identity, connection
// string, key or token: wrong local configuration that no retry mends.
var ErrInvalid = errors.New("auth: invalid configuration")

// An Identity says who a device is and where its hub is. It holds no secret.
type Identity struct {
	// Host is the hub's full name, such as myhub.azure-devices.net.
	Host string
	// DeviceID is the device's id, 1 to 128 characters, case-sensitive. The ids
	// "." and ".." are refused: in the path of a URL they mean another identity.
	DeviceID string
	// ModuleID is the module's id, empty for the device itself.
	ModuleID string
	// Gateway is the name of an edge gateway to connect to in place of Host,
	// empty for none. Host still names the hub in everything that is said.
	Gateway string
}

// Audience is the resource that a token of this identity is for, unescaped:
// host/devices/id, or host/devices/id/modules/id.
func (id Identity) Audience() string {
	s := id.Host + "/devices/" + id.DeviceID
	if id.ModuleID != "" {
		s += "/modules/" + id.ModuleID
	}
	return s
}

// String is the identity as a person reads it in a log: device[/module]@host.
func (id Identity) String() string {
	s := id.DeviceID
	if id.ModuleID != "" {
		s += "/" + id.ModuleID
	}
	return s + "@" + id.Host
}

// Validate says what is wrong with the identity, naming the field; nil when it
// is well formed. The error matches ErrInvalid.
func (id Identity) Validate() error {
	if err := checkHost("HostName", id.Host); err != nil {
		return err
	}
	if err := checkID("DeviceId", id.DeviceID); err != nil {
		return err
	}
	if id.ModuleID != "" {
		if err := checkID("ModuleId", id.ModuleID); err != nil {
			return err
		}
	}
	if id.Gateway != "" {
		return checkHost("GatewayHostName", id.Gateway)
	}
	return nil
}

// maxID is the longest device or module id, by the identity registry's rules.
const maxID = 128

func checkID(field, s string) error {
	if s == "" {
		return fmt.Errorf("%w: %s is empty", ErrInvalid, field)
	}
	if len(s) > maxID {
		return fmt.Errorf("%w: %s has %d bytes; at most %d are allowed", ErrInvalid, field, len(s), maxID)
	}
	if s == "." || s == ".." {
		// The hub's own front, and every proxy before it, takes such a segment of a
		// path away with its neighbour: to delete module victim/.. is to delete
		// device victim.
		return fmt.Errorf("%w: %s is %q, which in a URL means another identity; give it another id", ErrInvalid, field, s)
	}
	for i, c := range s {
		if !isAlnum(c) && !strings.ContainsRune("-:.+%_#*?!(),=@;$'", c) {
			return fmt.Errorf("%w: %s holds %q at offset %d; allowed are ASCII letters, digits and - : . + %% _ # * ? ! ( ) , = @ ; $ '",
				ErrInvalid, field, c, i)
		}
	}
	return nil
}

// maxHost is the longest name that DNS knows.
const maxHost = 253

func checkHost(field, s string) error {
	if s == "" {
		return fmt.Errorf("%w: %s is empty; it is a full name, such as myhub.azure-devices.net", ErrInvalid, field)
	}
	if len(s) > maxHost {
		return fmt.Errorf("%w: %s has %d bytes; a host name has at most %d", ErrInvalid, field, len(s), maxHost)
	}
	for i, c := range s {
		if !isAlnum(c) && c != '-' && c != '.' && c != '_' {
			return fmt.Errorf("%w: %s holds %q at offset %d; it is a bare host name, without scheme, port or path",
				ErrInvalid, field, c, i)
		}
	}
	if strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return fmt.Errorf("%w: %s begins or ends in a dot, or has two in a row", ErrInvalid, field)
	}
	return nil
}

func isAlnum(c rune) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

package fate

import (
	"fmt"

	"github.com/devicetwin/devicetwin-go/transport"
)

// ValidID reports whether a frame's ID goes to a hub and back unharmed, over any
// protocol.
func ValidID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return id != ""
}

// CheckID refuses a frame to be sent whose ID is not valid.
func CheckID(f transport.Frame) error {
	if ValidID(f.ID) {
		return nil
	}
	return fmt.Errorf("%w: the ID %q of an %v frame; IDs are made of 0-9, A-Z, a-z and '-'", transport.ErrUnsupported, f.ID, f.Kind)
}

package mqtt

import (
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A ConnackError is a login that the hub refused, with MQTT's own code. It
// matches transport.ErrUnauthorized (codes 2, 4 and 5), ErrUnavailable (3) or
// ErrProtocol (all others).
type ConnackError struct {
	// Code is CONNACK's return code, 1 to 5 by MQTT 3.1.1.
	Code byte
}

// Error tells the code and what to do about it.
func (e *ConnackError) Error() string {
	return fmt.Sprintf("mqtt: hub refused the login (CONNACK %d): %s", e.Code, e.advice())
}

func (e *ConnackError) advice() string {
	switch e.Code {
	case 1:
		return "it does not speak MQTT 3.1.1; check that host and port are an IoT Hub's"
	case 2:
		return "it does not take the client id; check the device id and the module id"
	case 3:
		return "it cannot serve now, or the device is disabled; check the device, or try again later"
	case 4:
		return "user name or password are malformed; check the hub's host name and the token"
	case 5:
		return "not authorised; check the key, token or certificate, that the device exists and is not disabled, and the clock"
	}
	return "MQTT 3.1.1 has no such code; check that host and port are an IoT Hub's"
}

// Is matches the sentinel of the code.
func (e *ConnackError) Is(target error) bool {
	switch e.Code {
	case 2, 4, 5:
		return target == transport.ErrUnauthorized
	case 3:
		return target == transport.ErrUnavailable || target == transport.ErrDisabled
	}
	return target == transport.ErrProtocol
}

// lineError says in the contract's words why reading or writing failed.
func lineError(err error) error {
	if errors.Is(err, mqttwire.ErrMalformed) || errors.Is(err, mqttwire.ErrTooLarge) {
		return fmt.Errorf("%w: %w", transport.ErrProtocol, err)
	}
	return linefail.Line(err)
}

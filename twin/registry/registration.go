package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A Registration is a device or module as the hub's identity registry holds it:
// its status, and how it authenticates. Whether it is connected is in its Twin.
type Registration struct {
	// ID is "device" or "device/module". It may be left empty in a Registration
	// that is given to CreateRegistration or UpdateRegistration with an id.
	ID string
	// ETag changes with each write to the registration. The twin has another.
	ETag ETag
	// Generation differs between registrations that had the same id at different
	// times. The hub sets it.
	Generation string
	// Disabled keeps a device from connecting. Modules have no status.
	Disabled bool
	// StatusReason is a note about the status, at most 128 characters. Devices
	// only.
	StatusReason string
	// Edge is set for an IoT Edge device. Devices only.
	Edge bool
	// ManagedBy names the software that manages a module, such as "iotEdge".
	// Modules only.
	ManagedBy string
	// Authentication is how it proves its identity. If empty, a new registration
	// gets AuthenticationSAS, and an existing one keeps what it has. The hub may
	// report other values, such as "none".
	Authentication Authentication
	// PrimaryKey and SecondaryKey are the keys of AuthenticationSAS: 16 to 64
	// bytes in base64. If empty, the hub makes the keys of a new registration.
	PrimaryKey, SecondaryKey Secret
	// PrimaryThumbprint and SecondaryThumbprint belong to
	// AuthenticationSelfSigned: the SHA-1 or SHA-256 of a certificate in DER, in
	// hex without colons. One may be empty. With two, a certificate can be
	// replaced without an interruption.
	PrimaryThumbprint, SecondaryThumbprint string

	host string
	// proof is the authentication as the hub sent it, and was its type. An
	// authentication that this client does not know is written back unchanged.
	// It is a Secret, since it may hold keys.
	proof Secret
	was   Authentication
}

// ConnectionString returns the connection string of the device or module with
// its primary key. It is empty if the hub returned no key, or if no connection
// string can hold the id, which is so if it contains a ';'.
// auth.FormatConnectionString returns the reason as an error.
func (r Registration) ConnectionString() Secret {
	if r.host == "" || r.PrimaryKey.IsEmpty() {
		return Secret{}
	}
	device, module, _ := strings.Cut(r.ID, "/")
	s, err := auth.FormatConnectionString(own.Key{}, auth.Identity{Host: r.host, DeviceID: device, ModuleID: module}, r.PrimaryKey.Reveal())
	if err != nil {
		return Secret{} // one that means another device is worse than none
	}
	return NewSecret(s)
}

// Registration returns the registration of a device or module, with its keys.
func (c *Client) Registration(ctx context.Context, id string) (Registration, error) {
	return c.registration(ctx, "get the registration of "+id, id, request{method: http.MethodGet, safety: read})
}

// CreateRegistration registers a device or module and returns the registration,
// with the keys that the hub made. The zero Registration is a device with keys.
// If the id is registered already, the error matches ErrExists. A request whose
// answer was lost is not sent again: call Registration to see whether it was
// performed.
func (c *Client) CreateRegistration(ctx context.Context, id string, r Registration) (Registration, error) {
	what := "create the registration of " + id
	body, err := r.body(id, true)
	if err != nil {
		return Registration{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	return c.registration(ctx, what, id, request{method: http.MethodPut, body: body})
}

// UpdateRegistration writes the status, authentication and capabilities of r,
// which is usually one that Registration returned, with some fields changed. It
// returns the registration after the write.
//
// Empty keys leave the keys unchanged. Another Authentication replaces the former
// one with its keys or thumbprints. If it is AuthenticationSAS, the hub makes the
// keys that are empty. The hub disconnects a device that is disabled.
func (c *Client) UpdateRegistration(ctx context.Context, id string, etag ETag, r Registration) (Registration, error) {
	what := "update the registration of " + id
	req := request{method: http.MethodPut}
	err := req.matching(etag)
	if err == nil {
		req.body, err = r.body(id, false)
	}
	if err != nil {
		return Registration{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	return c.registration(ctx, what, id, req)
}

// DeleteRegistration removes a device with its modules, or a module, and their
// twins.
func (c *Client) DeleteRegistration(ctx context.Context, id string, etag ETag) error {
	r := request{method: http.MethodDelete}
	path, err := pathOf("devices", id)
	if err == nil {
		r.path = path
		err = r.matching(etag)
	}
	if err == nil {
		_, err = c.do(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("registry: delete the registration of %s: %w", id, err)
	}
	return nil
}

// Devices returns the registrations of at most top devices, from 1 to 1000. If
// top is 0, the hub chooses the number. The hub has no way to list more: Query
// finds the twins of all devices.
func (c *Client) Devices(ctx context.Context, top int) ([]Registration, error) {
	r := request{method: http.MethodGet, path: "/devices", safety: read, limit: maxPage}
	if top < 0 || top > maxRows {
		return nil, fmt.Errorf("registry: list devices: %w: top is %d; it is from 1 to %d, or 0 for the hub's choice", auth.ErrInvalid, top, maxRows)
	}
	if top > 0 {
		r.query = "top=" + strconv.Itoa(top)
	}
	return c.registrations(ctx, "list devices", r)
}

// Modules returns the registrations of the modules of a device.
func (c *Client) Modules(ctx context.Context, device string) ([]Registration, error) {
	what := "list the modules of " + device
	if err := (auth.Identity{Host: c.host, DeviceID: device}).Validate(); err != nil {
		return nil, fmt.Errorf("registry: %s: %w", what, err)
	}
	return c.registrations(ctx, what, request{method: http.MethodGet, path: "/devices/" + url.PathEscape(device) + "/modules", safety: read})
}

func (c *Client) registration(ctx context.Context, what, id string, r request) (Registration, error) {
	path, err := pathOf("devices", id)
	var found Registration
	if err == nil {
		r.path = path
		var a answer
		if a, err = c.do(ctx, r); err == nil {
			found, err = c.parseRegistration(a.body)
		}
	}
	if err != nil {
		return Registration{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	return found, nil
}

func (c *Client) registrations(ctx context.Context, what string, r request) ([]Registration, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("registry: %s: %w", what, err)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(a.body, &rows); err != nil {
		return nil, fmt.Errorf("registry: %s: %w: the answer is not a list: %w", what, transport.ErrProtocol, err)
	}
	all := make([]Registration, len(rows))
	for n, row := range rows {
		if all[n], err = c.parseRegistration(row); err != nil {
			return nil, fmt.Errorf("registry: %s: %w", what, err)
		}
	}
	return all, nil
}

// body returns the registration of an id as the hub reads it.
func (r Registration) body(id string, create bool) ([]byte, error) {
	device, module, err := split(id)
	if err != nil {
		return nil, err
	}
	if r.ID != "" && r.ID != id {
		return nil, fmt.Errorf("%w: Registration.ID is %q, and the id is %q; leave ID empty or make them equal", auth.ErrInvalid, r.ID, id)
	}
	proof, err := r.writeProof(create)
	if err != nil {
		return nil, err
	}
	m := map[string]any{"deviceId": device}
	if module != "" {
		m["moduleId"], m["managedBy"] = module, textOrNull(r.ManagedBy)
	} else {
		m["status"], m["statusReason"] = "enabled", textOrNull(r.StatusReason)
		if r.Disabled {
			m["status"] = statusDisabled
		}
		m["capabilities"] = map[string]bool{"iotEdge": r.Edge}
	}
	if proof != nil {
		m["authentication"] = proof
	}
	return json.Marshal(m)
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// parseRegistration reads a registration as the hub writes it.
func (c *Client) parseRegistration(b []byte) (Registration, error) {
	var m struct {
		DeviceID, ModuleID, GenerationID string
		ETag                             ETag
		Status, StatusReason, ManagedBy  string
		Capabilities                     struct{ IotEdge bool }
		Authentication                   json.RawMessage
	}
	if err := json.Unmarshal(b, &m); err != nil || m.DeviceID == "" {
		return Registration{}, fmt.Errorf("%w: the answer is not a registration", transport.ErrProtocol) // err may quote a key
	}
	r := Registration{
		ID: joinID(m.DeviceID, m.ModuleID), ETag: m.ETag, Generation: m.GenerationID,
		Disabled: m.Status == statusDisabled, StatusReason: m.StatusReason, Edge: m.Capabilities.IotEdge, ManagedBy: m.ManagedBy,
		host: c.host,
	}
	return r, r.readProof(m.Authentication)
}

// statusDisabled is the status of a device that may not connect.
const statusDisabled = "disabled"

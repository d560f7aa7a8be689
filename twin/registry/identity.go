package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// An Identity is a device or module as the hub's registry knows it.
type Identity struct {
	// DeviceID and ModuleID name it; ModuleID is empty for a device.
	DeviceID, ModuleID string
	// ETag changes with each write to the identity. It is not the twin's.
	ETag ETag
	// Generation tells apart the identities that ever had the id.
	Generation string
	// Disabled says that it may not log in. Devices only.
	Disabled bool
	// StatusReason is text for a person, 128 characters at most. Devices only.
	StatusReason string
	// Edge says that it is an IoT Edge device. Devices only.
	Edge bool
	// ManagedBy says who looks after a module, empty for nobody.
	ManagedBy string
	// Authentication is what it proves itself by: SAS, SelfSigned or
	// CertificateAuthority; the hub may tell others, such as "none". Empty means
	// SAS when it is created, and the one that there is when it is updated.
	Authentication string
	// PrimaryKey and SecondaryKey are of SAS, in base64, 16 to 64 bytes of key.
	// The hub makes up what is empty when an identity is created.
	PrimaryKey, SecondaryKey Secret
	// PrimaryThumbprint and SecondaryThumbprint are of SelfSigned: the SHA-1 or
	// SHA-256 of a certificate in DER, in hex without colons. One may be empty;
	// with two a certificate can be replaced without a gap.
	PrimaryThumbprint, SecondaryThumbprint string
	// Connected tells whether it is logged in, LastActivity when the hub heard
	// of it last, StatusUpdated when Disabled changed last; zero for never. The
	// hub writes them.
	Connected                   bool
	LastActivity, StatusUpdated time.Time

	host string
	// The authentication as the hub told it, and its kind: what this client does
	// not know is put back as it was. A Secret, since it may hold keys.
	proof Secret
	was   string
}

// ID is "device" or "device/module".
func (i Identity) ID() string { return joinID(i.DeviceID, i.ModuleID) }

// ConnectionString is what the device or module needs to log in with its
// primary key, or empty where the hub has returned no key, and where no connection string
// can hold the id: one with a ';'. What is wrong then
// auth.FormatConnectionString says.
func (i Identity) ConnectionString() Secret {
	if i.host == "" || i.PrimaryKey.IsEmpty() {
		return Secret{}
	}
	s, err := auth.FormatConnectionString(auth.Identity{Host: i.host, DeviceID: i.DeviceID, ModuleID: i.ModuleID}, i.PrimaryKey.Reveal())
	if err != nil {
		return Secret{} // one that says something else is worse than none
	}
	return NewSecret(s)
}

// Identity gets an identity, with its keys.
func (c *Client) Identity(ctx context.Context, id string) (Identity, error) {
	return c.identity(ctx, "get the identity of "+id, id, request{method: "GET", safety: read})
}

// CreateIdentity registers a device or a module, and returns it with its keys,
// if it is to have some. With Authentication SelfSigned and a thumbprint, or
// CertificateAuthority, it logs in with a certificate instead. Where there is one already, the error matches ErrExists. It is not sent again
// when its answer is lost: ask for the identity, then, to see what became of it.
func (c *Client) CreateIdentity(ctx context.Context, i Identity) (Identity, error) {
	what := "create the identity of " + i.ID()
	body, err := i.body(true)
	if err != nil {
		return Identity{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	return c.identity(ctx, what, i.ID(), request{method: "PUT", body: body})
}

// UpdateIdentity writes what an identity says of its status, authentication and
// capabilities, if the registry's is still at the ETag: get it, change it, and
// give it here. Empty keys leave the keys as they are. Another Authentication
// takes the place of the one it had, whose keys or thumbprints are gone then;
// one that changes to SAS gets new keys where they are empty. A device that is
// disabled is cut from its line.
func (c *Client) UpdateIdentity(ctx context.Context, etag ETag, i Identity) (Identity, error) {
	what := "update the identity of " + i.ID()
	r := request{method: "PUT"}
	err := r.matching(etag)
	if err == nil {
		r.body, err = i.body(false)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	return c.identity(ctx, what, i.ID(), r)
}

// DeleteIdentity removes a device with its modules, or a module, with their
// twins, if the identity is still at the ETag.
func (c *Client) DeleteIdentity(ctx context.Context, id string, etag ETag) error {
	r := request{method: "DELETE"}
	path, err := pathOf("devices", id)
	if err == nil {
		r.path = path
		err = r.matching(etag)
	}
	if err == nil {
		_, err = c.do(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("registry: delete the identity of %s: %w", id, err)
	}
	return nil
}

// Devices lists devices, as many as asked for, and 1000 at most; 0 leaves the
// number to the hub. Beyond that, query their twins.
func (c *Client) Devices(ctx context.Context, top int) ([]Identity, error) {
	r := request{method: "GET", path: "/devices", safety: read, limit: maxPage}
	if top < 0 {
		return nil, fmt.Errorf("registry: list devices: %w: %d of them", auth.ErrInvalid, top)
	}
	if top > 0 {
		r.query = "top=" + strconv.Itoa(top)
	}
	return c.identities(ctx, "list devices", r)
}

// Modules lists the modules of a device.
func (c *Client) Modules(ctx context.Context, device string) ([]Identity, error) {
	what := "list the modules of " + device
	if err := (auth.Identity{Host: c.host, DeviceID: device}).Validate(); err != nil {
		return nil, fmt.Errorf("registry: %s: %w", what, err)
	}
	return c.identities(ctx, what, request{method: "GET", path: "/devices/" + url.PathEscape(device) + "/modules", safety: read})
}

func (c *Client) identity(ctx context.Context, what, id string, r request) (Identity, error) {
	path, err := pathOf("devices", id)
	var i Identity
	if err == nil {
		r.path = path
		var a answer
		if a, err = c.do(ctx, r); err == nil {
			i, err = c.parseIdentity(a.body)
		}
	}
	if err != nil {
		return Identity{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	return i, nil
}

func (c *Client) identities(ctx context.Context, what string, r request) ([]Identity, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("registry: %s: %w", what, err)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(a.body, &rows); err != nil {
		return nil, fmt.Errorf("registry: %s: %w: the answer is no list: %w", what, transport.ErrProtocol, err)
	}
	all := make([]Identity, len(rows))
	for n, row := range rows {
		if all[n], err = c.parseIdentity(row); err != nil {
			return nil, fmt.Errorf("registry: %s: %w", what, err)
		}
	}
	return all, nil
}

// body is the identity as the hub reads it.
func (i Identity) body(create bool) ([]byte, error) {
	// An id with a slash would go to a module's path.
	if err := (auth.Identity{Host: "any", DeviceID: i.DeviceID, ModuleID: i.ModuleID}).Validate(); err != nil {
		return nil, err
	}
	proof, err := i.writeProof(create)
	if err != nil {
		return nil, err
	}
	m := map[string]any{"deviceId": i.DeviceID}
	if i.ModuleID != "" {
		m["moduleId"], m["managedBy"] = i.ModuleID, textOrNull(i.ManagedBy)
	} else {
		m["status"], m["statusReason"] = "enabled", textOrNull(i.StatusReason)
		if i.Disabled {
			m["status"] = "disabled"
		}
		m["capabilities"] = map[string]bool{"iotEdge": i.Edge}
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

// parseIdentity reads an identity as the hub writes it.
func (c *Client) parseIdentity(b []byte) (Identity, error) {
	var m struct {
		DeviceID, ModuleID, GenerationID      string
		ETag                                  ETag
		Status, StatusReason, ConnectionState string
		ManagedBy                             string
		StatusUpdatedTime, LastActivityTime   hubTime
		Capabilities                          struct{ IotEdge bool }
		Authentication                        json.RawMessage
	}
	if err := json.Unmarshal(b, &m); err != nil || m.DeviceID == "" {
		return Identity{}, fmt.Errorf("%w: the answer is no identity", transport.ErrProtocol) // err may quote a key
	}
	i := Identity{
		DeviceID: m.DeviceID, ModuleID: m.ModuleID, ETag: m.ETag, Generation: m.GenerationID,
		Disabled: m.Status == "disabled", StatusReason: m.StatusReason, Edge: m.Capabilities.IotEdge, ManagedBy: m.ManagedBy,
		Connected: m.ConnectionState == "Connected", LastActivity: time.Time(m.LastActivityTime), StatusUpdated: time.Time(m.StatusUpdatedTime),
		host: c.host,
	}
	return i, i.readProof(m.Authentication)
}

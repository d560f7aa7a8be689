package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A Twin is a device's or module's twin as the hub keeps it, at one moment.
type Twin struct {
	// DeviceID and ModuleID name it; ModuleID is empty for a device.
	DeviceID, ModuleID string
	// ETag changes with each write to the twin; give it to UpdateTwin.
	ETag string
	// Version counts the writes to the twin.
	Version int64
	// Tags are the back end's own; no device sees them. They have no version.
	Tags twin.Properties
	// Desired is what the back end wants, Reported what the device said.
	Desired, Reported twin.Properties
	// ModelID is the Plug and Play model that the device announced, empty for
	// none.
	ModelID string
	// Enabled tells whether the device may log in. Modules have no status of
	// their own.
	Enabled bool
	// Connected tells whether the device is logged in; real hubs may be minutes
	// late.
	Connected bool
	// LastActivity is when the hub heard of the device last; zero for never.
	LastActivity time.Time

	raw []byte
}

// ID is "device" or "device/module".
func (t Twin) ID() string { return joinID(t.DeviceID, t.ModuleID) }

// JSON is the twin as the hub sent it, $metadata included. The bytes are the
// caller's.
func (t Twin) JSON() []byte { return bytes.Clone(t.raw) }

func joinID(device, module string) string {
	if module == "" {
		return device
	}
	return device + "/" + module
}

// Twin gets a twin.
func (c *Client) Twin(ctx context.Context, id string) (Twin, error) {
	path, err := pathOf("twins", id)
	if err != nil {
		return Twin{}, fmt.Errorf("registry: get a twin: %w", err)
	}
	a, err := c.do(ctx, request{method: "GET", path: path, safety: read})
	return twinAnswer(a, err, "get the twin of "+id)
}

// A Change is what a back end writes to a twin: both parts as one change, all
// or nothing.
type Change struct {
	// Tags and Desired are merged into what is there, or replace it. An empty
	// patch names nothing. One that replaces a part (twin.Replace) fits no
	// update: it would have to know what is there.
	Tags, Desired twin.Patch
}

// UpdateTwin merges a change into a twin, if it is still at the ETag, and
// returns it as it is then. What the change does not name stays; null deletes.
// The device is told of desired properties, if it is connected.
func (c *Client) UpdateTwin(ctx context.Context, id, etag string, change Change) (Twin, error) {
	if change.Tags.IsEmpty() && change.Desired.IsEmpty() {
		return Twin{}, fmt.Errorf("registry: update the twin of %s: %w: the change is empty", id, twin.ErrInvalid)
	}
	return c.writeTwin(ctx, "PATCH", id, etag, change)
}

// ReplaceTwin replaces all tags and all desired properties, if the twin is
// still at the ETag, and returns it as it is then. What the change does not
// name is gone; it holds no null.
func (c *Client) ReplaceTwin(ctx context.Context, id, etag string, change Change) (Twin, error) {
	return c.writeTwin(ctx, "PUT", id, etag, change)
}

func (c *Client) writeTwin(ctx context.Context, method, id, etag string, change Change) (Twin, error) {
	what := "update the twin of " + id
	if method == "PUT" {
		what = "replace the twin of " + id
	}
	r := request{method: method}
	path, err := pathOf("twins", id)
	if err == nil {
		r.path = path
		err = r.matching(etag)
	}
	if err == nil {
		r.body, err = change.body(method == "PUT")
	}
	if err != nil {
		return Twin{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	a, err := c.do(ctx, r)
	return twinAnswer(a, err, what)
}

// body is the change as the hub reads it; whole says that what is empty is
// named, too.
func (ch Change) body(whole bool) ([]byte, error) {
	b := []byte{'{'}
	for _, part := range []struct {
		name, open, shut string
		patch            twin.Patch
	}{{"tags", `"tags":`, "", ch.Tags}, {"desired properties", `"properties":{"desired":`, "}", ch.Desired}} {
		if err := part.patch.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		// Judged as a change of nothing: what is refused then, always is.
		if err := twin.Validate(twin.Properties{}, part.patch); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		if part.patch.IsEmpty() && !whole {
			continue
		}
		if whole {
			for path, v := range part.patch.Paths() {
				if v.Kind() == twin.Null {
					return nil, fmt.Errorf("%s: %w: %q is null, which only an update may hold; leave it out", part.name, twin.ErrInvalid, path)
				}
			}
		}
		text := part.patch.JSON() // which of a whole says all
		if !whole {
			var err error
			if text, err = part.patch.MarshalJSON(); err != nil {
				return nil, fmt.Errorf("%s: %w", part.name, err)
			}
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, part.open...), text...), part.shut...)
	}
	return append(b, '}'), nil
}

func twinAnswer(a answer, err error, what string) (Twin, error) {
	var t Twin
	if err == nil {
		t, err = parseTwin(a.body)
	}
	if err != nil {
		return Twin{}, fmt.Errorf("registry: %s: %w", what, err)
	}
	return t, nil
}

// errNotTwin says that JSON from the hub is no twin.
var errNotTwin = errors.New("not a twin")

// parseTwin reads a twin as the hub writes it.
func parseTwin(b []byte) (Twin, error) {
	var m struct {
		DeviceID, ModuleID, ETag, ModelID string
		Version                           int64
		Status, ConnectionState           string
		LastActivityTime                  hubTime
		Tags                              json.RawMessage
		Properties                        struct{ Desired, Reported json.RawMessage }
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Twin{}, fmt.Errorf("%w: %w: %w", transport.ErrProtocol, errNotTwin, err)
	}
	if m.DeviceID == "" {
		return Twin{}, fmt.Errorf("%w: %w: it has no deviceId", transport.ErrProtocol, errNotTwin)
	}
	t := Twin{
		DeviceID: m.DeviceID, ModuleID: m.ModuleID, ETag: m.ETag, Version: m.Version, ModelID: m.ModelID,
		Enabled: m.Status != "disabled", Connected: m.ConnectionState == "Connected",
		LastActivity: time.Time(m.LastActivityTime), raw: bytes.Clone(b),
	}
	var err error
	if t.Desired, err = parseSection(m.Properties.Desired); err != nil {
		return Twin{}, fmt.Errorf("%w: %w: desired: %w", transport.ErrProtocol, errNotTwin, err)
	}
	if t.Reported, err = parseSection(m.Properties.Reported); err != nil {
		return Twin{}, fmt.Errorf("%w: %w: reported: %w", transport.ErrProtocol, errNotTwin, err)
	}
	if len(m.Tags) > 0 && string(m.Tags) != "null" {
		tags, err := twin.ParsePatch(m.Tags)
		if err != nil {
			return Twin{}, fmt.Errorf("%w: %w: tags: %w", transport.ErrProtocol, errNotTwin, err)
		}
		t.Tags = twin.Apply(twin.Properties{}, tags)
	}
	return t, nil
}

// parseSection reads a half of a twin. The service always names its version.
func parseSection(b []byte) (twin.Properties, error) {
	p, err := twin.ParseProperties(b)
	if err == nil && p.Version() == 0 {
		err = fmt.Errorf("%w: no $version", twin.ErrIncomplete)
	}
	return p, err
}

// hubTime reads the hub's times, with and without a zone; year 1 is never.
type hubTime time.Time

// UnmarshalJSON takes any text: a time that cannot be read is no reason to lose
// a twin.
func (h *hubTime) UnmarshalJSON(b []byte) error {
	*h = hubTime{}
	var text string
	if json.Unmarshal(b, &text) != nil {
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 1 {
			*h = hubTime(t.UTC())
			break
		}
	}
	return nil
}

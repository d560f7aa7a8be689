package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A Twin is the twin of a device or module as the hub holds it at one moment. It
// prints, logs and marshals as the JSON that the hub sent.
type Twin struct {
	// ID is "device" or "device/module".
	ID string
	// ETag changes with each write to the twin, the device's included. Give it to
	// UpdateTwin or ReplaceTwin.
	ETag ETag
	// Tags are written and read by back ends only. They have no version.
	Tags twin.Properties
	// Desired properties are written by back ends, Reported ones by the device.
	Desired, Reported twin.Properties
	// ModelID is the Plug and Play model that the device announced, if any.
	ModelID string
	// Disabled reports that the device may not connect. Modules have no status.
	Disabled bool
	// Connected reports whether the device is connected. Real hubs may be minutes
	// late.
	Connected bool
	// LastActivity is when the hub last heard from the device, or zero if never.
	LastActivity time.Time

	raw string // a string, since fmt prints it as text even where it cannot call String
}

// String returns the twin as the hub sent it, $metadata included.
func (t Twin) String() string { return t.raw }

// MarshalJSON returns the twin as the hub sent it. Changed fields do not count.
// The zero Twin is null.
func (t Twin) MarshalJSON() ([]byte, error) {
	if t.raw == "" {
		return []byte("null"), nil
	}
	return []byte(t.raw), nil
}

func joinID(device, module string) string {
	if module == "" {
		return device
	}
	return device + "/" + module
}

// Twin returns the twin of a device or module.
func (c *Client) Twin(ctx context.Context, id string) (Twin, error) {
	t, err := c.getTwin(ctx, id)
	if err != nil {
		return Twin{}, fmt.Errorf("registry: %w", err)
	}
	return t, nil
}

// getTwin is Twin without the prefix of its errors.
func (c *Client) getTwin(ctx context.Context, id string) (Twin, error) {
	what := "get the twin of " + id
	path, err := pathOf("twins", id)
	if err != nil {
		return Twin{}, fmt.Errorf("%s: %w", what, err)
	}
	a, err := c.do(ctx, request{method: http.MethodGet, path: path, safety: read})
	return twinAnswer(a, err, what)
}

// A Change is a write to a twin. The hub performs both parts or none.
type Change struct {
	// Tags and Desired are merged into the twin by UpdateTwin, ModifyTwin and
	// UpdateTwins, and replace its sections by ReplaceTwin. An empty patch changes
	// nothing in a merge. A merge cannot hold twin.Replace, since that depends on
	// what the twin holds.
	Tags, Desired twin.Patch
}

// UpdateTwin merges a change into a twin and returns the twin after the write.
// Properties that the change does not name are unchanged, and null deletes. The
// hub sends desired properties to the device if it is connected.
func (c *Client) UpdateTwin(ctx context.Context, id string, etag ETag, change Change) (Twin, error) {
	t, err := c.updateTwin(ctx, id, etag, change)
	if err != nil {
		return Twin{}, fmt.Errorf("registry: %w", err)
	}
	return t, nil
}

// ReplaceTwin replaces all tags and all desired properties, and returns the twin
// after the write. It deletes what the change does not name. A null in the change
// is an error.
func (c *Client) ReplaceTwin(ctx context.Context, id string, etag ETag, change Change) (Twin, error) {
	t, err := c.writeTwin(ctx, http.MethodPut, id, etag, change)
	if err != nil {
		return Twin{}, fmt.Errorf("registry: %w", err)
	}
	return t, nil
}

// updateTwin is UpdateTwin without the prefix of its errors.
func (c *Client) updateTwin(ctx context.Context, id string, etag ETag, change Change) (Twin, error) {
	if change.isEmpty() {
		return Twin{}, fmt.Errorf("update the twin of %s: %w: the change is empty", id, twin.ErrInvalid)
	}
	return c.writeTwin(ctx, http.MethodPatch, id, etag, change)
}

func (c *Client) writeTwin(ctx context.Context, method, id string, etag ETag, change Change) (Twin, error) {
	what := "update the twin of " + id
	if method == http.MethodPut {
		what = "replace the twin of " + id
	}
	r := request{method: method}
	path, err := pathOf("twins", id)
	if err == nil {
		r.path = path
		err = r.matching(etag)
	}
	if err == nil {
		r.body, err = change.body(method == http.MethodPut)
	}
	if err != nil {
		return Twin{}, fmt.Errorf("%s: %w", what, err)
	}
	a, err := c.do(ctx, r)
	return twinAnswer(a, err, what)
}

// isEmpty reports whether the change names nothing.
func (ch Change) isEmpty() bool {
	return ch.Tags.IsEmpty() && ch.Desired.IsEmpty() && ch.Tags.Err() == nil && ch.Desired.Err() == nil
}

// body returns the change as the hub reads it. If whole, it names empty parts too.
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
		text := part.patch.JSON() // enough for a replacement
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
		return Twin{}, fmt.Errorf("%s: %w", what, err)
	}
	return t, nil
}

// errNotTwin reports JSON from the hub that is not a twin.
var errNotTwin = errors.New("not a twin")

// parseTwin reads a twin as the hub writes it.
func parseTwin(b []byte) (Twin, error) {
	var m struct {
		DeviceID, ModuleID, ModelID string
		ETag                        ETag
		Status, ConnectionState     string
		LastActivityTime            hubTime
		Tags                        json.RawMessage
		Properties                  struct{ Desired, Reported json.RawMessage }
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Twin{}, fmt.Errorf("%w: %w: %w", transport.ErrProtocol, errNotTwin, err)
	}
	if m.DeviceID == "" {
		return Twin{}, fmt.Errorf("%w: %w: it has no deviceId", transport.ErrProtocol, errNotTwin)
	}
	t := Twin{
		ID: joinID(m.DeviceID, m.ModuleID), ETag: m.ETag, ModelID: m.ModelID,
		Disabled: m.Status == statusDisabled, Connected: m.ConnectionState == "Connected",
		LastActivity: time.Time(m.LastActivityTime), raw: string(b),
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

// parseSection reads a section of a twin. The hub always sends its version.
func parseSection(b []byte) (twin.Properties, error) {
	p, err := twin.ParseProperties(b)
	if err == nil && p.Version() == 0 {
		err = fmt.Errorf("%w: no $version", twin.ErrIncomplete)
	}
	return p, err
}

// hubTime reads the hub's times, with and without a zone. Year 1 means never.
type hubTime time.Time

// UnmarshalJSON accepts any text: a twin with a malformed time is still a twin.
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

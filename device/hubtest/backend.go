package hubtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A Twin is a device's or module's twin as the back end sees it, at one
// moment.
type Twin struct {
	// Version is the root version. It starts at 2 and counts every write to tags or
	// to either half.
	Version int64
	// Connected tells whether the device is logged in.
	Connected bool
	// ModelID is what the device announced at its last login.
	ModelID string
	// Tags are the back end's own, as JSON with its keys sorted, for tests to
	// compare. No device sees them.
	Tags []byte

	Desired, Reported Section

	etag    string // as services get it
	enabled bool
}

// A Section is one half of a twin. A value is read by its path:
//
//	rpm, err := twin.Get[int](tw.Reported, "fan.rpm")
type Section struct {
	// Version starts at 1.
	Version int64
	// JSON is the document without the hub's own members ($version,
	// $metadata), its keys sorted, for tests to compare: devices and services get
	// members in the order in which they were written.
	JSON []byte

	metadata []byte // the $metadata: when each member was written last
}

// At returns the value at a path of keys, such as "fan.rpm", and for "" the whole
// section. Where there is none, the value is missing: its Exists is false.
func (s Section) At(path string) twin.Value {
	var v twin.Value
	if err := v.UnmarshalJSON(s.JSON); err != nil {
		return twin.Value{}
	}
	return v.At(path)
}

// SetDesired merges a patch into the desired properties, as a back end does
// with PATCH, and tells the device if it is connected and subscribed. It
// returns the new version. What the hub's rules refuse is a
// *transport.StatusError, and changes nothing.
//
// The patch is JSON in a string or in bytes, or any value that encoding/json makes
// JSON of, such as a twin.Patch, a map or a struct. What it cannot encode is an error:
// also a twin.Replace, which no merge patch can say.
func (d Device) SetDesired(patch any) (int64, error) {
	rules := d.hub.opts.rules()
	told, err := parse(rules, patch, true)
	if err != nil {
		return 0, err
	}
	return d.writeDesired(func(old *jsondoc.Object) (*jsondoc.Object, *jsondoc.Object) {
		return rules.Apply(old, told), told
	})
}

// ReplaceDesired replaces the desired properties, as a back end does with PUT.
// The device is told every new member, and null for every one that vanished.
// The document is given as to SetDesired, and holds no null.
func (d Device) ReplaceDesired(document any) (int64, error) {
	doc, err := parse(d.hub.opts.rules(), document, false)
	if err != nil {
		return 0, err
	}
	return d.writeDesired(func(old *jsondoc.Object) (*jsondoc.Object, *jsondoc.Object) {
		return doc, section.Replacement(old, doc)
	})
}

// parse reads what a test writes to a twin. A patch may hold nulls.
func parse(rules section.Rules, v any, nulls bool) (*jsondoc.Object, error) {
	var text []byte
	switch v := v.(type) {
	case string:
		text = []byte(v)
	case []byte:
		text = v
	case json.RawMessage: // for the hub to judge, as a service would send it
		text = v
	default:
		var err error
		if text, err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("hubtest: encode a %T: %w", v, err)
		}
	}
	doc, f := rules.Parse(text, nulls)
	if f != nil {
		return nil, statusError(f)
	}
	return doc, nil
}

// Twin returns the twin as it is now.
func (d Device) Twin() (Twin, error) {
	t, _, err := d.view()
	return t, err
}

// view returns the twin, and a channel that is closed at its next change.
func (d Device) view() (Twin, <-chan struct{}, error) {
	d.hub.mu.Lock()
	who, err := d.found()
	if err != nil {
		d.hub.mu.Unlock()
		return Twin{}, nil, err
	}
	t, changed := who.twin, who.changed // documents are never changed in place
	out := Twin{
		Version: t.Version, Connected: who.conn != nil, ModelID: who.modelID,
		etag: t.ETagText(), enabled: !who.disabled,
	}
	d.hub.mu.Unlock()
	out.Tags = jsondoc.Append(nil, jsondoc.Sorted(t.Tags))
	out.Desired = viewOf(t.Desired, true)
	out.Reported = viewOf(t.Reported, false)
	return out, changed, nil
}

// SetTags merges a patch, given as to SetDesired, into the tags, as a back end does
// with PATCH. No device is told. It returns the root version. What the hub's rules
// refuse is a *transport.StatusError, and changes nothing.
func (d Device) SetTags(patch any) (int64, error) {
	h := d.hub
	doc, err := parse(h.opts.rules(), patch, true)
	if err != nil {
		return 0, err
	}
	t, f := h.writeTwin(d.id, twinWrite{tags: doc}, etagMatch{}, h.opts.Now())
	if f != nil && f.Code/1000 == 404 {
		return 0, fmt.Errorf("%w: %s", ErrUnknown, d.id)
	}
	if f != nil {
		return 0, statusError(f)
	}
	return t.twin.Version, nil
}

// SendMessage queues a message for a device or module ("device/module"), as a
// back end sends it from cloud to device. Over MQTT the hub delivers it to a
// client that has subscribed to such messages, at once or at its next login with
// clean session 0, and again after a minute and at each login, until PUBACK
// completes it. A login with clean session 1 drops what waits. Over AMQP nothing
// is delivered. An unknown device is ErrUnknown. The 51st message that waits, and
// a body of more than 64 KB, are a *transport.StatusError.
func (d Device) SendMessage(body []byte) error {
	d.hub.mu.Lock()
	defer d.hub.mu.Unlock()
	who, err := d.open()
	switch {
	case err != nil:
		return err
	case len(body) > maxDevicebound:
		return statusError(fault.New(fault.TooLarge, "The message has %d bytes; at most %d are allowed.", len(body), maxDevicebound))
	case len(who.mqtt.inbox) >= maxPending:
		return statusError(fault.New(fault.QueueDepth, "Total number of messages on IotHub device exceeded the maximum of %d.", maxPending))
	}
	who.mqtt.add(slices.Clone(body))
	if who.conn != nil {
		who.conn.deliverInbox()
	}
	return nil
}

// viewOf is a half as the hub's own API shows it.
func viewOf(s section.Half, versions bool) Section {
	return Section{Version: s.Version, JSON: jsondoc.Append(nil, jsondoc.Sorted(s.Doc)), metadata: jsondoc.Append(nil, jsondoc.Sorted(s.Meta.Tree(s.Doc, versions)))}
}

// Wait waits, without polling, until cond holds for the twin, and returns it
// as cond saw it. It looks at once, then after each change of the twin or of
// its connection; of changes that follow each other closely it may see only
// the last. cond is called by Wait's caller with no lock held. When ctx ends
// first, the twin as last seen is returned with the error.
func (d Device) Wait(ctx context.Context, cond func(Twin) bool) (Twin, error) {
	for {
		t, changed, err := d.view()
		if err != nil || cond(t) {
			return t, err
		}
		select {
		case <-changed:
		case <-d.hub.done:
			return t, ErrClosed
		case <-ctx.Done():
			return t, fmt.Errorf("hubtest: waiting for twin %s: %w", d.id, ctx.Err())
		}
	}
}

// WaitReported waits until the reported property at a path such as "fan.rpm"
// has the value; an empty path means the whole section. Objects are equal
// whatever the order of their keys, and numbers by value. An empty wantJSON
// waits until there is no such property.
func (d Device) WaitReported(ctx context.Context, path, wantJSON string) (Twin, error) {
	var want any = jsondoc.Absent{}
	wanted := wantJSON
	if wantJSON == "" {
		wanted = "gone"
	} else {
		var err error
		if want, err = jsondoc.Parse([]byte(wantJSON)); err != nil {
			return Twin{}, fmt.Errorf("hubtest: wantJSON: %w", err)
		}
	}
	t, err := d.Wait(ctx, func(t Twin) bool {
		doc, err := jsondoc.Parse(t.Reported.JSON)
		return err == nil && jsondoc.Equal(jsondoc.At(doc, path), want)
	})
	if err != nil {
		return t, fmt.Errorf("%w: reported %q is not %s in %s", err, path, wanted, t.Reported.JSON)
	}
	return t, nil
}

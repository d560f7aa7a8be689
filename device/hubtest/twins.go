package hubtest

import (
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
)

// Writing twins, for devices, for services and for tests.

// patched merges a device's patch of its reported properties that was parsed with
// the outcome f, and returns its answer, or false for an identity that was removed
// since. h.mu is held.
func (h *Hub) patched(who *identity, req *request, patch *jsondoc.Object, f *fault.Fault, now time.Time) (Message, bool) {
	if who == nil || h.identities[who.id] != who {
		return Message{}, false
	}
	if req.bad != nil {
		f = req.bad
	}
	s := &who.twin.Reported
	if f == nil && req.expects && req.msg.Version != s.Version {
		f = fault.New(fault.Precondition, "PreconditionFailed: expected reported version %d, it is %d", req.msg.Version, s.Version)
	}
	var doc *jsondoc.Object
	if f == nil {
		doc = h.opts.rules().Apply(s.Doc, patch)
		f = section.CheckSize("Properties.Reported", s.Doc, doc)
	}
	if f != nil {
		h.faultCount++
		return Message{Op: PatchReported, Status: f.Status(), Body: f.Body(h.faultCount, now)}, true
	}
	who.twin.Write(s, doc, patch, now)
	who.touch()
	return Message{Op: PatchReported, Status: 204, Version: s.Version}, true
}

// writeDesired writes the desired properties of an identity as change makes them,
// and returns their new version.
func (d Device) writeDesired(change func(old *jsondoc.Object) (doc, told *jsondoc.Object)) (int64, error) {
	h := d.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	who, err := d.open()
	if err != nil {
		return 0, err
	}
	s := &who.twin.Desired
	doc, told := change(s.Doc)
	if f := section.CheckSize("Properties.Desired", s.Doc, doc); f != nil {
		return 0, statusError(f)
	}
	who.twin.Write(s, doc, told, now)
	h.notify(who, told)
	who.touch()
	return s.Version, nil
}

// twinWrite is what a service writes to a twin. Of a patch, nil leaves as it
// is; of a replacement, neither is nil.
type twinWrite struct {
	tags, desired *jsondoc.Object
	replace       bool
}

// writeTwin writes tags and desired properties as one change: all or nothing,
// one step of the etag, and one word to the device if it concerns it.
func (h *Hub) writeTwin(id string, w twinWrite, match etagMatch, now time.Time) (entry, *fault.Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	who, f := h.find(id)
	if f != nil {
		return entry{}, f
	}
	t := &who.twin
	if match.differs(t.ETagText()) {
		return entry{}, fault.OtherTwin(who.device)
	}
	tags, desired, told := t.Tags, t.Desired.Doc, w.desired
	if w.tags != nil {
		tags = h.opts.rules().Apply(tags, w.tags)
	}
	if w.desired != nil {
		desired = h.opts.rules().Apply(desired, w.desired)
	}
	if w.replace {
		tags, desired, told = w.tags, w.desired, section.Replacement(t.Desired.Doc, w.desired)
	}
	if f := section.CheckTags(t.Tags, tags); f != nil {
		return entry{}, f
	}
	if f := section.CheckSize("Properties.Desired", t.Desired.Doc, desired); f != nil {
		return entry{}, f
	}
	t.Tags = tags
	if w.desired != nil {
		t.Write(&t.Desired, desired, told, now)
		h.notify(who, told)
	} else {
		t.Version++
		t.ETag++
	}
	who.touch()
	return who.entry(), nil
}

// notify sends a device the change of its desired properties, if it listens.
// Nothing is kept for one that does not. h.mu is held, so changes are sent in the
// order of their versions.
func (h *Hub) notify(who *identity, told *jsondoc.Object) {
	if who.conn == nil || !who.conn.hears() {
		return
	}
	v := who.twin.Desired.Version
	h.count(who.id, func(s *Stats) { s.Notifications++ })
	who.conn.tell(Message{
		Device: who.id, Op: Desired, FromHub: true, Version: v,
		Body: section.Append(nil, told, v),
	})
}

// etagMatch is an If-Match: the zero value lets everything pass.
type etagMatch struct {
	given bool // there was a header
	one   bool // only this etag will do
	etag  string
}

// differs reports whether the etag is another one.
func (m etagMatch) differs(etag string) bool { return m.one && m.etag != etag }

package hubtest

import (
	"errors"
	"maps"
	"time"
)

// maxTags is the limit of the tags.
const maxTags = 8 << 10

func (h *Hub) restGetTwin(req restRequest) (restAnswer, *fault) {
	e, f := h.entryOf(req.id)
	if f != nil {
		return restAnswer{}, f
	}
	return twinAnswer(e), nil
}

func twinAnswer(e entry) restAnswer {
	return restAnswer{etag: e.twin.etagText(), body: appendJSON(nil, e.document())}
}

func (h *Hub) restPatchTwin(req restRequest) (restAnswer, *fault) { return h.restWriteTwin(req, false) }

func (h *Hub) restPutTwin(req restRequest) (restAnswer, *fault) { return h.restWriteTwin(req, true) }

func (h *Hub) restWriteTwin(req restRequest, replace bool) (restAnswer, *fault) {
	w, f := h.opts.parseTwinWrite(req.body, replace)
	if f != nil {
		return restAnswer{}, f
	}
	e, f := h.writeTwin(req.id, w, req.match, req.now)
	if f != nil {
		return restAnswer{}, f
	}
	return twinAnswer(e), nil
}

// twinWrite is what a service writes to a twin. Of a patch, nil leaves as it
// is; of a replacement, neither is nil.
type twinWrite struct {
	tags, desired map[string]any
	replace       bool
}

// parseTwinWrite reads a patch of a twin, or a whole one. Only tags and desired
// properties are a service's to write: a whole twin is put back as it was got,
// so the rest of it is ignored there; in a patch, naming reported properties is
// a mistake.
func (o *Options) parseTwinWrite(body []byte, replace bool) (twinWrite, *fault) {
	w := twinWrite{replace: replace}
	doc, err := parseObject(body)
	switch {
	case errors.Is(err, errNotObject):
		return w, refuse(codeInvalid, "The body is not a twin.")
	case err != nil:
		return w, refuse(codeFormat, "Cannot deserialize the body as JSON: %v.", err)
	}
	var f *fault
	if w.tags, f = o.writable(doc, "tags", replace); f != nil {
		return w, f
	}
	properties, given := doc["properties"].(map[string]any)
	if _, named := doc["properties"]; named && !given {
		return w, refuse(codeInvalid, "'properties' is not an object.")
	}
	if _, named := properties["reported"]; named && !replace {
		return w, refuse(codeInvalid, "Reported properties are not a service's to write.")
	}
	if desired, ok := properties["desired"].(map[string]any); ok {
		// A hub's own members come back with what was got before.
		properties = map[string]any{"desired": without(desired, "$version", "$metadata")}
	}
	if w.desired, f = o.writable(properties, "desired", replace); f != nil {
		return w, f
	}
	return w, nil
}

func without(m map[string]any, keys ...string) map[string]any {
	out := maps.Clone(m)
	for _, k := range keys {
		delete(out, k)
	}
	return out
}

// writable checks the member of that name: an object by the rules of a section.
// Where it is missing it is nil, or in a replacement empty.
func (o *Options) writable(m map[string]any, name string, replace bool) (map[string]any, *fault) {
	v, named := m[name]
	if !named && replace {
		return map[string]any{}, nil
	}
	if !named {
		return nil, nil
	}
	part, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(codeInvalid, "Provided json is not a valid 'tags' or 'properties' object.")
	}
	if f := checkObject(part, 0, !replace); f != nil {
		return nil, f
	}
	if o.RewriteNumbers {
		rewriteNumbers(part)
	}
	return part, nil
}

// writeTwin writes tags and desired properties as one change: all or nothing,
// one step of the etag, and one word to the device if it concerns it.
func (h *Hub) writeTwin(id string, w twinWrite, match etagMatch, now time.Time) (entry, *fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	who, f := h.find(id)
	if f != nil {
		return entry{}, f
	}
	t := &who.twin
	if f := match.fails(t.etagText()); f != nil {
		return entry{}, f
	}
	tags, desired, told := t.tags, t.desired.doc, w.desired
	if w.tags != nil {
		tags = merge(tags, w.tags, h.opts.MergeRule)
	}
	if w.desired != nil {
		desired = merge(desired, w.desired, h.opts.MergeRule)
	}
	if w.replace {
		tags, desired, told = w.tags, w.desired, replacement(t.desired.doc, w.desired)
	}
	if n := size(tags); n > maxTags && n > size(t.tags) {
		return entry{}, refuse(codeOversize, "'Tags' size should be less than %d bytes.", maxTags)
	}
	if f := checkSize("Properties.Desired", t.desired.doc, desired); f != nil {
		return entry{}, f
	}
	t.tags = tags
	if w.desired != nil {
		t.write(&t.desired, desired, told, now)
		h.notify(who, told)
	} else {
		t.version++
		t.etag++
	}
	who.touch()
	return who.entry(), nil
}

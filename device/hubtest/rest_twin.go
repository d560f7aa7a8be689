package hubtest

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/query"
)

func (h *Hub) restGetTwin(req restRequest) (restAnswer, *fault.Fault) {
	e, f := h.entryOf(req.id)
	if f != nil {
		return restAnswer{}, f
	}
	return req.twinAnswer(e), nil
}

// twinAnswer has no header ETag: the twin holds it.
func (req restRequest) twinAnswer(e entry) restAnswer {
	return restAnswer{body: jsondoc.Append(nil, e.document(req.version))}
}

func (h *Hub) restPatchTwin(req restRequest) (restAnswer, *fault.Fault) {
	return h.restWriteTwin(req, false)
}

func (h *Hub) restPutTwin(req restRequest) (restAnswer, *fault.Fault) {
	return h.restWriteTwin(req, true)
}

func (h *Hub) restWriteTwin(req restRequest, replace bool) (restAnswer, *fault.Fault) {
	w, f := h.opts.parseTwinWrite(req.body, replace)
	if f != nil {
		return restAnswer{}, f
	}
	e, f := h.writeTwin(req.id, w, req.match, req.now)
	if f != nil {
		return restAnswer{}, f
	}
	return req.twinAnswer(e), nil
}

// parseTwinWrite reads a patch of a twin, or a whole one. Only tags and desired
// properties are a service's to write. The rest is ignored, reported properties
// included: many clients send back the twin that they got.
func (o *Options) parseTwinWrite(body []byte, replace bool) (twinWrite, *fault.Fault) {
	w := twinWrite{replace: replace}
	doc, err := jsondoc.ParseObject(body)
	switch {
	case errors.Is(err, jsondoc.ErrNotObject):
		return w, fault.New(fault.Invalid, "The body is not a twin.")
	case err != nil:
		return w, fault.New(fault.Format, "Cannot deserialize the body as JSON: %v.", err)
	}
	var f *fault.Fault
	tags, named := doc.Fold("tags")
	if w.tags, f = o.writable(tags, named, replace); f != nil {
		return w, f
	}
	v, named := doc.Fold("properties")
	properties, isObject := v.(*jsondoc.Object)
	if named && !isObject {
		return w, fault.New(fault.Invalid, "'properties' is not an object.")
	}
	desired, named := properties.Lookup("desired")
	if half, isObject := desired.(*jsondoc.Object); isObject {
		// A hub's own members come back with what was got before.
		desired = half.Without("$version", "$metadata")
	}
	w.desired, f = o.writable(desired, named, replace)
	return w, f
}

// writable checks what is written: an object by the rules of a section. Where it
// is not named it is nil, or in a replacement empty.
func (o *Options) writable(v any, named, replace bool) (*jsondoc.Object, *fault.Fault) {
	if !named && replace {
		return &jsondoc.Object{}, nil
	}
	if !named {
		return nil, nil
	}
	return o.rules().Check(v, !replace)
}

// restQuery answers a page of a query. The continuation is opaque to clients:
// it names the last row, so it stays good when the data change.
func (h *Hub) restQuery(req restRequest) (restAnswer, *fault.Fault) {
	doc, err := jsondoc.ParseObject(req.body)
	if err != nil {
		return restAnswer{}, fault.New(fault.Format, "Cannot deserialize the body as a query: %v.", err)
	}
	v, _ := doc.Fold("query")
	text, ok := v.(string)
	if !ok {
		return restAnswer{}, fault.New(fault.Null, "BadRequest")
	}
	page, f := pageSize(req.Header.Get("x-ms-max-item-count"))
	if f != nil {
		return restAnswer{}, f
	}
	after, f := parseContinuation(req.Header.Get("x-ms-continuation"))
	if f != nil {
		return restAnswer{}, f
	}
	q, f := query.Parse(text)
	if f != nil {
		return restAnswer{}, f
	}

	rows := []any{}
	last := ""
	header := map[string]string{"x-ms-item-type": "Twin"}
	if !q.Whole() {
		header["x-ms-item-type"] = "Raw"
	}
	if q.Grouped() {
		return h.groups(q, req.version, page, after, header)
	}
	all := h.entries(func(who *identity) bool { return (who.module != "") == q.Modules })
	start, found := slices.BinarySearchFunc(all, after, func(e entry, id string) int { return strings.Compare(e.id, id) })
	if found {
		start++
	}
	for _, e := range all[start:] {
		row := e.row(req.version)
		if !q.Keeps(row) {
			continue
		}
		if len(rows) == page {
			header["x-ms-continuation"] = continuation(last)
			break
		}
		rows, last = append(rows, q.Row(row)), e.id
	}
	return restAnswer{header: header, body: jsondoc.Append(nil, rows)}, nil
}

// groups answers a page of a query that counts. Its continuation names the number of
// the last row.
func (h *Hub) groups(q query.Query, version string, page int, after string, header map[string]string) (restAnswer, *fault.Fault) {
	var kept []*jsondoc.Object
	for _, e := range h.entries(func(who *identity) bool { return (who.module != "") == q.Modules }) {
		if row := e.row(version); q.Keeps(row) {
			kept = append(kept, row)
		}
	}
	all := q.Groups(kept)
	from := 0
	if after != "" {
		n, err := strconv.ParseUint(after, 10, 31)
		if err != nil {
			return restAnswer{}, fault.New(fault.Invalid, "The continuation token is not one of this query.")
		}
		from = min(int(n), len(all))
	}
	rows := []any{}
	for _, row := range all[from:min(from+page, len(all))] {
		rows = append(rows, row)
	}
	if end := from + len(rows); end < len(all) {
		header["x-ms-continuation"] = continuation(strconv.Itoa(end))
	}
	return restAnswer{header: header, body: jsondoc.Append(nil, rows)}, nil
}

const continuationPrefix = "after:"

func continuation(last string) string {
	return base64.StdEncoding.EncodeToString([]byte(continuationPrefix + last))
}

func parseContinuation(text string) (string, *fault.Fault) {
	if text == "" {
		return "", nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if id, ok := strings.CutPrefix(string(b), continuationPrefix); ok && err == nil {
		return id, nil
	}
	return "", fault.New(fault.Invalid, "The continuation token is not one of this hub.")
}

func pageSize(text string) (int, *fault.Fault) {
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, fault.New(fault.ResultCount, "x-ms-max-item-count is not a whole number from 1 to %d.", maxPage)
	}
	return n, nil
}

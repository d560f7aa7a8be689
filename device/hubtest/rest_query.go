package hubtest

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/query"
)

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
			header["x-ms-continuation"] = base64.StdEncoding.EncodeToString([]byte(continuationPrefix + last))
			break
		}
		rows, last = append(rows, row), e.id
	}
	return restAnswer{header: header, body: jsondoc.Append(nil, rows)}, nil
}

const continuationPrefix = "after:"

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

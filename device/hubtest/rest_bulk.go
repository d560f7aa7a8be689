package hubtest

import (
	"encoding/json"
	"net/http"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
)

// maxBulk is how many operations one bulk request may hold.
const maxBulk = 100

// codeTwice is the code of an id that one bulk request names twice:
// DeviceDefinedMultipleTimes.
const codeTwice = 400011

// bulkOperation is one operation of a bulk request. What it writes to the twin is
// read from the same text by parseTwinWrite.
type bulkOperation struct {
	ID, ModuleID, ImportMode, TwinETag string
}

// bulkError is one operation that failed, as the answer names it.
type bulkError struct {
	DeviceID    string `json:"deviceId"`
	ErrorCode   string `json:"errorCode"`
	ErrorStatus string `json:"errorStatus"`
	ModuleID    string `json:"moduleId,omitempty"`
	Operation   string `json:"operation"`
}

// bulkResult is the answer to a bulk request.
type bulkResult struct {
	IsSuccessful bool        `json:"isSuccessful"`
	Errors       []bulkError `json:"errors"`
	Warnings     []struct{}  `json:"warnings"`
}

// restBulk performs up to a hundred updates of twins, each by itself. If one
// fails, the status is 400 and the body is a result all the same.
func (h *Hub) restBulk(req restRequest) (restAnswer, *fault.Fault) {
	var all []json.RawMessage
	if err := json.Unmarshal(req.body, &all); err != nil {
		return restAnswer{}, fault.New(fault.Format, "Cannot deserialize the body as a list: %v.", err)
	}
	if len(all) == 0 || len(all) > maxBulk {
		return restAnswer{}, fault.New(fault.Invalid, "The list has %d operations, and may have from 1 to %d.", len(all), maxBulk)
	}
	result := bulkResult{IsSuccessful: true, Errors: []bulkError{}, Warnings: []struct{}{}}
	seen := map[string]bool{}
	for _, text := range all {
		var op bulkOperation
		if err := json.Unmarshal(text, &op); err != nil {
			return restAnswer{}, fault.New(fault.Format, "Cannot deserialize an operation: %v.", err)
		}
		id := op.ID
		if op.ModuleID != "" {
			id += "/" + op.ModuleID
		}
		f := fault.New(codeTwice, "The request names %s twice.", id)
		if !seen[id] {
			f = h.performBulk(req, id, op, text)
		}
		seen[id] = true
		if f != nil {
			result.IsSuccessful = false
			result.Errors = append(result.Errors, bulkError{op.ID, codeName(f.Code), f.Text, op.ModuleID, op.ImportMode})
		}
	}
	body, err := json.Marshal(result)
	if err != nil { // texts and a bool always encode
		return restAnswer{}, fault.New(fault.Format, "%v", err)
	}
	a := restAnswer{body: body}
	if !result.IsSuccessful {
		a.status = http.StatusBadRequest
	}
	return a, nil
}

// performBulk performs one operation of a bulk request.
func (h *Hub) performBulk(req restRequest, id string, op bulkOperation, text []byte) *fault.Fault {
	var match etagMatch
	switch op.ImportMode {
	case "updateTwin":
	case "updateTwinIfMatchETag":
		match = parseMatch([]string{op.TwinETag})
	default:
		return fault.New(fault.Invalid, "This hub knows no importMode but updateTwin and updateTwinIfMatchETag.")
	}
	w, f := h.opts.parseTwinWrite(text, false)
	if f == nil {
		_, f = h.writeTwin(id, w, match, req.now)
	}
	return f
}

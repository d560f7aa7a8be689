package hubtest

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// restMethod calls a direct method, as its body says.
func (h *Hub) restMethod(req restRequest) (restAnswer, *fault.Fault) {
	if _, f := h.entryOf(req.id); f != nil {
		return restAnswer{}, f
	}
	doc, err := jsondoc.ParseObject(req.body)
	if err != nil {
		return restAnswer{}, fault.New(fault.Format, "Cannot deserialize the body as a method: %v.", err)
	}
	v, _ := doc.Fold("methodName")
	name, ok := v.(string)
	if !ok {
		return restAnswer{}, fault.New(fault.Null, "methodName is missing, or no text.")
	}
	response, f := seconds(doc, "responseTimeoutInSeconds", defaultResponseTimeout)
	if f != nil {
		return restAnswer{}, f
	}
	connect, f := seconds(doc, "connectTimeoutInSeconds", 0)
	if f != nil {
		return restAnswer{}, f
	}
	if response == 0 {
		response = defaultResponseTimeout
	}
	var payload []byte
	if v, given := doc.Fold("payload"); given {
		payload = jsondoc.Append(nil, v)
	}
	if f := checkCall(name, payload); f != nil {
		return restAnswer{}, f
	}
	c, f := h.connectCall(req.Context(), req.id, name, payload, connect)
	if f != nil {
		return restAnswer{}, f
	}
	late := time.NewTimer(response)
	defer late.Stop()
	result, f := h.awaitCall(req.Context(), c, late.C)
	if f != nil {
		if f.Code == fault.NoAnswer {
			f.Info = timeoutInfo(response)
		}
		return restAnswer{}, f
	}
	return methodAnswer(result)
}

// methodAnswer is a device's answer as a service sees it.
func methodAnswer(r methodResult) (restAnswer, *fault.Fault) {
	var payload any
	if len(r.payload) > 0 {
		var err error
		if payload, err = jsondoc.Parse(r.payload); err != nil || len(r.payload) > maxPayload {
			return restAnswer{}, fault.New(fault.BadAnswer, "The device's answer is not JSON, or larger than %d bytes.", maxPayload)
		}
	}
	return restAnswer{body: jsondoc.Append(nil, jsondoc.New("status", jsondoc.Int(int64(r.status)), "payload", payload))}, nil
}

// seconds reads a time-out: a whole number, or a text of one, which the Azure
// CLI sends.
func seconds(doc *jsondoc.Object, name string, usually time.Duration) (time.Duration, *fault.Fault) {
	v, _ := doc.Fold(name)
	var text string
	switch v := v.(type) {
	case nil:
		return usually, nil
	case json.Number:
		text = string(v)
	case string:
		if text = strings.TrimSpace(v); text == "" {
			return usually, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if d := time.Duration(n) * time.Second; err == nil && d <= maxMethodTimeout {
		return d, nil
	}
	return 0, fault.New(fault.Invalid, "%s is not a whole number of seconds from 0 to %d.", name, int(maxMethodTimeout/time.Second))
}

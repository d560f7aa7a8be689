package hubtest

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// Limits of the registry.
const (
	maxListed       = 1000 // of GET /devices
	maxStatusReason = 128
	minKeyBytes     = 16
	maxKeyBytes     = 64
)

func (h *Hub) restGetIdentity(req restRequest) (restAnswer, *fault) {
	e, f := h.entryOf(req.id)
	if f != nil {
		return restAnswer{}, f
	}
	return identityAnswer(e), nil
}

func identityAnswer(e entry) restAnswer {
	return restAnswer{etag: e.record.etagText(), body: appendJSON(nil, e.identityDocument())}
}

func (h *Hub) restListDevices(req restRequest) (restAnswer, *fault) {
	top := maxListed
	if text := req.URL.Query().Get("top"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return restAnswer{}, refuse(codeResultCount, "top is not a whole number from 1 to %d.", maxListed)
		}
		top = n
	}
	all := h.entries(func(who *identity) bool { return who.module == "" })
	return identityList(all[:min(top, len(all))]), nil
}

func (h *Hub) restListModules(req restRequest) (restAnswer, *fault) {
	if _, f := h.entryOf(req.id); f != nil {
		return restAnswer{}, f
	}
	return identityList(h.entries(func(who *identity) bool { return who.module != "" && who.device == req.id })), nil
}

func identityList(all []entry) restAnswer {
	rows := make([]any, len(all))
	for i, e := range all {
		rows[i] = e.identityDocument()
	}
	return restAnswer{body: appendJSON(nil, rows)}
}

func (h *Hub) restCountDevices(restRequest) (restAnswer, *fault) {
	enabled := len(h.entries(func(who *identity) bool { return who.module == "" && !who.disabled }))
	disabled := len(h.entries(func(who *identity) bool { return who.module == "" && who.disabled }))
	b := strconv.AppendInt([]byte(`{"totalDeviceCount":`), int64(enabled+disabled), 10)
	b = strconv.AppendInt(append(b, `,"enabledDeviceCount":`...), int64(enabled), 10)
	b = strconv.AppendInt(append(b, `,"disabledDeviceCount":`...), int64(disabled), 10)
	return restAnswer{body: append(b, '}')}, nil
}

func (h *Hub) restCountConnected(restRequest) (restAnswer, *fault) {
	n := len(h.entries(func(who *identity) bool { return who.module == "" && who.conn != nil }))
	return restAnswer{body: append(strconv.AppendInt([]byte(`{"connectedDeviceCount":`), int64(n), 10), '}')}, nil
}

func (h *Hub) restDeleteIdentity(req restRequest) (restAnswer, *fault) {
	h.mu.Lock()
	who, f := h.find(req.id)
	if f == nil {
		f = req.match.fails(who.record.etagText())
	}
	if f != nil {
		h.mu.Unlock()
		return restAnswer{}, f
	}
	cut := h.part(who, func(who *identity) {
		delete(h.identities, who.id)
		who.touch()
	})
	h.mu.Unlock()
	closeAll(cut, "identity removed")
	return restAnswer{status: 204}, nil
}

// identityWrite is what a service writes to the registry.
type identityWrite struct {
	status, managedBy string
	reason            string
	hasReason         bool
	iotEdge, hasEdge  bool
	keys              *[2]string // base64; an empty one is to be made up; nil leaves as they are
	proof             *proofRule // nil leaves it as it is
}

// restPutIdentity creates an identity where there is no If-Match, and updates
// it where there is.
func (h *Hub) restPutIdentity(req restRequest) (restAnswer, *fault) {
	w, f := parseIdentity(req)
	if f != nil {
		return restAnswer{}, f
	}
	if req.match.given {
		return h.updateIdentity(req, w)
	}
	var pair [2]string
	if w.keys != nil {
		pair = *w.keys
	}
	keys, err := completeKeys(pair[0], pair[1])
	if err != nil {
		return restAnswer{}, refuse(codeInvalid, "%v", err)
	}
	device, module, _ := strings.Cut(req.id, "/")
	_, err = h.addWith(auth.Identity{Host: h.opts.Host, DeviceID: device, ModuleID: module}, keys, func(who *identity) {
		w.apply(who, req.now)
	})
	switch {
	case errors.Is(err, ErrExists) && module != "":
		return restAnswer{}, refuse(codeModuleExists, "Module %s exists on device %s.", module, device)
	case errors.Is(err, ErrExists):
		return restAnswer{}, refuse(codeExists, "A device with ID '%s' is already registered.", device)
	case errors.Is(err, ErrUnknown):
		return restAnswer{}, unknownID(device)
	case err != nil:
		return restAnswer{}, refuse(codeInvalid, "%v", err)
	}
	e, f := h.entryOf(req.id)
	a := identityAnswer(e)
	if module != "" {
		a.status = 201
	}
	return a, f
}

func (h *Hub) updateIdentity(req restRequest, w identityWrite) (restAnswer, *fault) {
	var keys keyPair
	if w.keys != nil {
		var err error
		if keys, err = completeKeys(w.keys[0], w.keys[1]); err != nil {
			return restAnswer{}, refuse(codeInvalid, "%v", err)
		}
	}
	h.mu.Lock()
	who, f := h.find(req.id)
	if f == nil {
		f = req.match.fails(who.record.etagText())
	}
	if f != nil {
		h.mu.Unlock()
		return restAnswer{}, f
	}
	if w.keys != nil {
		who.keys = keys
	}
	if w.proof != nil && w.proof.kind == authSAS && len(who.keys.secret[0]) == 0 {
		who.keys = newKeys() // it had a certificate until now
	}
	w.apply(who, req.now)
	who.record.etag++
	var cut []presence
	if who.disabled {
		cut = h.part(who, func(*identity) {})
	}
	who.touch()
	e := who.entry()
	h.mu.Unlock()
	closeAll(cut, "identity disabled")
	return identityAnswer(e), nil
}

// apply writes all but the keys. Of an identity in the registry, hub.mu is held.
func (w identityWrite) apply(who *identity, now time.Time) {
	if disabled := w.status == "disabled"; w.status != "" && disabled != who.disabled {
		who.disabled, who.record.statusAt = disabled, now
	}
	if w.proof != nil {
		who.proof = *w.proof
		if w.proof.kind != authSAS {
			who.keys = keyPair{}
		}
	}
	if w.hasReason {
		who.record.reason = w.reason
	}
	if w.hasEdge {
		who.record.iotEdge = w.iotEdge
	}
	if who.module != "" {
		who.record.managedBy = w.managedBy
	}
}

// parseIdentity reads and checks an identity. What the hub itself writes, such
// as etag and connectionState, comes back with what was got before, and is
// ignored.
func parseIdentity(req restRequest) (identityWrite, *fault) {
	var w identityWrite
	doc, err := parseObject(req.body)
	if err != nil {
		return w, refuse(codeFormat, "Cannot deserialize the body as an identity: %v.", err)
	}
	device, module, _ := strings.Cut(req.id, "/")
	for name, want := range map[string]string{"deviceId": device, "moduleId": module} {
		if got, given := doc[name]; given && got != nil && got != want {
			return w, refuse(codeInvalid, "The %s in the body is not the one of the path.", name)
		}
	}
	if v := doc["status"]; v != nil {
		w.status, _ = v.(string)
		if w.status != "enabled" && w.status != "disabled" {
			return w, refuse(codeInvalid, "status is neither 'enabled' nor 'disabled'.")
		}
	}
	if v, given := doc["statusReason"]; given {
		w.reason, w.hasReason = "", true
		if v != nil {
			w.reason, _ = v.(string)
		}
		if len(w.reason) > maxStatusReason {
			return w, refuse(codeInvalid, "statusReason has more than %d characters.", maxStatusReason)
		}
	}
	w.managedBy, _ = doc["managedBy"].(string)
	if caps, ok := doc["capabilities"].(map[string]any); ok {
		w.iotEdge, w.hasEdge = caps["iotEdge"].(bool)
	}
	return w, w.parseAuthentication(doc["authentication"])
}

// parseAuthentication reads how the identity proves itself, where that is given.
func (w *identityWrite) parseAuthentication(v any) *fault {
	if v == nil {
		return nil
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return refuse(codeInvalid, "authentication is not an object.")
	}
	switch doc["type"] {
	case nil:
	case "sas":
		w.proof = &proofRule{}
	case "certificateAuthority":
		w.proof = &proofRule{kind: authCA}
		return nil
	case "selfSigned":
		prints, _ := doc["x509Thumbprint"].(map[string]any)
		one, _ := prints["primaryThumbprint"].(string)
		two, _ := prints["secondaryThumbprint"].(string)
		rule, err := thumbprintRule(one, two)
		if err != nil {
			return refuse(codeInvalid, "x509Thumbprint: %v.", err)
		}
		w.proof = &rule
		return nil
	default:
		return refuse(codeInvalid, "authentication.type is none of 'sas', 'selfSigned' and 'certificateAuthority'.")
	}
	var f *fault
	w.keys, f = parseKeys(doc["symmetricKey"])
	return f
}

// parseKeys reads the keys: nil where none are given.
func parseKeys(v any) (*[2]string, *fault) {
	pair, ok := v.(map[string]any)
	if !ok {
		return nil, nil
	}
	var keys [2]string
	for i, name := range []string{"primaryKey", "secondaryKey"} {
		text, _ := pair[name].(string)
		if text == "" {
			continue
		}
		k, err := completeKeys(text, "")
		if err != nil || len(k.secret[0]) < minKeyBytes || len(k.secret[0]) > maxKeyBytes {
			return nil, refuse(codeInvalid, "%s is not base64 of %d to %d bytes.", name, minKeyBytes, maxKeyBytes)
		}
		keys[i] = text
	}
	return &keys, nil
}

package hubtest

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

func (h *Hub) restGetIdentity(req restRequest) (restAnswer, *fault.Fault) {
	e, f := h.entryOf(req.id)
	if f != nil {
		return restAnswer{}, f
	}
	return identityAnswer(e, false), nil
}

// identityAnswer has the header ETag for devices alone.
func identityAnswer(e entry, created bool) restAnswer {
	a := restAnswer{body: jsondoc.Append(nil, e.identityDocument(created))}
	if e.module == "" {
		a.etag = e.record.etagText()
	}
	return a
}

func (h *Hub) restListDevices(req restRequest) (restAnswer, *fault.Fault) {
	top := maxListed
	if text := req.URL.Query().Get("top"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return restAnswer{}, fault.New(fault.ResultCount, "top is not a whole number from 1 to %d.", maxListed)
		}
		top = n
	}
	all := h.entries(func(who *identity) bool { return who.module == "" })
	return identityList(all[:min(top, len(all))]), nil
}

func (h *Hub) restListModules(req restRequest) (restAnswer, *fault.Fault) {
	if _, f := h.entryOf(req.id); f != nil {
		return restAnswer{}, f
	}
	return identityList(h.entries(func(who *identity) bool { return who.module != "" && who.device == req.id })), nil
}

func identityList(all []entry) restAnswer {
	rows := make([]any, len(all))
	for i, e := range all {
		rows[i] = e.identityDocument(false)
	}
	return restAnswer{body: jsondoc.Append(nil, rows)}
}

func (h *Hub) restCountDevices(restRequest) (restAnswer, *fault.Fault) {
	enabled := len(h.entries(func(who *identity) bool { return who.module == "" && !who.disabled }))
	disabled := len(h.entries(func(who *identity) bool { return who.module == "" && who.disabled }))
	b := strconv.AppendInt([]byte(`{"totalDeviceCount":`), int64(enabled+disabled), 10)
	b = strconv.AppendInt(append(b, `,"enabledDeviceCount":`...), int64(enabled), 10)
	b = strconv.AppendInt(append(b, `,"disabledDeviceCount":`...), int64(disabled), 10)
	return restAnswer{body: append(b, '}')}, nil
}

func (h *Hub) restCountConnected(restRequest) (restAnswer, *fault.Fault) {
	n := len(h.entries(func(who *identity) bool { return who.module == "" && who.conn != nil }))
	return restAnswer{body: append(strconv.AppendInt([]byte(`{"connectedDeviceCount":`), int64(n), 10), '}')}, nil
}

func (h *Hub) restDeleteIdentity(req restRequest) (restAnswer, *fault.Fault) {
	h.mu.Lock()
	who, f := h.find(req.id)
	if f == nil && req.match.differs(who.record.etagText()) {
		f = fault.OtherIdentity(who.record.etag, req.match.etag)
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
	withdrawAll(cut, "identity removed")
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
func (h *Hub) restPutIdentity(req restRequest) (restAnswer, *fault.Fault) {
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
		return restAnswer{}, fault.New(fault.Invalid, "%v", err)
	}
	device, module, _ := strings.Cut(req.id, "/")
	_, err = h.addWith(auth.Identity{Host: h.opts.Host, DeviceID: device, ModuleID: module}, keys, func(who *identity) {
		w.apply(who, req.now, true)
	})
	switch {
	case errors.Is(err, ErrExists) && module != "":
		return restAnswer{}, fault.New(fault.ModuleExists, "Module %s exists on device %s.", module, device)
	case errors.Is(err, ErrExists):
		return restAnswer{}, fault.New(fault.Exists, "A device with ID '%s' is already registered.", device)
	case errors.Is(err, ErrUnknown):
		return restAnswer{}, fault.UnknownID(device)
	case err != nil:
		return restAnswer{}, fault.New(fault.Invalid, "%v", err)
	}
	e, f := h.entryOf(req.id)
	return identityAnswer(e, true), f
}

func (h *Hub) updateIdentity(req restRequest, w identityWrite) (restAnswer, *fault.Fault) {
	var keys keyPair
	if w.keys != nil {
		var err error
		if keys, err = completeKeys(w.keys[0], w.keys[1]); err != nil {
			return restAnswer{}, fault.New(fault.Invalid, "%v", err)
		}
	}
	h.mu.Lock()
	who, f := h.find(req.id)
	if f == nil && req.match.differs(who.record.etagText()) {
		f = fault.OtherIdentity(who.record.etag, req.match.etag)
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
	w.apply(who, req.now, false)
	who.record.etag++
	var cut []presence
	if who.disabled {
		cut = h.part(who, func(*identity) {})
	}
	who.touch()
	e := who.entry()
	h.mu.Unlock()
	withdrawAll(cut, "identity disabled")
	return identityAnswer(e, false), nil
}

// apply writes all but the keys, to an identity that is created or to one that
// was. hub.mu is held.
func (w identityWrite) apply(who *identity, now time.Time, created bool) {
	if w.status != "" {
		who.setDisabled(w.status == "disabled", now)
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
	if w.hasEdge && who.module == "" && w.iotEdge != who.record.iotEdge {
		who.record.iotEdge, who.record.scope = w.iotEdge, ""
		if w.iotEdge {
			who.record.scope = "ms-azure-iot-edge://" + who.device + "-"
		}
		if w.iotEdge && created {
			who.record.scope += who.record.generation
		}
	}
	if who.module != "" {
		who.record.managedBy = w.managedBy
	}
}

// parseIdentity reads and checks an identity. What the hub itself writes, such
// as etag and connectionState, comes back with what was got before, and is
// ignored.
func parseIdentity(req restRequest) (identityWrite, *fault.Fault) {
	var w identityWrite
	doc, err := jsondoc.ParseObject(req.body)
	if err != nil {
		return w, fault.New(fault.Format, "Cannot deserialize the body as an identity: %v.", err)
	}
	device, module, _ := strings.Cut(req.id, "/")
	for name, want := range map[string]string{"deviceId": device, "moduleId": module} {
		if got, _ := doc.Fold(name); got != nil && got != want {
			return w, fault.New(fault.Invalid, "The %s in the body is not the one of the path.", name)
		}
	}
	if v, _ := doc.Fold("status"); v != nil {
		w.status, _ = v.(string)
		if w.status != "enabled" && w.status != "disabled" {
			return w, fault.New(fault.Invalid, "status is neither 'enabled' nor 'disabled'.")
		}
	}
	if v, given := doc.Fold("statusReason"); given {
		w.reason, w.hasReason = "", true
		if v != nil {
			w.reason, _ = v.(string)
		}
		if jsondoc.UTF16Len(w.reason) > maxStatusReason {
			return w, fault.New(fault.Invalid, "statusReason has more than %d characters.", maxStatusReason)
		}
	}
	w.managedBy = doc.Text("managedBy")
	v, _ := doc.Fold("capabilities")
	caps, _ := v.(*jsondoc.Object)
	v, _ = caps.Fold("iotEdge")
	w.iotEdge, w.hasEdge = v.(bool)
	v, _ = doc.Fold("authentication")
	return w, w.parseAuthentication(v)
}

// parseAuthentication reads how the identity proves itself, where that is given.
func (w *identityWrite) parseAuthentication(v any) *fault.Fault {
	if v == nil {
		return nil
	}
	doc, ok := v.(*jsondoc.Object)
	if !ok {
		return fault.New(fault.Invalid, "authentication is not an object.")
	}
	kind, _ := doc.Fold("type")
	switch kind {
	case nil:
	case "sas":
		w.proof = &proofRule{}
	case "certificateAuthority":
		w.proof = &proofRule{kind: authCA}
		return nil
	case "selfSigned":
		v, _ := doc.Fold("x509Thumbprint")
		prints, _ := v.(*jsondoc.Object)
		rule, err := thumbprintRule(prints.Text("primaryThumbprint"), prints.Text("secondaryThumbprint"))
		if err != nil {
			return fault.New(fault.Invalid, "x509Thumbprint: %v.", err)
		}
		w.proof = &rule
		return nil
	default:
		return fault.New(fault.Invalid, "authentication.type is none of 'sas', 'selfSigned' and 'certificateAuthority'.")
	}
	var f *fault.Fault
	pair, _ := doc.Fold("symmetricKey")
	w.keys, f = parseKeys(pair)
	return f
}

// parseKeys reads the keys: nil where none are given.
func parseKeys(v any) (*[2]string, *fault.Fault) {
	pair, ok := v.(*jsondoc.Object)
	if !ok {
		return nil, nil
	}
	var keys [2]string
	for i, name := range []string{"primaryKey", "secondaryKey"} {
		text := pair.Text(name)
		if text == "" {
			continue
		}
		k, err := completeKeys(text, "")
		if err != nil || len(k.secret[0]) < minKeyBytes || len(k.secret[0]) > maxKeyBytes {
			return nil, fault.New(fault.Invalid, "%s is not base64 of %d to %d bytes.", name, minKeyBytes, maxKeyBytes)
		}
		keys[i] = text
	}
	return &keys, nil
}

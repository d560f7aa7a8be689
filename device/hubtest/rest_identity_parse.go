package hubtest

import (
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

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

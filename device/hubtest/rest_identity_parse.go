package hubtest

import (
	"strings"
	"unicode/utf16"
)

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
		if got, _ := doc.fold(name); got != nil && got != want {
			return w, refuse(codeInvalid, "The %s in the body is not the one of the path.", name)
		}
	}
	if v, _ := doc.fold("status"); v != nil {
		w.status, _ = v.(string)
		if w.status != "enabled" && w.status != "disabled" {
			return w, refuse(codeInvalid, "status is neither 'enabled' nor 'disabled'.")
		}
	}
	if v, given := doc.fold("statusReason"); given {
		w.reason, w.hasReason = "", true
		if v != nil {
			w.reason, _ = v.(string)
		}
		if utf16Len(w.reason) > maxStatusReason {
			return w, refuse(codeInvalid, "statusReason has more than %d characters.", maxStatusReason)
		}
	}
	w.managedBy = textOf(doc, "managedBy")
	v, _ := doc.fold("capabilities")
	caps, _ := v.(*members)
	v, _ = caps.fold("iotEdge")
	w.iotEdge, w.hasEdge = v.(bool)
	v, _ = doc.fold("authentication")
	return w, w.parseAuthentication(v)
}

// utf16Len is the length of a text in .NET's characters.
func utf16Len(s string) (n int) {
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// textOf is the member of that name, in any case, as a text, or empty where it is
// none.
func textOf(doc *members, name string) string {
	v, _ := doc.fold(name)
	text, _ := v.(string)
	return text
}

// parseAuthentication reads how the identity proves itself, where that is given.
func (w *identityWrite) parseAuthentication(v any) *fault {
	if v == nil {
		return nil
	}
	doc, ok := v.(*members)
	if !ok {
		return refuse(codeInvalid, "authentication is not an object.")
	}
	kind, _ := doc.fold("type")
	switch kind {
	case nil:
	case "sas":
		w.proof = &proofRule{}
	case "certificateAuthority":
		w.proof = &proofRule{kind: authCA}
		return nil
	case "selfSigned":
		v, _ := doc.fold("x509Thumbprint")
		prints, _ := v.(*members)
		rule, err := thumbprintRule(textOf(prints, "primaryThumbprint"), textOf(prints, "secondaryThumbprint"))
		if err != nil {
			return refuse(codeInvalid, "x509Thumbprint: %v.", err)
		}
		w.proof = &rule
		return nil
	default:
		return refuse(codeInvalid, "authentication.type is none of 'sas', 'selfSigned' and 'certificateAuthority'.")
	}
	var f *fault
	pair, _ := doc.fold("symmetricKey")
	w.keys, f = parseKeys(pair)
	return f
}

// parseKeys reads the keys: nil where none are given.
func parseKeys(v any) (*[2]string, *fault) {
	pair, ok := v.(*members)
	if !ok {
		return nil, nil
	}
	var keys [2]string
	for i, name := range []string{"primaryKey", "secondaryKey"} {
		text := textOf(pair, name)
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

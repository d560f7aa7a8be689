package hubtest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// userName is what a device says of itself in CONNECT.
type userName struct {
	host string
	id   string // as in the client id: "device" or "device/module"
	// parameters, decoded
	apiVersion, clientType, modelID string
}

// parseUserName reads every form that the official SDKs send:
//
//	host/device[/module]/?api-version=…&key=value…
//	host/device[/module]/api-version=…
//	host/device[/module]
//
// Ids stand as they are, values are percent-encoded, unknown keys are ignored.
// A question mark is a legal character of an id, so only "/?" ends one.
func parseUserName(text string) (userName, error) {
	var u userName
	host, rest, ok := strings.Cut(text, "/")
	if !ok || host == "" {
		return u, errors.New("user name: no host and id")
	}
	ids, query, ok := strings.Cut(rest, "/?")
	if !ok {
		if ids, query, ok = strings.Cut(rest, "/api-version="); ok {
			query = "api-version=" + query
		}
	}
	ids = strings.TrimSuffix(ids, "/")
	device, module, isModule := strings.Cut(ids, "/")
	if device == "" || isModule && module == "" || strings.Contains(module, "/") {
		return u, errors.New("user name: no device, or device and module")
	}
	u.host, u.id = host, ids
	return u, u.parameters(query)
}

func (u *userName) parameters(query string) error {
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.PathUnescape(name)
		value, err2 := url.PathUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("user name: %q is not percent-encoded", part)
		}
		switch name {
		case "api-version":
			u.apiVersion = value
		case "DeviceClientType":
			u.clientType = value
		case "model-id":
			u.modelID = value
		}
	}
	return nil
}

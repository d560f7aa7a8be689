package desk

import (
	"errors"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
)

// DeviceVariable holds a device's connection string.
const DeviceVariable = "IOTHUB_DEVICE_CONNECTION_STRING"

// Identity reads a device's connection string. from is the flag or variable that
// holds it, which the errors name. The credential is nil where a certificate has
// to prove the identity.
func Identity(text, from string) (auth.Identity, auth.Credential, error) {
	id, cred, err := auth.ParseConnectionString(text)
	if err != nil && !errors.Is(err, auth.ErrWantsCertificate) {
		return id, nil, fmt.Errorf("%s: %w%s", from, err, unknownNames(text))
	}
	if !strings.ContainsAny(id.Host, ".:") && id.Host != "localhost" && id.Gateway == "" {
		return id, nil, Usagef("%s: HostName is %s: want the hub's full name, such as %[2]s.azure-devices.net", from, id.Host)
	}
	return id, cred, nil
}

// unknownNames says which names of a connection string are unknown: a typing error
// hides a part of it. Only what is like a known name is repeated, since a piece of
// a key that was broken looks like a name, too.
func unknownNames(text string) string {
	var unknown []string
	for part := range strings.SplitSeq(strings.TrimSpace(text), ";") {
		name, _, ok := strings.Cut(part, "=")
		lower := strings.ToLower(name)
		switch lower {
		case "hostname", "deviceid", "moduleid", "gatewayhostname", "sharedaccesskey", "sharedaccesskeyname",
			"sharedaccesssignature", "x509", "x509cert":
			continue
		}
		for _, like := range []string{"shared", "access", "signature", "host", "device", "module", "gateway", "x509"} {
			if ok && len(name) <= len("SharedAccessSignature")+3 && strings.Contains(lower, like) {
				unknown = append(unknown, name)
				break
			}
		}
	}
	if len(unknown) == 0 {
		return ""
	}
	return "; unknown names: " + strings.Join(unknown, ", ")
}

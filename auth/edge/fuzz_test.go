package edge_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/edge"
	"github.com/devicetwin/devicetwin-go/transport"
)

// FuzzEnvironment holds that an environment is refused by name, or makes a
// module that is well formed.
func FuzzEnvironment(f *testing.F) {
	f.Add(uri, "myhub.azure-devices.net", "gateway", "edge1", "$edgeAgent", "637308306805488864", "sasToken", "2019-01-30", "", "")
	f.Add("http://[::1]:15581/", "h", "g", "d", "m", "1", "", "", "", "")
	f.Add("http://user:pass@h/?q#f", "h", "g", "d", "m", "1", "", "", "", "")
	f.Add("unix:///%00", "h", "g", "d", "m", "1/..", "x509", "1&2", "", "")
	f.Add("", "", "", "", "", "", "", "", atHub+"GatewayHostName=g;SharedAccessKey="+key, "ca.pem")
	f.Add("", "", "", "", "", "", "", "", atHub+"x509=true", "")
	f.Fuzz(func(t *testing.T, workload, hub, gateway, device, module, generation, scheme, version, connection, file string) {
		all := map[string]string{
			"IOTEDGE_WORKLOADURI": workload, "IOTEDGE_IOTHUBHOSTNAME": hub, "IOTEDGE_GATEWAYHOSTNAME": gateway,
			"IOTEDGE_DEVICEID": device, "IOTEDGE_MODULEID": module, "IOTEDGE_MODULEGENERATIONID": generation,
			"IOTEDGE_AUTHSCHEME": scheme, "IOTEDGE_APIVERSION": version,
			"EdgeHubConnectionString": connection, "EdgeModuleCACertificateFile": file,
		}
		getenv := func(name string) string { return all[name] }
		m, err := edge.FromEnvironment(getenv, nil)
		if err != nil {
			if m != nil || !errors.Is(err, auth.ErrInvalid) || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "IOTEDGE_") && !strings.Contains(err.Error(), "Edge") {
				t.Fatalf("got module %+v and an error of %d bytes: %v", m, len(err.Error()), err)
			}
			return
		}
		if err := m.Identity.Validate(); err != nil || m.Identity.ModuleID == "" || m.Identity.Gateway == "" || m.Credential == nil {
			t.Fatalf("accepted %+v, and %v", m, err)
		}
		for _, to := range edge.URLs(getenv) {
			// A client must take them, or every request would fail.
			r, err := http.NewRequest(http.MethodGet, to, nil)
			if err != nil {
				t.Fatalf("%q makes a URL that is none: %v", workload, err)
			}
			if r.URL.Scheme != "http" || r.URL.User != nil || r.URL.Fragment != "" || len(r.URL.Query()) != 1 || strings.Count(r.URL.EscapedPath(), "/") > 5 {
				t.Fatalf("the environment says more than it should in %q", to)
			}
		}
	})
}

// FuzzAnswers feeds what a daemon may answer to all that reads it.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"digest":"` + secret + `"}`))
	f.Add([]byte(`{"certificate":"-----BEGIN CERTIFICATE-----\nMDEyMw==\n-----END CERTIFICATE-----\n"}`))
	f.Add([]byte(`{"certificate":"","digest":"","message":""}`))
	f.Add([]byte(`{"message":"` + strings.Repeat("é", 300) + `"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		digest, err := edge.ParseDigest(answer)
		if (err == nil) != (len(digest) == 32) || err != nil && (digest != nil || len(err.Error()) > 200 || errors.Is(err, auth.ErrInvalid)) {
			t.Errorf("got a digest of %d bytes and %v", len(digest), err)
		}
		pool, err := edge.ParseBundle(answer)
		if (err == nil) != (pool != nil) || err != nil && (!errors.Is(err, transport.ErrUntrusted) || len(err.Error()) > 300) {
			t.Errorf("got roots %v and %v", pool, err)
		}
		refused := edge.NewStatusError(403, answer)
		if len(refused.Message) > 512 || !utf8.ValidString(refused.Message) || strings.ContainsAny(refused.Error(), "\n\r\x00") {
			t.Errorf("got a message of %d bytes: %v", len(refused.Message), refused)
		}
	})
}

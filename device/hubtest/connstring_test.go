package hubtest

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A connection string says who the identity is, or there is none.
func TestConnectionStringsSayTheIdentity(t *testing.T) {
	h := New(t, nil)
	for _, id := range []string{"dev1", "a=b", "a;b", "dev1;GatewayHostName=evil.example", "dev1;x=1", ";"} {
		d := must[Device](t, "AddDevice")(h.AddDevice(id))
		x := must[Device](t, "AddX509Device")(h.AddX509Device(id+"x", &X509Options{SelfSigned: true}))
		m := must[Device](t, "AddModule")(h.AddDevice(id + "/" + id))
		k := must[Device](t, "SetKeys")(h.Device(id).SetKeys("", ""))
		for what, made := range map[string]Device{"AddDevice": d, "AddX509Device": x, "AddModule": m, "SetKeys": k} {
			who, _, err := auth.ParseConnectionString(made.ConnectionString)
			switch {
			case strings.Contains(id, ";"):
				if made.ConnectionString != "" {
					t.Errorf("%s %q: got %q, want none", what, id, made.ConnectionString)
				}
			case err != nil && !errors.Is(err, auth.ErrWantsCertificate) || who != made.Identity:
				t.Errorf("%s %q: it is read as %+v, %v", what, id, who, err)
			}
		}
	}
	for _, name := range []string{"a;b", "a;HostName=evil.example", "a\nb", " a", "a\u200b"} {
		if p, err := h.AddPolicy(Policy{Name: name, Permissions: []string{serviceConnect}}); err == nil {
			t.Errorf("AddPolicy %q: got %q, want an error", name, p.ConnectionString)
		}
	}
}

// A token's resource may be encoded more than once, and means the same.
func TestScopeEncodedTwice(t *testing.T) {
	const end = 1767225600
	for _, tt := range []struct {
		resource, device, module string
		good                     bool
	}{
		{hostOne + "/devices/gw1/modules/" + url.QueryEscape("$edgeHub"), "gw1", "$edgeHub", true},
		{hostOne + "/devices/" + url.QueryEscape("n@m.et"), "n@m.et", "", true},
		{url.QueryEscape(hostOne + "/devices/gw1/modules/m"), "gw1", "m", true},
		{url.QueryEscape(hostOne + "/devices/gw1/modules/" + url.QueryEscape("$edgeHub")), "gw1", "$edgeHub", true},
		{url.QueryEscape(hostOne + "/devices/a%3Ab"), "a:b", "", true},
		{hostOne + "/devices/a%25b", "a%b", "", true},
		{hostOne + "/devices/a%b", "a%b", "", true},
		{hostOne + "/devices/n%40m.et", "n@m.e", "", false},
		{hostOne + "/devices/n%40m.et/modules/x", "n@m.et", "", false},
		{hostOne + "/devices/a%2Fmodules%2Fx", "a", "x", false},
	} {
		token := sign(t, tt.resource, keyOne, time.Unix(end, 0), "")
		if err := judge(t, hostOne, tt.device, tt.module, keyOne, token, dayOne); (err == nil) != tt.good {
			t.Errorf("%s for %s/%s: got %v, want let in %t", tt.resource, tt.device, tt.module, err, tt.good)
		}
	}
	h := New(t, nil)
	must[Device](t, "AddDevice")(h.AddDevice("n@m.et"))
	s := owner(t, h)
	s.auth = serviceToken(t, h, "iothubowner", h.Host()+"/twins/"+url.QueryEscape("n@m.et"), time.Hour)
	if r := s.do("GET", "/twins/n%40m.et", ""); r.status != 200 {
		t.Errorf("a service's token for one twin, encoded twice: got %d", r.status)
	}
}

package edge_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/edge"
)

const (
	uri   = "unix:///var/run/iotedge/workload.sock"
	key   = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	atHub = "HostName=myhub.azure-devices.net;DeviceId=edge1;ModuleId=filter;"
)

func TestIdentity(t *testing.T) {
	want := auth.Identity{Host: "myhub.azure-devices.net", DeviceID: "edge1", ModuleID: "filter", Gateway: "localhost"}
	desk := map[string]string{
		"IOTEDGE_WORKLOADURI":         "",
		"EdgeHubConnectionString":     atHub + "SharedAccessKey=" + key + ";GatewayHostName=localhost",
		"EdgeModuleCACertificateFile": "ca.pem",
	}
	for _, tt := range []struct {
		desc string
		uri  string
		but  map[string]string
	}{
		{"a socket", uri, nil},
		{"a socket's URI with a slash at its end", uri + "/", nil},
		{"a port", "http://172.17.0.1:15581", nil},
		{"a port's URI with a slash at its end", "http://172.17.0.1:15581/", nil},
		{"HTTP's own port", "http://edged", nil},
		{"IPv6", "http://[fd00::1]:15581", nil},
		{"the scheme in other letters", uri, map[string]string{"IOTEDGE_AUTHSCHEME": "SasToken"}},
		{"no scheme", uri, map[string]string{"IOTEDGE_AUTHSCHEME": ""}},
		{"a newer API", uri, map[string]string{"IOTEDGE_APIVERSION": "2022-08-03"}},
		{"a forgotten connection string", uri, map[string]string{"EdgeHubConnectionString": "nonsense"}},
		{"a desk", "", desk},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			m := fromEnvironment(t, environment(tt.uri, tt.but), nil)
			if m.Identity != want {
				t.Errorf("got identity %+v, want %+v", m.Identity, want)
			}
			if m.Credential == nil {
				t.Error("got no credential")
			}
		})
	}
}

func TestWrongEnvironment(t *testing.T) {
	const unset = ""
	long := strings.Repeat("x", 200)
	secret := "c2VjcmV0c2VjcmV0"
	desk := func(connection, file string) map[string]string {
		return map[string]string{"IOTEDGE_WORKLOADURI": unset, "EdgeHubConnectionString": connection, "EdgeModuleCACertificateFile": file}
	}
	for _, tt := range []struct {
		desc string
		but  map[string]string
		want string
	}{
		{"nothing at all", map[string]string{"IOTEDGE_WORKLOADURI": unset}, "neither IOTEDGE_WORKLOADURI nor EdgeHubConnectionString is set"},
		{"a generation that means another place", map[string]string{"IOTEDGE_MODULEGENERATIONID": ".."}, `IOTEDGE_MODULEGENERATIONID: invalid configuration: it is ".."`},
		{"a module that means another place", map[string]string{"IOTEDGE_MODULEID": ".."}, `IOTEDGE_MODULEID: invalid configuration: ModuleId is ".."`},
		{"a device that means another place", map[string]string{"IOTEDGE_DEVICEID": "."}, `IOTEDGE_DEVICEID: invalid configuration: DeviceId is "."`},
		{"a version that means another place", map[string]string{"IOTEDGE_APIVERSION": "."}, `IOTEDGE_APIVERSION: invalid configuration: it is "."`},
		{"no hub", map[string]string{"IOTEDGE_IOTHUBHOSTNAME": unset}, "IOTEDGE_IOTHUBHOSTNAME is not set"},
		{"no gateway", map[string]string{"IOTEDGE_GATEWAYHOSTNAME": unset}, "IOTEDGE_GATEWAYHOSTNAME is not set"},
		{"no device", map[string]string{"IOTEDGE_DEVICEID": unset}, "IOTEDGE_DEVICEID is not set"},
		{"no module", map[string]string{"IOTEDGE_MODULEID": unset}, "IOTEDGE_MODULEID is not set"},
		{"no generation", map[string]string{"IOTEDGE_MODULEGENERATIONID": unset}, "IOTEDGE_MODULEGENERATIONID is not set"},
		{"a hub with a scheme", map[string]string{"IOTEDGE_IOTHUBHOSTNAME": "https://h"}, "IOTEDGE_IOTHUBHOSTNAME: invalid configuration: HostName holds ':'"},
		{"a gateway with a port", map[string]string{"IOTEDGE_GATEWAYHOSTNAME": "g:8883"}, "IOTEDGE_GATEWAYHOSTNAME: invalid configuration: GatewayHostName holds ':'"},
		{"a device with a space", map[string]string{"IOTEDGE_DEVICEID": "edge 1"}, "IOTEDGE_DEVICEID: invalid configuration: DeviceId holds ' '"},
		{"a module with a slash", map[string]string{"IOTEDGE_MODULEID": "a/b"}, "IOTEDGE_MODULEID: invalid configuration: ModuleId holds '/'"},
		{"a generation with a slash", map[string]string{"IOTEDGE_MODULEGENERATIONID": "1/2"}, "IOTEDGE_MODULEGENERATIONID: invalid configuration: it holds '/' at offset 1"},
		{"a long generation", map[string]string{"IOTEDGE_MODULEGENERATIONID": long}, "IOTEDGE_MODULEGENERATIONID: invalid configuration: it has 200 bytes"},
		{"another scheme", map[string]string{"IOTEDGE_AUTHSCHEME": "x509"}, `IOTEDGE_AUTHSCHEME is "x509"; only sasToken is known`},
		{"a version that is more", map[string]string{"IOTEDGE_APIVERSION": "1&x=2"}, "IOTEDGE_APIVERSION: invalid configuration: it holds '&' at offset 1"},
		{"no URI", map[string]string{"IOTEDGE_WORKLOADURI": "http://[" + secret}, "IOTEDGE_WORKLOADURI: invalid configuration: it is no URI"},
		{"a path alone", map[string]string{"IOTEDGE_WORKLOADURI": "/var/run/workload.sock"}, `IOTEDGE_WORKLOADURI: invalid configuration: its scheme is ""`},
		{"another scheme of URI", map[string]string{"IOTEDGE_WORKLOADURI": "fd://workload"}, `its scheme is "fd"`},
		{"HTTPS", map[string]string{"IOTEDGE_WORKLOADURI": "https://h"}, `its scheme is "https"`},
		{"a user", map[string]string{"IOTEDGE_WORKLOADURI": "http://me:" + secret + "@h:1"}, "it has a user, a query or a fragment"},
		{"a query", map[string]string{"IOTEDGE_WORKLOADURI": "http://h:1?" + secret}, "it has a user, a query or a fragment"},
		{"no slashes", map[string]string{"IOTEDGE_WORKLOADURI": "unix:run.sock"}, "it has a user, a query or a fragment"},
		{"two slashes", map[string]string{"IOTEDGE_WORKLOADURI": "unix://var/run.sock"}, "three slashes are needed"},
		{"no socket", map[string]string{"IOTEDGE_WORKLOADURI": "unix:///"}, "it names no socket"},
		{"a zero byte", map[string]string{"IOTEDGE_WORKLOADURI": "unix:///a%00b"}, "its path holds a zero byte"},
		{"a long path", map[string]string{"IOTEDGE_WORKLOADURI": "unix:///" + long}, "its path has 201 bytes; a socket's has at most 107"},
		{"no host", map[string]string{"IOTEDGE_WORKLOADURI": "http://:80"}, "it names no host"},
		{"an odd host", map[string]string{"IOTEDGE_WORKLOADURI": "http://h!"}, "it names no host, or one that is none"},
		{"a zone", map[string]string{"IOTEDGE_WORKLOADURI": "http://[fe80::1%25eth0]:80"}, "it names no host, or one that is none"},
		{"a big port", map[string]string{"IOTEDGE_WORKLOADURI": "http://h:65536"}, "its port is not from 1 to 65535"},
		{"port 0", map[string]string{"IOTEDGE_WORKLOADURI": "http://h:0"}, "its port is not from 1 to 65535"},
		{"a path behind the port", map[string]string{"IOTEDGE_WORKLOADURI": "http://h/modules"}, "it has a path"},
		{"a connection string that is none", desk(secret, "ca.pem"), "EdgeHubConnectionString: connection string: invalid configuration"},
		{"a device's connection string", desk("HostName=h;DeviceId=d;SharedAccessKey="+key, "ca.pem"), "EdgeHubConnectionString has no ModuleId"},
		{"no gateway in it", desk(atHub+"SharedAccessKey="+key, "ca.pem"), "EdgeHubConnectionString has no GatewayHostName"},
		{"a certificate asked for", desk(atHub+"x509=true;GatewayHostName=g", "ca.pem"), "EdgeHubConnectionString asks for a certificate"},
		{"no roots", desk(atHub+"GatewayHostName=g;SharedAccessKey="+key, unset), "EdgeModuleCACertificateFile is not set"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			m, err := edge.FromEnvironment(environment(uri, tt.but), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("got %v, want an error that matches auth.ErrInvalid and says %q", err, tt.want)
			}
			if m != nil {
				t.Errorf("with the error came %+v", m)
			}
			for _, s := range []string{secret, key} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("the error holds what may be a secret: %v", err)
				}
			}
		})
	}
}

func TestWrongOptions(t *testing.T) {
	if _, err := edge.FromEnvironment(nil, nil); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("without a getenv: got %v, want auth.ErrInvalid", err)
	}
	_, err := edge.FromEnvironment(environment(uri, nil), &edge.Options{Timeout: -1})
	if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "Options.Timeout is -1ns") {
		t.Errorf("with a negative timeout: got %v, want auth.ErrInvalid that names the option", err)
	}
	_, err = edge.FromEnvironment(environment(uri, nil), &edge.Options{TokenLifetime: time.Second})
	if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "Options.TokenLifetime is 1s") {
		t.Errorf("with tokens of a second: got %v, want auth.ErrInvalid that names the option", err)
	}
	var zero edge.Module
	if _, err := zero.Roots(t.Context()); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the zero Module: got %v, want auth.ErrInvalid", err)
	}
}

// The file is read for each connection, so it may come later than the module.
func TestFileAtDesk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	m := fromEnvironment(t, environment("", map[string]string{
		"EdgeHubConnectionString":     atHub + "SharedAccessKey=" + key + ";GatewayHostName=localhost",
		"EdgeModuleCACertificateFile": file,
	}), nil)
	token, err := auth.TokenOf(t.Context(), m.Credential, m.Identity.Audience(), time.Unix(1767225600, 0))
	if err != nil || token.IsZero() {
		t.Errorf("got token %v and %v, want one by the key of the connection string", token, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", *m, *m, *m); strings.Contains(text, key[:12]) || strings.Contains(text, "0123456789abcdef") {
		t.Errorf("a printed Module holds the key: %s", text)
	}
	for _, tt := range []struct{ desc, text, want string }{
		{"no file", "", "no roots for the gateway"},
		{"an empty file", " ", "ca.pem, which EdgeModuleCACertificateFile names: invalid configuration: the text holds no certificate in PEM"},
		{"not PEM", "certificate", "holds no certificate in PEM"},
		{"too much", strings.Repeat("x", 1<<20+1), "more than 1048576 bytes"},
		{"good", string(newCA(t)), ""},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			if tt.text != "" {
				if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			wantRoots(t, m, tt.want)
		})
	}
}

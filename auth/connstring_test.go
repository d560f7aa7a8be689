package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

const (
	who    = "HostName=" + hub + ";DeviceId=dev1"
	secret = "SharedAccessKey=" + key1
)

func TestParseConnectionString(t *testing.T) {
	dev1 := auth.Identity{Host: hub, DeviceID: "dev1"}
	for _, test := range []struct {
		name, text string
		id         auth.Identity
		token      string // for the identity, an hour before the vectors end; empty for x509
	}{
		{"device key", who + ";" + secret, dev1, sas1},
		{"trailing ;", who + ";" + secret + ";", dev1, sas1},
		{"from a file", "\t" + who + ";" + secret + ";\r\n", dev1, sas1},
		{"invisible characters around it", "\ufeff\u200b " + who + ";" + secret + "\u00a0\u2028\r\n", dev1, sas1},
		{"another order", secret + ";DeviceId=dev1;HostName=" + hub, dev1, sas1},
		{"keys in any case", "HOSTNAME=" + hub + ";deviceid=dev1;sharedAccesskey=" + key1, dev1, sas1},
		{"unknown keys", who + ";" + secret + ";Transport=MQTT;UseProvisioning=;Ünknown=1", dev1, sas1},
		{"x509=false is absent", who + ";x509=False;" + secret, dev1, sas1},
		{"module", who + ";ModuleId=modA;" + secret,
			auth.Identity{Host: hub, DeviceID: "dev1", ModuleID: "modA"}, vectors[3].text},
		{"gateway", who + ";GatewayHostName=edge;" + secret,
			auth.Identity{Host: hub, DeviceID: "dev1", Gateway: "edge"}, sas1},
		{"nothing is URL-decoded", "HostName=" + hub + ";DeviceId=D-1.a%_#*?!(),=@$';" + secret,
			auth.Identity{Host: hub, DeviceID: "D-1.a%_#*?!(),=@$'"}, vectors[5].text},
		{"ready-made token", who + ";SharedAccessSignature=" + sas1, dev1, sas1},
		{"token for all devices", who + ";SharedAccessSignature=" + vectors[4].text, dev1, vectors[4].text},
		{"token with empty skn", who + ";SharedAccessSignature=" + vectors[9].text, dev1, vectors[9].text},
		{"x509", who + ";x509=true", dev1, ""},
		{"X509 in any case", who + ";X509=TRUE", dev1, ""},
		{"x509 as .NET has it", who + ";X509Cert=true", dev1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, cred, err := auth.ParseConnectionString(test.text)
			if test.token != "" && err != nil {
				t.Fatalf("ParseConnectionString: %v", err)
			}
			if id != test.id {
				t.Errorf("identity %#v, want %#v", id, test.id)
			}
			if test.token == "" {
				wantError(t, err, auth.ErrWantsCertificate, "X509Files")
				if cred != nil || !errors.Is(err, auth.ErrInvalid) {
					t.Errorf("got %v with %v, want no credential, for the certificate is the caller's, and an error that matches ErrInvalid", cred, err)
				}
				return
			}
			got, err := auth.TokenOf(t.Context(), cred, id.Audience(), vectorEnd.Add(-time.Hour))
			if err != nil || got.Reveal() != test.token {
				t.Errorf("token %q, error %v\nwant  %q", got.Reveal(), err, test.token)
			}
		})
	}
}

func TestParseConnectionStringPolicy(t *testing.T) {
	id, cred, err := auth.ParseConnectionString(who + ";SharedAccessKeyName=iothubowner;" + secret)
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.TokenOf(t.Context(), cred, id.Audience(), vectorEnd)
	if err != nil || !strings.HasSuffix(token.Reveal(), "&skn=iothubowner") {
		t.Errorf("token %q, error %v, want one with the policy's name", token.Reveal(), err)
	}
}

func TestParseConnectionStringErrors(t *testing.T) {
	for _, test := range []struct{ name, text, says string }{
		{"empty", "", "it is empty"},
		{"blank", " \n", "it is empty"},
		{"a semicolon", ";", "part 1 of 1 has no '='"},
		{"too long", who + ";x=" + strings.Repeat("x", 16<<10), "at most 16384"},
		{"no host", "DeviceId=dev1;" + secret, "HostName is missing"},
		{"no device", "HostName=" + hub + ";" + secret, "DeviceId is missing"},
		{"of a service", "HostName=" + hub + ";SharedAccessKeyName=iothubowner;" + secret, "string for services"},
		{"no proof", who, "exactly one of SharedAccessKey, SharedAccessSignature and x509=true"},
		{"x509=false alone", who + ";x509=false", "exactly one of"},
		{"x509=yes", who + ";x509=yes", "x509 is neither true nor false"},
		{"x509=yes beside a key", who + ";x509=yes;" + secret, "x509 is neither"},
		{"key and token", who + ";" + secret + ";SharedAccessSignature=" + sas1, "SharedAccessKey and SharedAccessSignature stand together"},
		{"key and x509", who + ";" + secret + ";x509=true", "SharedAccessKey and x509=true stand together"},
		{"token and x509", who + ";x509=true;SharedAccessSignature=" + sas1, "SharedAccessSignature and x509=true stand together"},
		{"policy with x509", who + ";x509=true;SharedAccessKeyName=p", "SharedAccessKeyName stands without SharedAccessKey"},
		{"policy with token", who + ";SharedAccessKeyName=p;SharedAccessSignature=" + sas1, "SharedAccessKeyName stands without SharedAccessKey"},
		{"policy of two lines", who + ";SharedAccessKeyName=p\nq;" + secret, "SharedAccessKeyName holds a control"},
		{"key broken by ;", who + ";" + secret[:30] + ";" + secret[30:len(secret)-1], "part 4 of 4 has no '='"},
		{"key broken in two, twice", who + ";" + key1[20:] + ";" + key1[20:], "part 4 of 4 has the same (unknown) key"},
		{"key cut", who + ";" + secret[:len(secret)-1], "SharedAccessKey: invalid configuration: the key is not base64"},
		{"key not trimmed", who + ";SharedAccessKey= " + key1, "the key is not base64"},
		{"key without name", who + ";=" + key1, "part 3 of 3 has nothing before its '='"},
		{"empty part", who + ";;" + secret, "part 3 of 4 has no '='"},
		{"two trailing ;", who + ";" + secret + ";;", "part 4 of 4 has no '='"},
		{"leading ;", ";" + who + ";" + secret, "part 1 of 4 has no '='"},
		{"duplicate", who + ";" + secret + ";hostname=" + hub, "part 4 of 4 gives HostName a second time"},
		{"both names of x509", who + ";x509=true;X509Cert=true", "part 4 of 4 gives x509 a second time"},
		{"duplicate key", who + ";" + secret + ";" + secret, "gives SharedAccessKey a second time"},
		{"empty module", who + ";ModuleId=;" + secret, "gives ModuleId no value"},
		{"empty key", who + ";SharedAccessKey=", "gives SharedAccessKey no value"},
		{"space after ;", strings.ReplaceAll(who+";"+secret, ";", "; "), "part 2 of 3 has white space, a quote or the like beside the name DeviceId"},
		{"in quotes", `"` + who + ";" + secret + `"`, "part 1 of 3 has white space, a quote or the like beside the name HostName"},
		{"byte-order mark inside", who + ";\ufeff" + secret, "beside the name SharedAccessKey"},
		{"no-break space in a value", who + "\u00a0;" + secret, "part 2 of 3 gives DeviceId a value that cannot be right: an invisible character (no-break space, U+00A0) stands at byte 4"},
		{"zero-width space in the key", who + ";" + secret[:30] + "\u200b" + secret[30:], "part 3 of 3 gives SharedAccessKey a value that cannot be right: an invisible character (zero-width space"},
		{"zero-width space in a name", "Host\u200bName=" + hub + ";DeviceId=dev1;" + secret, "part 1 of 3 has a name that cannot be right: an invisible character (zero-width space, U+200B) stands at byte 4"},
		{"line break in a name", "HostName=" + hub + ";Device\nId=dev1;" + secret, "part 2 of 3 has a name that cannot be right"},
		{"UTF-16", "\xff\xfeH\x00o\x00s\x00t\x00", "UTF-16"},
		{"the id ..", "HostName=" + hub + ";DeviceId=..;" + secret, `DeviceId is ".."`},
		{"the module .", who + ";ModuleId=.;" + secret, `ModuleId is "."`},
		{"bad device id", "HostName=" + hub + ";DeviceId=dev 1;" + secret, "DeviceId holds ' '"},
		{"bad host", "HostName=" + hub + ":8883;DeviceId=dev1;" + secret, "HostName holds ':'"},
		{"bad module", who + ";ModuleId=a/b;" + secret, "ModuleId holds '/'"},
		{"bad gateway", who + ";GatewayHostName=a/b;" + secret, "GatewayHostName holds '/'"},
		{"bad token", who + ";SharedAccessSignature=" + strings.Replace(sas1, "&se=", "&", 1), "SharedAccessSignature: invalid configuration: SAS token: field 3 of 3"},
		{"token not trimmed", who + ";SharedAccessSignature= " + sas1, "must begin"},
		{"token of another device", "HostName=" + hub + ";DeviceId=dev2;SharedAccessSignature=" + sas1,
			`SharedAccessSignature: invalid configuration: the given token is for "` + hub + `/devices/dev1", which does not cover "` + hub + `/devices/dev2"`},
		{"token of a module", who + ";SharedAccessSignature=" + vectors[3].text, "does not cover"},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, cred, err := auth.ParseConnectionString(test.text)
			wantError(t, err, auth.ErrInvalid, test.says)
			if !strings.HasPrefix(err.Error(), "auth: connection string: ") || strings.Count(err.Error(), "auth: ") != 1 {
				t.Errorf("error %q does not say that it is about the connection string", err)
			}
			if id != (auth.Identity{}) || cred != nil {
				t.Errorf("with the error came %v, %v", id, cred)
			}
			noSecret(t, "error", fmt.Sprint(err))
		})
	}
}

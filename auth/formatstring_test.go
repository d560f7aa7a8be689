package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// TestFormatConnectionString holds the law: what is written is read as the same
// identity, with the same proof. What cannot be written is an error that names
// the field.
func TestFormatConnectionString(t *testing.T) {
	for _, id := range []string{"dev1", "-:.+%_#*?!(),=@$'", "a=b", "=", "x509=true", "%3B", "a%3Bb", "HostName=evil.example", "..."} {
		for _, module := range []string{"", "modA", "$edgeHub", "a=b="} {
			for _, gateway := range []string{"", "edge.local"} {
				for _, key := range []string{"", key1} {
					want := auth.Identity{Host: hub, DeviceID: id, ModuleID: module, Gateway: gateway}
					s, err := auth.FormatConnectionString(own.Key{}, want, key)
					if err != nil {
						t.Errorf("%+v: %v", want, err)
						continue
					}
					got, cred, err := auth.ParseConnectionString(s)
					if errors.Is(err, auth.ErrWantsCertificate) != (key == "") || (err == nil) != (key != "") || got != want || (cred == nil) != (key == "") {
						t.Errorf("%+v is written as %q, and read as %+v with %v, %v", want, s, got, cred, err)
					}
				}
			}
		}
	}
	for _, tt := range []struct {
		id   auth.Identity
		key  string
		says string
	}{
		{auth.Identity{Host: hub, DeviceID: "a;b"}, key1, "DeviceId holds ';' at byte 1"},
		{auth.Identity{Host: hub, DeviceID: "dev1;GatewayHostName=evil.example"}, key1, "DeviceId holds ';'"},
		{auth.Identity{Host: hub, DeviceID: ";"}, "", "DeviceId holds ';'"},
		{auth.Identity{Host: hub, DeviceID: "dev1", ModuleID: "m;x=1"}, key1, "ModuleId holds ';'"},
		{auth.Identity{Host: hub, DeviceID: ".."}, key1, `DeviceId is ".."`},
		{auth.Identity{Host: hub + ";x=1", DeviceID: "dev1"}, key1, "HostName holds ';'"},
		{auth.Identity{Host: hub, DeviceID: "dev1", Gateway: "g;x=1"}, key1, "GatewayHostName holds ';'"},
		{auth.Identity{}, key1, "HostName is empty"},
		{auth.Identity{Host: hub, DeviceID: "dev1"}, key1 + ";x=1", "the key is not base64"},
		{auth.Identity{Host: hub, DeviceID: "dev1"}, key1[:20] + "\n" + key1[20:], "line break"},
		{auth.Identity{Host: hub, DeviceID: "dev1"}, key1 + " ", "SharedAccessKey begins or ends in a space"},
	} {
		s, err := auth.FormatConnectionString(own.Key{}, tt.id, tt.key)
		if s != "" || !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), key1[:12]) {
			t.Errorf("%+v: got %q, %v; want ErrInvalid with %q, and nothing of the key", tt.id, s, err, tt.says)
		}
	}
}

// FuzzFormatConnectionString holds the law for any ids and key.
func FuzzFormatConnectionString(f *testing.F) {
	f.Add(hub, "dev1;x509=true", "", "", key1)
	f.Add(hub, "a=b", "m=", "g", "")
	f.Add("h", "d", "", "", "AAAA\r\n")
	f.Fuzz(func(t *testing.T, host, device, module, gateway, key string) {
		want := auth.Identity{Host: host, DeviceID: device, ModuleID: module, Gateway: gateway}
		s, err := auth.FormatConnectionString(own.Key{}, want, key)
		if err != nil {
			if s != "" || !errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("%+v: got %q, %v", want, s, err)
			}
			return
		}
		got, cred, err := auth.ParseConnectionString(s)
		if errors.Is(err, auth.ErrWantsCertificate) != (key == "") || (err == nil) != (key != "") || got != want || (cred == nil) != (key == "") {
			t.Fatalf("%+v is written as %q, and read as %+v, %v", want, s, got, err)
		}
	})
}

// TestScopeEncodedMoreThanOnce: SDKs encode the ids of a token's resource, then
// the whole, and some of them the whole once more.
func TestScopeEncodedMoreThanOnce(t *testing.T) {
	for _, tt := range []struct {
		sr, device, module string
		covers             bool
	}{
		{hub + "%2Fdevices%2Fgw1%2Fmodules%2F%2524edgeHub", "gw1", "$edgeHub", true},
		{hub + "/devices/n%40m.et", "n@m.et", "", true},
		{hub + "%2Fdevices%2Fn%2540m.et", "n@m.et", "", true},
		{hub + "%252Fdevices%252Fn%2540m.et", "n@m.et", "", true},
		{hub + "%252Fdevices%252Fn%252540m.et", "n@m.et", "", true},
		{hub + "%2fdevices%2fa%253ab", "a:b", "", true},
		{hub + "%2Fdevices%2Fa%252Fb", "a", "b", false},
		{hub + "%2Fdevices%2F100%2525", "100%", "", true},
		{hub + "%2Fdevices%2F100%25", "100%", "", true},
		{hub + "%2Fdevices%2F100%", "100%", "", true},
		{hub + "%252Fdevices%252F%5%z", "%5%z", "", true},
		{hub + "%2Fdevices%2F100%", "100", "", false},
		{hub + "%2Fdevices%2Fn%2540m", "n@m.et", "", false},
		{hub + "%2Fdevices%2Fn%2540m.et%2Fmodules%2Fx", "n@m.et", "", false},
		{hub + "%25252525252Fdevices", "d", "", false},
	} {
		id := auth.Identity{Host: hub, DeviceID: tt.device, ModuleID: tt.module}
		text := "SharedAccessSignature sr=" + tt.sr + sas1[len("SharedAccessSignature sr="+hub+"%2Fdevices%2Fdev1"):]
		token, err := auth.ParseToken(text)
		if err != nil {
			t.Fatalf("%s: %v", tt.sr, err)
		}
		_, err = auth.TokenOf(t.Context(), auth.StaticToken(token), id.Audience(), vectorEnd.Add(-1))
		if (err == nil) != tt.covers || err != nil && !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s for %v: got %v, want covers %t", tt.sr, id, err, tt.covers)
		}
		cs := "HostName=" + hub + ";DeviceId=" + tt.device
		if tt.module != "" {
			cs += ";ModuleId=" + tt.module
		}
		if _, _, err := auth.ParseConnectionString(cs + ";SharedAccessSignature=" + text); (err == nil) != tt.covers {
			t.Errorf("%s in a connection string of %v: got %v, want covers %t", tt.sr, id, err, tt.covers)
		}
	}
}

// TestInvisibleAroundSecrets: what cannot be seen around a key or token is skipped,
// and what is inside is named.
func TestInvisibleAroundSecrets(t *testing.T) {
	for _, c := range []string{"\ufeff", "\u00a0", "\u200b", "\u2028", "\r\n", "\x00", "\u00ad", "\u3000"} {
		if _, err := auth.ParseKey(c + key1 + c); err != nil {
			t.Errorf("a key with %+q around it: %v", c, err)
		}
		if _, err := auth.ParseToken(c + sas1 + c); err != nil {
			t.Errorf("a token with %+q around it: %v", c, err)
		}
		if _, _, err := auth.ParseConnectionString(c + who + ";" + secret + c); err != nil {
			t.Errorf("a connection string with %+q around it: %v", c, err)
		}
		if c == "\r\n" {
			continue // line breaks in a key are skipped
		}
		for what, err := range map[string]error{
			"key":   second(auth.ParseKey(key1[:9] + c + key1[9:])),
			"token": second(auth.ParseToken(sas1[:9] + c + sas1[9:])),
		} {
			if err == nil || !strings.Contains(err.Error(), "at byte 9") || strings.Contains(err.Error(), "copy it whole") || strings.Contains(err.Error(), "must begin") {
				t.Errorf("%+q in a %s: got %v, want an error that says where it stands", c, what, err)
			}
		}
	}
	for what, err := range map[string]error{
		"key": second(auth.ParseKey("\xff\xfeM\x00D\x00E\x00=\x00")), "token": second(auth.ParseToken("\xfe\xff\x00S\x00h")),
	} {
		if err == nil || !strings.Contains(err.Error(), "UTF-16") {
			t.Errorf("a %s in UTF-16: got %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

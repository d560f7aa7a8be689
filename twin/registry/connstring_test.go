package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

func TestConnectionStrings(t *testing.T) {
	const host, policy, key = "HostName=hub.example.net", "SharedAccessKeyName=service", "SharedAccessKey=" + keyText
	join := func(parts ...string) string { return strings.Join(parts, ";") }
	for _, good := range []string{
		join(host, policy, key), join(key, policy, host), join(host, policy, key, ""), " " + join(host, policy, key) + "\r\n",
		"\ufeff" + join(host, policy, key) + "\u00a0",
		join("hostname=hub.example.net", "SHAREDACCESSKEYNAME=service", "sharedaccesskey="+keyText), join(host, policy, key, "EntityPath=x"),
	} {
		c, err := registry.New(good, nil)
		if err != nil {
			t.Errorf("%q: %v", good, err)
			continue
		}
		_ = c.Close()
	}
	tests := []struct{ name, text, want string }{
		{"nothing", "", "it is empty"},
		{"white space", " \n", "it is empty"},
		{"too long", strings.Repeat("x", 17<<10), "at most"},
		{"no host", join(policy, key), "HostName is missing"},
		{"no policy", join(host, key), "SharedAccessKeyName is missing"},
		{"no key", join(host, policy), "SharedAccessKey is missing"},
		{"a device's string", join(host, "DeviceId=dev1", key), "looks like a device's"},
		{"a device beside a policy", join(host, "DeviceId=dev1", policy, key), "it has a DeviceId; give"},
		{"a token", join(host, policy, "SharedAccessSignature=SharedAccessSignature sr=x"), "is a token, which expires"},
		{"a key that is cut", join(host, policy, "SharedAccessKey=AAECA"), "not base64"},
		{"a key broken by a semicolon", join(host, policy, "SharedAccessKey="+keyText[:8], keyText[8:40]), "part 4 of 4 has no '='"},
		{"a key twice", join(host, policy, key, key), "SharedAccessKey a second time"},
		{"an empty policy", join(host, "SharedAccessKeyName=", key), "gives SharedAccessKeyName no value"},
		{"a quote", `"` + join(host, policy, key), "white space, a quote or the like"},
		{"a space behind ';'", host + "; " + policy + ";" + key, "white space, a quote or the like"},
		{"a URL as host", join("HostName=https://hub.example.net", policy, key), "without scheme"},
		{"a zero-width space in the policy", join(host, policy+"\u200b", key), "gives SharedAccessKeyName a value that cannot be right: an invisible character"},
		{"UTF-16", "\xff\xfeH\x00o\x00", "UTF-16"},
		{"a line break in the policy", join(host, "SharedAccessKeyName=a\nb", key), "control character"},
	}
	for _, test := range tests {
		_, err := registry.New(test.text, nil)
		if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want ErrInvalid with %q", test.name, err, test.want)
			continue
		}
		if strings.Contains(err.Error(), keyText[4:20]) {
			t.Errorf("%s: the error holds a key: %v", test.name, err)
		}
	}
}

// FuzzConnectionString: any text is a client or an error of configuration that
// quotes no key.
func FuzzConnectionString(f *testing.F) {
	const key = "SharedAccessKey=" + keyText
	for _, s := range []string{
		"HostName=hub.example.net;SharedAccessKeyName=service;" + key, "hostname=h;sharedaccesskeyname=s;sharedaccesskey=AAAA;", key, key + ";" + key,
		"HostName=" + keyText, keyText, ";;=;=", "HostName=h;DeviceId=d;" + key, "SharedAccessKeyName=" + keyText + ";HostName=h",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := registry.New(s, nil)
		if err == nil {
			_ = c.Close()
			return
		}
		if !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
		if i := strings.Index(s, "SharedAccessKey="); i >= 0 {
			value, _, _ := strings.Cut(s[i+len("SharedAccessKey="):], ";")
			if len(value) > 12 && strings.Contains(err.Error(), value) && !strings.Contains(strings.Replace(s, "SharedAccessKey="+value, "", 1), value) {
				t.Errorf("%q: the error quotes the key: %v", s, err)
			}
		}
	})
}

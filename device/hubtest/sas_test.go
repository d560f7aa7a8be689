package hubtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

const keyTwo = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="

// sign makes a token plainly.
func sign(t testing.TB, resource, key string, end time.Time, policy string) string {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	sr := url.QueryEscape(resource)
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s\n%d", sr, end.Unix())
	s := fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d", sr, url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))), end.Unix())
	if policy != "" {
		s += "&skn=" + policy
	}
	return s
}

// judge asks a hub of the vectors about one token.
func judge(t *testing.T, hub, device, module, key, token string, now int64) error {
	t.Helper()
	h := New(t, &Options{Host: hub})
	for _, p := range []Policy{
		{Name: "device", PrimaryKey: keyOne, Permissions: []string{deviceConnect}},
		{Name: "iothubowner", PrimaryKey: keyOne, Permissions: []string{serviceConnect, deviceConnect}},
		{Name: "service", PrimaryKey: keyOne, Permissions: []string{serviceConnect}},
	} {
		if _, err := h.AddPolicy(p); err != nil {
			t.Fatalf("AddPolicy: %v", err)
		}
	}
	keys, err := completeKeys("", key) // vectors pass with the secondary key
	if err != nil {
		t.Fatalf("keys: %v", err)
	}
	who := &identity{id: joinID(device, module), device: device, module: module, keys: keys}
	h.mu.Lock()
	defer h.mu.Unlock()
	end, err := h.authorize(who, token, time.Unix(now, 0))
	if err == nil && end.Unix() != 1767225600 {
		t.Errorf("end of the token: got %d, want 1767225600", end.Unix())
	}
	return err
}

func TestTokens(t *testing.T) { // 14.1
	end := time.Unix(1767225600, 0)
	const awkward = "D-1.a%_#*?!(),=@$'"
	tests := []struct{ id, device, module, key, token string }{
		{"SAS-1", "dev1", "", keyOne, sasOne},
		{"SAS-2", "dev1", "", keyOne, "SharedAccessSignature sr=myhub.azure-devices.net%2fdevices%2fdev1&sig=EbsipAvwFfPuMaDAs159iDejG7T9WANcmWQCkav5%2FUQ%3D&se=1767225600"},
		{"SAS-3", "dev1", "", keyOne, "SharedAccessSignature sr=myhub.azure-devices.net/devices/dev1&sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600"},
		{"SAS-3 in Java's order", "dev1", "", keyOne, "SharedAccessSignature sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600&sr=myhub.azure-devices.net/devices/dev1"},
		{"SAS-4", "dev1", "modA", keyOne, "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1%2Fmodules%2FmodA&sig=QvMrKsoBDZy20kJH9%2F9hhtn%2B8yyXRnaE6je1kdyJ2m8%3D&se=1767225600"},
		{"SAS-5", "dev1", "", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices&sig=6G74yOUVaVacD2Wpp8%2BYNX3%2FqtKzx1TmNXeZQ9Q1Jus%3D&se=1767225600&skn=device"},
		{"SAS-5 for a module", "dev1", "modA", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices&sig=6G74yOUVaVacD2Wpp8%2BYNX3%2FqtKzx1TmNXeZQ9Q1Jus%3D&se=1767225600&skn=device"},
		{"SAS-6", awkward, "", keyOne, "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2FD-1.a%25_%23%2A%3F%21%28%29%2C%3D%40%24%27&sig=EanwB18PWQzW1BZ%2Ff29slv6Vaft%2FzYzJAXwt5OP%2FwO8%3D&se=1767225600"},
		{"SAS-6b", awkward, "", keyOne, "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2FD-1.a%25_%23*%3F!()%2C%3D%40%24%27&sig=r868y%2B2QZ%2BXlqpsOo0ti1Hql5q%2FQv3knVKrAytBsolI%3D&se=1767225600"},
		{"SAS-6c", awkward, "", keyOne, "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2FD-1.a%25_%23%2a%3F%21%28%29%2C%3D%40%24%27&sig=ACJ4B3W4p43E%2BrVJwnkURSi%2Fl6OSdPIp0P0eHBaSrdY%3D&se=1767225600"},
		{"SAS-8", "dev1", "", keyOne, "SharedAccessSignature sr=myhub.azure-devices.net/devices/dev1&sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600&skn="},
		{"SAS-9", "dev1", "", keyTwo, "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=UztvOdp0%2BBmA8yFmADgGJilvknRcZvQOUFYkiqJ74Cs%3D&se=1767225600"},
		{"an unknown field", "dev1", "", keyOne, sasOne + "&x=1"},
		{"empty fields", "dev1", "", keyOne, strings.Replace(sasOne, "&", "&&", 1) + "&"},
		{"names in capitals", "dev1", "", keyOne, strings.NewReplacer("sr=", "SR=", "sig=", "Sig=", "se=", "sE=").Replace(sasOne)},
		{"a policy's scope with the device's key", "dev1", "", keyOne, sign(t, hostOne+"/devices", keyOne, end, "")},
		{"the whole hub with the device's key", "dev1", "", keyOne, sign(t, hostOne, keyOne, end, "")},
		{"the device with its module's key", "dev1", "modA", keyOne, sasOne},
		{"a scope in another case", "Dev1", "", keyOne, sign(t, "MYHUB.azure-devices.net/Devices/DEV1", keyOne, end, "")},
		{"a module's scope in lower case", "Dev1", "modA", keyOne, sign(t, hostOne+"/devices/dev1/modules/moda", keyOne, end, "")},
		{"encoded twice", "dev1", "modA", keyOne, sign(t, url.QueryEscape(hostOne+"/devices/dev1/modules/modA"), keyOne, end, "")},
		{"encoded three times", "dev1", "", keyOne, sign(t, url.QueryEscape(url.QueryEscape(hostOne+"/devices/dev1")), keyOne, end, "")},
		{"an id encoded before the whole", awkward, "", keyOne, sign(t, hostOne+"/devices/"+url.QueryEscape(awkward), keyOne, end, "")},
		{"ids that hold percent signs", "a%2Bb", "m%25", keyOne, sign(t, hostOne+"/devices/a%2Bb/modules/m%25", keyOne, end, "")},
		{"SAS-10", "dev1", "", "", "SharedAccessSignature sr=myhub.azure-devices.net&sig=rny7eWZSBNZ9YeCNiuTjnwBzU9k6y3yqorNu3ifboBQ%3D&se=1767225600&skn=iothubowner"},
	}
	for _, tt := range tests {
		if err := judge(t, hostOne, tt.device, tt.module, tt.key, tt.token, dayOne); err != nil {
			t.Errorf("%s: got %v, want it accepted", tt.id, err)
		}
	}
	if err := judge(t, "MyHub.Azure-Devices.net", "dev1", "", keyOne, sasOne, dayOne); err != nil {
		t.Errorf("host in another case: got %v, want it accepted", err)
	}
	for after, want := range map[int64]bool{0: true, 300: true, 301: false} {
		if err := judge(t, hostOne, "dev1", "", keyOne, sasOne, 1767225600+after); (err == nil) != want {
			t.Errorf("%d s after its end: got %v, want accepted: %v", after, err, want)
		}
	}
}

func TestTokensRefused(t *testing.T) { // 14.2
	const (
		sas4 = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1%2Fmodules%2FmodA&sig=QvMrKsoBDZy20kJH9%2F9hhtn%2B8yyXRnaE6je1kdyJ2m8%3D&se=1767225600"
		sas5 = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices&sig=6G74yOUVaVacD2Wpp8%2BYNX3%2FqtKzx1TmNXeZQ9Q1Jus%3D&se=1767225600&skn="
	)
	end := time.Unix(1767225600, 0)
	tests := []struct{ id, hub, device, module, token string }{
		{"NEG-1 expired", hostOne, "dev1", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=9bnrcxfcXhoc3ld5oso9HrEbCu0KYiQS6jBxKH4ZtMA%3D&se=1577836800"},
		{"NEG-2 string prefix", hostOne, "dev1", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev&sig=rHwcHRYREkaahpTUt%2FRBj7gnTAnjtSF%2BgrKNGxT5fFw%3D&se=1767225600"},
		{"NEG-3 signed decoded", hostOne, "dev1", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600"},
		{"NEG-4 base64 as key", hostOne, "dev1", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=9XmyXBfsfzdzGNMW%2F2L1%2Ftuw%2B38k5e4oBmSmEAdD0xs%3D&se=1767225600"},
		{"NEG-5 trailing newline", hostOne, "dev1", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=p1F2OeO06pVZsqKck6wPLkepkCkAnLDSPqYwCMDmAJc%3D&se=1767225600"},
		{"NEG-6 raw signature", hostOne, "dev1", "", "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=v3cEShKGdwuRnUyQS3LODuW9+9Pt6pMJ3nmWt/5tP1U=&se=1767225600"},
		{"no se", hostOne, "dev1", "", strings.TrimSuffix(sasOne, "&se=1767225600")},
		{"se=abc", hostOne, "dev1", "", strings.Replace(sasOne, "1767225600", "abc", 1)},
		{"se negative", hostOne, "dev1", "", strings.Replace(sasOne, "1767225600", "-1", 1)},
		{"se with a sign", hostOne, "dev1", "", strings.Replace(sasOne, "1767225600", "+1767225600", 1)},
		{"se too large", hostOne, "dev1", "", strings.Replace(sasOne, "1767225600", "99999999999999999999", 1)},
		{"an unknown field twice", hostOne, "dev1", "", sasOne + "&x=1&X=2"},
		{"a field without a value", hostOne, "dev1", "", sasOne + "&x"},
		{"field twice, once in capitals", hostOne, "dev1", "", sasOne + "&SR=x"},
		{"encoded four times", hostOne, "dev1", "", sign(t, url.QueryEscape(url.QueryEscape(url.QueryEscape(hostOne+"/devices/dev1"))), keyOne, end, "")},
		{"the beginning of an id", hostOne, "dev1", "", sign(t, hostOne+"/devices/dev", keyOne, end, "")},
		{"another id's encoding", hostOne, "a%2Bb", "", sign(t, hostOne+"/devices/a+b", keyOne, end, "")},
		{"field twice", hostOne, "dev1", "", sasOne + "&se=1767225600"},
		{"no prefix", hostOne, "dev1", "", strings.TrimPrefix(sasOne, "SharedAccessSignature ")},
		{"empty", hostOne, "dev1", "", ""},
		{"a module's token for its device", hostOne, "dev1", "", sas4},
		{"a module's token for another", hostOne, "dev1", "modB", sas4},
		{"another hub", "other.azure-devices.net", "dev1", "", sasOne},
		{"unknown policy", hostOne, "dev1", "", sas5 + "ghost"},
		{"policy without DeviceConnect", hostOne, "dev1", "", sas5 + "service"},
		{"a policy for another device", hostOne, "dev1", "", sign(t, hostOne+"/devices/dev2", keyOne, end, "device")},
		{"a policy for a module", hostOne, "dev1", "", sign(t, hostOne+"/devices/dev1/modules/m", keyOne, end, "device")},
		{"a scope below devices", hostOne, "dev1", "", sign(t, hostOne+"/jobs", keyOne, end, "device")},
		{"a scope with an empty segment", hostOne, "dev1", "", sign(t, hostOne+"/devices/", keyOne, end, "device")},
	}
	for _, tt := range tests {
		if err := judge(t, tt.hub, tt.device, tt.module, keyOne, tt.token, dayOne); err == nil {
			t.Errorf("%s: got it accepted, want an error", tt.id)
		} else if strings.Contains(err.Error(), "sig=") {
			t.Errorf("%s: the error %q shows a signature", tt.id, err)
		}
	}
}

// TestTokenSignatureSigns holds what may be raw in a signature: base64's
// slash, which Python's service SDK leaves, and neither '+' nor '='.
func TestTokenSignatureSigns(t *testing.T) {
	seen := map[string]int{}
	for n := range int64(100) {
		c, err := parseToken(sign(t, hostOne, keyOne, time.Unix(1767225600+n, 0), ""))
		if err != nil {
			t.Fatalf("parseToken: %v", err)
		}
		encoded := url.QueryEscape(base64.StdEncoding.EncodeToString(c.mac))
		for raw, code := range map[string]string{"/": "%2F", "+": "%2B", "=": "%3D"} {
			if !strings.Contains(encoded, code) {
				continue
			}
			seen[raw]++
			text := "SharedAccessSignature sr=" + hostOne + "&sig=" + strings.ReplaceAll(encoded, code, raw) + "&se=" + c.end
			if _, err := parseToken(text); (err == nil) != (raw == "/") {
				t.Errorf("a raw %q in %s: got %v", raw, text, err)
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("signs that were seen: %v, want all three", seen)
	}
}

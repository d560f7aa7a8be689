package hubtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestRESTServiceTokens(t *testing.T) { bubble(t, testRESTServiceTokens) }
func testRESTServiceTokens(t *testing.T) {
	h := New(t, &Options{Host: hostOne})
	d := addDevice(t, h, "dev1")
	p, _ := h.Policy("service")
	token := func(scope, key string, life time.Duration, policy string) string {
		return sign(t, scope, key, h.opts.Now().Add(life), policy)
	}
	const hour = time.Hour
	tests := []struct {
		name, auth string
		status     int
	}{
		{"the whole hub", token(hostOne, p.PrimaryKey, hour, "service"), 200},
		{"the secondary key", token(hostOne, p.SecondaryKey, hour, "service"), 200},
		{"another case of the hub", token(strings.ToUpper(hostOne), p.PrimaryKey, hour, "service"), 200},
		{"a slash at the end", token(hostOne+"/", p.PrimaryKey, hour, "service"), 200},
		{"all twins", token(hostOne+"/twins", p.PrimaryKey, hour, "service"), 200},
		{"this twin", token(hostOne+"/twins/dev1", p.PrimaryKey, hour, "service"), 200},
		{"this twin in another case", token(hostOne+"/Twins/DEV1", p.PrimaryKey, hour, "service"), 200},
		{"a second before its end", token(hostOne, p.PrimaryKey, time.Second, "service"), 200},
		{"at its end", token(hostOne, p.PrimaryKey, 0, "service"), 401},
		{"another twin, for the path is not looked at", token(hostOne+"/twins/d", p.PrimaryKey, hour, "service"), 200},
		{"below the twin", token(hostOne+"/twins/dev1/modules", p.PrimaryKey, hour, "service"), 200},
		{"devices", token(hostOne+"/devices/dev1", p.PrimaryKey, hour, "service"), 200},
		{"encoded twice", token(url.QueryEscape(hostOne+"/twins/dev1"), p.PrimaryKey, hour, "service"), 200},
		{"another hub", token("other.azure-devices.net", p.PrimaryKey, hour, "service"), 401},
		{"another policy's name", token(hostOne, p.PrimaryKey, hour, "iothubowner"), 401},
		{"a policy that is not there", token(hostOne, p.PrimaryKey, hour, "nobody"), 401},
		{"no policy", token(hostOne, p.PrimaryKey, hour, ""), 401},
		{"the device's own key", token(hostOne+"/devices/dev1", d.PrimaryKey, hour, ""), 401},
		{"the device's key for its twin", token(hostOne+"/twins/dev1", d.PrimaryKey, hour, ""), 401},
		{"nothing", "-", 401},
		{"another scheme", "Basic eDp5", 401},
		{"an empty token", "SharedAccessSignature ", 401},
	}
	for _, test := range tests {
		r := service{t: t, h: h, auth: test.auth}.do("GET", "/twins/dev1", "")
		r.want(t, test.name, test.status)
		if r.status == 401 && r.code(t) != "IotHubUnauthorizedAccess" {
			t.Errorf("%s: got code %s, want IotHubUnauthorizedAccess", test.name, r.code(t))
		}
	}
}

// what one of each kind of request needs.
func rightsTable() []struct{ method, path, body string } {
	return []struct{ method, path, body string }{
		{"GET", "/twins/dev1", ""},
		{"PATCH", "/twins/dev1", "{}"},
		{"POST", "/devices/query", `{"query":"SELECT * FROM devices"}`},
		{"POST", "/twins/dev1/methods", `{"methodName":"x"}`},
		{"GET", "/devices/dev1", ""},
		{"GET", "/statistics/service", ""},
		{"PUT", "/devices/dev2", "{}"},
		{"DELETE", "/devices/dev2", ""},
	}
}

func TestRESTPermissions(t *testing.T) { bubble(t, testRESTPermissions) }
func testRESTPermissions(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	tests := []struct{ policy, want string }{ // x: performed, -: 401
		{"iothubowner", "xxxxxxxx"},
		{"service", "xxxx-x--"},
		{"registryRead", "----x---"},
		{"registryReadWrite", "----x-xx"},
		{"device", "--------"},
	}
	for _, test := range tests {
		got := ""
		for _, r := range rightsTable() {
			got += performed(service{t: t, h: h, policy: test.policy}.do(r.method, r.path, r.body))
		}
		if got != test.want {
			t.Errorf("policy %s: got %s, want %s", test.policy, got, test.want)
		}
	}
}

func performed(r reply) string {
	if r.status == 401 {
		return "-"
	}
	return "x"
}

func TestRESTEntra(t *testing.T) { bubble(t, testRESTEntra) }
func testRESTEntra(t *testing.T) {
	time.Sleep(time.Until(time.Unix(dayOne, 0)))
	h := New(t, nil)
	addDevice(t, h, "dev1")
	roles := []struct {
		role string
		want string
	}{
		{dataContributor, "xxxxxxxx"}, {dataReader, "x-x-xx--"}, {registryContributor, "----xxxx"}, {twinContributor, "xxx-----"},
	}
	token, err := h.EntraToken("backend", "", time.Hour)
	if err != nil {
		t.Fatalf("EntraToken: %v", err)
	}
	s := service{t: t, h: h, auth: "Bearer " + token}
	for _, test := range roles {
		h.Grant("backend", test.role)
		got := ""
		for _, r := range rightsTable() {
			got += performed(s.do(r.method, r.path, r.body))
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.role, got, test.want)
		}
	}
	const typo = "IoT Hub Data reader"
	heard := ""
	h.misused = func(err error) { heard = err.Error() }
	h.Grant("backend", dataReader, typo)
	if !strings.Contains(heard, typo) || !strings.Contains(heard, dataReader) {
		t.Errorf("an unknown role: heard %q, want it and those that are known", heard)
	}
	h.Grant("backend")
	if r := s.do("GET", "/twins/dev1", ""); !strings.Contains(r.body, "Principal backend is not authorized for GET on /twins/dev1 due to no assigned permissions") {
		t.Errorf("without a role: got %s", r.body)
	}

	h.Grant("backend", dataReader)
	now := h.opts.Now().Unix()
	claims := func(change string, v any) map[string]any {
		c := map[string]any{"iss": entraIssuer, "aud": entraAudience, "oid": "backend", "nbf": now - 1, "exp": now + 60}
		if v == nil {
			delete(c, change)
		} else {
			c[change] = v
		}
		return c
	}
	for _, test := range []struct {
		name   string
		claims map[string]any
		status int
	}{
		{"a good token", claims("", nil), 200},
		{"a slash behind the audience", claims("aud", entraAudience+"/"), 200},
		{"another audience", claims("aud", "https://management.azure.com"), 401},
		{"a list as audience", claims("aud", []string{entraAudience}), 401},
		{"another issuer", claims("iss", "https://sts.windows.net/x/"), 401},
		{"at its end", claims("exp", now), 401},
		{"without an end", claims("exp", nil), 401},
		{"before its time", claims("nbf", now+1), 401},
		{"of nobody", claims("oid", nil), 401},
		{"of another principal", claims("oid", "somebody"), 401},
	} {
		token, err := h.idp.sign(test.claims)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		service{t: t, h: h, auth: "Bearer " + token}.do("GET", "/twins/dev1", "").want(t, test.name, test.status)
	}

	part := strings.Split(token, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	hs := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"` + entraKeyID + `"}`))
	m := hmac.New(sha256.New, h.idp.key.N.Bytes())
	m.Write([]byte(hs + "." + part[1]))
	other, err := New(t, nil).EntraToken("backend", "", time.Hour)
	if err != nil {
		t.Fatalf("EntraToken: %v", err)
	}
	for name, forged := range map[string]string{
		"no algorithm": none + "." + part[1] + ".", "an HMAC under the public key": hs + "." + part[1] + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil)),
		"another hub's issuer": other, "a cut signature": token[:len(token)-1], "two parts": part[0] + "." + part[1],
		"no base64 in the head": "!." + part[1] + "." + part[2], "no JSON": "eA." + part[1] + "." + part[2],
		"no base64 in the signature": part[0] + "." + part[1] + ".!", "a long one": strings.Repeat("x", maxToken+1),
	} {
		service{t: t, h: h, auth: "Bearer " + forged}.do("GET", "/twins/dev1", "").want(t, name, 401)
	}
	if elsewhere, err := h.EntraToken("backend", "https://management.azure.com", time.Hour); err != nil {
		t.Errorf("a token for another audience: %v", err)
	} else {
		service{t: t, h: h, auth: "Bearer " + elsewhere}.do("GET", "/twins/dev1", "").want(t, "a token for another audience", 401)
	}
	if expired, err := h.EntraToken("backend", "", -time.Minute); err != nil {
		t.Errorf("a token that has ended: %v", err)
	} else {
		service{t: t, h: h, auth: "Bearer " + expired}.do("GET", "/twins/dev1", "").want(t, "a token that has ended", 401)
	}
}

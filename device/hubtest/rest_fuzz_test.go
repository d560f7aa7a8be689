package hubtest

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// FuzzTwinWrite: what a service may write leaves the twin within its rules, and
// what it may not leaves it as it was.
func FuzzTwinWrite(f *testing.F) {
	for _, s := range []string{
		`{"tags":{"a":{"b":[1,{"c":"d"}]}},"properties":{"desired":{"x":null,"$version":3,"$metadata":{}}}}`,
		`{"tags":null}`, `{"properties":{"reported":{}}}`, `{"properties":{"desired":[]}}`, newTwinJSON, "[]", `{"tags":{"a.b":1}}`,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	h, err := Start(&Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = h.Close() })
	if _, err := h.AddDevice("dev1"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, replace bool) {
		before := twinOf(t, h, "dev1")
		var e entry
		w, fault := h.opts.parseTwinWrite(body, replace)
		if fault == nil {
			e, fault = h.writeTwin("dev1", w, etagMatch{}, time.Unix(dayOne, 0))
		}
		after := twinOf(t, h, "dev1")
		if fault != nil {
			if after.etag != before.etag || string(after.Tags) != string(before.Tags) || string(after.Desired.JSON) != string(before.Desired.JSON) {
				t.Errorf("%q was refused (%s) and changed the twin", body, fault.Text)
			}
			return
		}
		if after.Version != before.Version+1 || string(after.Reported.JSON) != "{}" {
			t.Errorf("%q: version %d to %d, reported %s", body, before.Version, after.Version, after.Reported.JSON)
		}
		for _, half := range [][]byte{after.Tags, after.Desired.JSON} {
			if _, f := h.opts.rules().Parse(half, false); f != nil {
				t.Errorf("%q left %s, which breaks a rule: %s", body, half, f.Text)
			}
		}
		if _, err := jsondoc.ParseObject(jsondoc.Append(nil, e.document("2021-04-12"))); err != nil {
			t.Errorf("%q left a twin that is no JSON: %v", body, err)
		}
	})
}

// FuzzServiceToken: nothing but the good token opens a twin, in one of its
// spellings; and no header makes the judge fall.
func FuzzServiceToken(f *testing.F) {
	h, err := Start(&Options{Host: hostOne, Now: func() time.Time { return time.Unix(dayOne, 0) }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = h.Close() })
	if _, err := h.AddPolicy(Policy{Name: "service", PrimaryKey: keyOne, SecondaryKey: keyTwo, Permissions: []string{serviceConnect}}); err != nil {
		f.Fatal(err)
	}
	good := sign(f, hostOne+"/twins", keyOne, time.Unix(dayOne+60, 0), "service")
	for _, s := range []string{good, good + "&skn=x", strings.Replace(good, "%2F", "/", 1), "SharedAccessSignature sr=&sig=&se=", "Bearer a.b.c", "Bearer ..", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := parseToken(token)
		if err != nil {
			return
		}
		req := restRequest{path: []string{"twins", "dev1"}, now: time.Unix(dayOne, 0)}
		if err := h.checkServiceToken(token, route{needs: serviceConnect}, req); err != nil {
			return
		}
		if !strings.Contains(good, "&se="+c.end+"&") || c.policy != "service" {
			t.Errorf("accepted %q", token)
		}
	})
}

// FuzzRestBody sends any body to each route that reads one, with a good token: the
// hub answers, and never with a fault of its own.
func FuzzRestBody(f *testing.F) {
	h, err := Start(&Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = h.Close() })
	if _, err := h.AddDevice("d"); err != nil {
		f.Fatal(err)
	}
	bodies := []string{"PATCH /twins/d", "PUT /twins/d", "POST /devices/query", "POST /devices", "PUT /devices/d", "POST /twins/d/methods", "PUT /devices/e"}
	for i := range bodies {
		f.Add(uint8(i), `{"tags":{"a":1},"properties":{"desired":{"b":null}}}`, "", "")
		f.Add(uint8(i), `{"query":"SELECT * FROM devices WHERE tags.a = 1"}`, "1", "YWZ0ZXI6ZA==")
		f.Add(uint8(i), `{"deviceId":"d","status":"disabled","authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"00"}}}`, "", "")
		f.Add(uint8(i), `{"methodName":"m","payload":[1,{"a":"\ud83d"}],"responseTimeoutInSeconds":0}`, "", "")
	}
	f.Fuzz(func(t *testing.T, which uint8, body, items, continuation string) {
		method, path, _ := strings.Cut(bodies[int(which&0x7f)%len(bodies)], " ")
		var headers []string
		for name, value := range map[string]string{"X-Ms-Max-Item-Count": items, "X-Ms-Continuation": continuation} {
			if value != "" && !strings.ContainsAny(value, "\r\n\x00") {
				headers = append(headers, name+": "+value)
			}
		}
		if which&0x80 != 0 {
			headers = append(headers, "If-Match: *")
		}
		r, err := owner(t, h).try(method, path, body, headers...)
		if err == nil && r.status >= 500 {
			t.Errorf("%s %s %q: %d %s", method, path, body, r.status, r.body)
		}
	})
}

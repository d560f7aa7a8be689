package hubtest

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// fullHub is a hub with one of everything that State keeps.
func fullHub(t testing.TB) *Hub {
	t.Helper()
	h, err := Start(&Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	d := addDevice(t, h, "dev1")
	must[Device](t, "AddModule")(h.AddDevice("dev1/mod"))
	must[Device](t, "AddX509Device")(h.AddX509Device("dev2", &X509Options{NoCertificate: true}))
	if err := addDevice(t, h, "D-1.a%_#*?!(),=@$'").SetThumbprints(strings.Repeat("A1", 20), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := h.AddPolicy(Policy{Name: "dash", Permissions: []string{serviceConnect, registryRead}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Device("dev1").SetTags(`{"z":1,"a":{"y":[1.10,{"q":"é😀\u0001"}],"b":true}}`); err != nil {
		t.Fatal(err)
	}
	setDesired(t, h, "dev1", `{"z":{"d":1,"c":-0},"m":1e21}`)
	setDesired(t, h, "dev1", `{"z":{"d":null,"e":{}},"":2}`)
	setDesired(t, h, "dev1/mod", `{"x":1}`)
	c := login(t, h, d)
	c.play(subscribed + `
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=1 {"y":1,"b":{"k":2}}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=1&$version=2
	`)
	_ = c.conn.Close()
	owner(t, h).do("PUT", "/devices/edge", `{"status":"disabled","statusReason":"lost","capabilities":{"iotEdge":true}}`).want(t, "edge", 200)
	owner(t, h).do("PUT", "/devices/edge", `{"status":"enabled"}`, "If-Match: *").want(t, "edge", 200)
	if err := h.Device("dev2").SetEnabled(false); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestState holds that nothing of an identity or a twin is lost on the way
// through a state, down to times and the order of members.
func TestState(t *testing.T) {
	h := fullHub(t)
	for twinOf(t, h, "dev1").Connected { // until the hub has seen the end
		ctx := t.Context()
		if _, err := h.Device("dev1").Wait(ctx, func(tw Twin) bool { return !tw.Connected }); err != nil {
			t.Fatal(err)
		}
	}
	state := h.State()
	again := New(t, &Options{Logger: slog.New(slog.DiscardHandler)})
	if err := again.Restore(state); err != nil {
		t.Fatalf("Restore: %v", err)
	}
	if got := again.State(); string(got) != string(state) {
		t.Errorf("saved again:\ngot  %s\nwant %s", got, state)
	}
	if a, b := h.Revision(), again.Revision(); a != b {
		t.Errorf("Revision: %d and %d", a, b)
	}
	before, after := owner(t, h), owner(t, again)
	for _, id := range h.Devices() {
		path := strings.Replace(strings.NewReplacer("%", "%25", "#", "%23", "?", "%3F").Replace(id), "/", "/modules/", 1)
		for _, kind := range []string{"/twins/", "/devices/"} {
			if a, b := before.do("GET", kind+path, ""), after.do("GET", kind+path, ""); a.body != b.body || a.status != 200 {
				t.Errorf("%s%s:\ngot  %s\nwant %s", kind, id, b.body, a.body)
			}
		}
		one, two := h.Device(id), again.Device(id)
		if one.Auth == "" || one.ConnectionString != two.ConnectionString || one.PrimaryKey != two.PrimaryKey {
			t.Errorf("Device(%s): no key, or not the same", id)
		}
	}
	p, _ := h.Policy("dash")
	q, ok := again.Policy("dash")
	if !ok || p.ConnectionString != q.ConnectionString || len(q.Permissions) != 2 {
		t.Errorf("policy: got %v", q.Permissions)
	}
	d := again.Device("dev1")
	login(t, again, d).play(ping)
	// What comes after goes on from there, and an identity is never born twice.
	if v := setDesired(t, again, "dev1", `{"n":1}`); v != 4 {
		t.Errorf("the next desired version: got %d, want 4", v)
	}
	addDevice(t, again, "young")
	a, b := after.do("GET", "/devices/young", "").field(t, "generationId"), after.do("GET", "/devices/edge", "").field(t, "generationId")
	if a <= b {
		t.Errorf("generations: the young one has %s, the old one %s", a, b)
	}
	// A different name of the hub is no hindrance.
	renamed := New(t, &Options{Host: hostOne})
	if err := renamed.Restore(state); err != nil {
		t.Errorf("under another name: %v", err)
	}
	if d := renamed.Device("dev1/mod"); !strings.HasPrefix(d.ConnectionString, "HostName="+hostOne) {
		t.Errorf("under another name: got %s", d.ConnectionString)
	}
	if err := again.Restore(state); !errors.Is(err, ErrExists) {
		t.Errorf("twice: got %v, want ErrExists", err)
	}
	if _, err := again.Device("ghost").Twin(); !errors.Is(err, ErrUnknown) {
		t.Errorf("Device of nobody: got %v, want ErrUnknown", err)
	}
}

// TestRevision holds that each change is seen, and nothing else is.
func TestRevision(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	for desc, change := range map[string]func() error{
		"tags":     func() error { _, err := h.Device("dev1").SetTags(`{}`); return err },
		"desired":  func() error { _, err := h.Device("dev1").SetDesired(`{}`); return err },
		"keys":     func() error { _, err := h.Device("dev1").SetKeys("", ""); return err },
		"one key":  func() error { d := h.Device("dev1"); _, err := d.SetKeys("", d.SecondaryKey); return err },
		"disabled": func() error { return h.Device("dev1").SetEnabled(false) },
		"added":    func() error { _, err := h.AddDevice("dev2"); return err },
		"policy":   func() error { _, err := h.AddPolicy(Policy{Name: "p"}); return err },
		"proof":    func() error { return h.Device("dev1").SetThumbprints(strings.Repeat("A", 40), "") },
	} {
		before, state := h.Revision(), string(h.State())
		if h.Revision() != before || string(h.State()) != state {
			t.Errorf("%s: it changes by being looked at", desc)
		}
		if err := change(); err != nil {
			t.Fatalf("%s: %v", desc, err)
		}
		if h.Revision() == before {
			t.Errorf("%s: not seen", desc)
		}
	}
	before := h.Revision()
	if err := h.Device("dev1").Remove(); err != nil || h.Revision() == before {
		t.Errorf("removed: not seen (%v)", err)
	}
}

// TestRestoreRefuses holds that a broken state changes nothing.
func TestRestoreRefuses(t *testing.T) {
	state := string(fullHub(t).State())
	for desc, broken := range map[string]string{
		"nothing":             "",
		"half":                state[:len(state)/2],
		"a list":              "[]",
		"another version":     strings.Replace(state, `"version":"1"`, `"version":"2"`, 1),
		"no id":               strings.Replace(state, `"deviceId":"dev1"`, `"deviceId":""`, 1),
		"an id twice":         strings.Replace(state, `"deviceId":"dev2"`, `"deviceId":"dev1"`, 1),
		"a module of nobody":  strings.Replace(state, `"deviceId":"dev1","moduleId":""`, `"deviceId":"dev9","moduleId":""`, 1),
		"a key of no base64":  strings.Replace(state, `"auth":"sas","primaryKey":"`, `"auth":"sas","primaryKey":"!`, 1),
		"an unknown proof":    strings.Replace(state, `"auth":"sas"`, `"auth":"tpm"`, 1),
		"a bad key":           strings.Replace(state, `"x":1`, `"x.y":1`, 1),
		"no twin":             strings.Replace(state, `"twin":`, `"twine":`, 1),
		"a version of zero":   strings.Replace(state, `"reported":{"version":1`, `"reported":{"version":0`, 1),
		"a time of no clock":  strings.Replace(state, `"active":"`, `"active":"x`, 1),
		"metadata of later":   strings.Replace(state, `"$lastUpdatedVersion":2`, `"$lastUpdatedVersion":9`, 1),
		"a permission of its": strings.Replace(state, `"RegistryRead"`, `"Everything"`, 1),
	} {
		if broken == state {
			t.Fatalf("%s: nothing was replaced in %s", desc, state)
		}
		h := New(t, nil)
		before := string(h.State())
		if err := h.Restore([]byte(broken)); err == nil {
			t.Errorf("%s: accepted", desc)
		} else if strings.Contains(err.Error(), "primaryKey") {
			t.Errorf("%s: the error may show a key: %v", desc, err)
		}
		if got := string(h.State()); got != before {
			t.Errorf("%s: it left %s", desc, got)
		}
	}
}

// FuzzRestore: what is restored is saved as what restores to the same, and its
// twins can be shown.
func FuzzRestore(f *testing.F) {
	const times = `"statusAt":"0001-01-01T00:00:00Z","stateAt":"2026-01-01T00:00:00.5Z","active":"0001-01-01T00:00:00Z"`
	const half = `{"version":2,"document":{"b":[1],"a":{"c":1e2}},"metadata":{"$lastUpdated":"2026-01-01T00:00:00Z","$lastUpdatedVersion":2,"a":{"$lastUpdated":"2026-01-01T00:00:00Z","c":{}}}}`
	f.Add([]byte(`{"version":"1","policies":[{"name":"p","permissions":["ServiceConnect"]}],"identities":[{"deviceId":"d","auth":"certificateAuthority","generation":"2","etag":"3",` +
		times + `,"twin":{"version":3,"etag":"2","tags":{"z":1,"a":2},"desired":` + half + `,"reported":` + half + `}}]}`))
	f.Add([]byte(`{"version":"1","identities":[],"policies":[]}`))
	f.Add([]byte(`{"version":"1","identities":[{"deviceId":"a","auth":"sas","generation":"1","etag":"1","statusAt":"0001-01-01T00:00:00Z","stateAt":"0001-01-01T00:00:00Z","active":"0001-01-01T00:00:00Z","twin":{"version":1,"etag":"1","tags":{},"desired":{"version":1,"document":{},"metadata":{}},"reported":{"version":1,"document":{"a":null},"metadata":{"a":{}}}}}]}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		h, err := Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if h.Restore(state) != nil {
			return
		}
		saved := h.State()
		again, err := Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if err := again.Restore(saved); err != nil {
			t.Fatalf("%s: what was restored cannot be again: %v", state, err)
		}
		if got := again.State(); string(got) != string(saved) {
			t.Errorf("got  %s\nwant %s", got, saved)
		}
		for _, id := range h.Devices() {
			if _, err := h.Device(id).Twin(); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}

// TestLoadCA holds that a CA outlives its process: what it signed is good, and
// what it signs then.
func TestLoadCA(t *testing.T) {
	for _, made := range []crypto.Signer{nil, keyEd25519(t)} {
		ca := must[*CA](t, "NewCA")(NewCA("desk", &IssueOptions{Key: made}))
		key, err := ca.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.PEM())
		var certs []Issued
		for range 2 {
			loaded := must[*CA](t, "LoadCA")(LoadCA(ca.PEM(), key))
			h := New(t, &Options{CA: loaded, DeviceCA: loaded})
			if got := string(h.CAPEM()); got != string(ca.PEM()) {
				t.Errorf("the hub's CA: got %s", got)
			}
			raw, err := h.DialContext(t.Context(), "tcp", "hub:8883")
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: h.Host()})
			if err := c.HandshakeContext(t.Context()); err != nil {
				t.Errorf("a client that trusts the CA: %v", err)
			}
			_ = c.Close()
			devices := must[*CA](t, "DeviceCA")(h.DeviceCA())
			certs = append(certs, must[Issued](t, "Issue")(devices.Issue("dev1", nil)))
			must[Device](t, "AddX509Device")(h.AddX509Device("dev1", &X509Options{NoCertificate: true}))
			for _, made := range certs { // this hub's, and those of the one before
				if got, _ := (client{cert: &made.Certificate}).login(t, h, "dev1", ""); !strings.HasSuffix(got, "rc=0") {
					t.Errorf("a certificate of the CA: got %s", got)
				}
			}
		}
	}
	ca, other := must[*CA](t, "NewCA")(NewCA("a", nil)), must[*CA](t, "NewCA")(NewCA("b", nil))
	key, _ := ca.KeyPEM()
	foreign, _ := other.KeyPEM()
	for desc, pair := range map[string][2][]byte{
		"another's key": {ca.PEM(), foreign}, "no key": {ca.PEM(), nil}, "no certificate": {nil, key}, "both exchanged": {key, ca.PEM()},
		"half a key": {ca.PEM(), key[:len(key)/2]}, "a large key": {ca.PEM(), append(key, make([]byte, maxCAText)...)},
	} {
		if _, err := LoadCA(pair[0], pair[1]); err == nil || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: got %v, want an error that shows nothing", desc, err)
		}
	}
}

// FuzzLoadCA: what is loaded saves as what loads to the same.
func FuzzLoadCA(f *testing.F) {
	ca := must[*CA](f, "NewCA")(NewCA("a", nil))
	key, err := ca.KeyPEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ca.PEM(), key)
	f.Add(key, ca.PEM())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		ca, err := LoadCA(cert, key)
		if err != nil {
			return
		}
		saved, err := ca.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := LoadCA(ca.PEM(), saved); err != nil {
			t.Errorf("saved and loaded: %v", err)
		}
		if _, err := ca.Issue("dev1", &IssueOptions{NotAfter: time.Now().Add(time.Hour)}); err != nil {
			t.Errorf("Issue: %v", err)
		}
	})
}

package hubtest

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/quirk"
)

// What a certificate does for who proves itself by a token: nothing, neither
// good nor bad.
func TestCertificateOfATokenIdentity(t *testing.T) { bubble(t, testCertificateOfATokenIdentity) }
func testCertificateOfATokenIdentity(t *testing.T) {
	var heard reasons
	h := New(t, &Options{Logger: heard.logger()})
	d := addDevice(t, h, "dev1")
	made := must[Issued](t, "Issue")(must[*CA](t, "DeviceCA")(h.DeviceCA()).Issue("dev1", nil))
	c := client{cert: &made.Certificate}
	for _, password := range []string{"-", ""} {
		got, _ := c.login(t, h, "dev1", password)
		if why := heard.take(); got != refused || !matches(why, "there is no token…a certificate does not count") {
			t.Errorf("certificate alone, password %q: got %s (%s), want %s", password, got, why, refused)
		}
	}
	if got, _ := c.login(t, h, "dev1", hello(t, h, d).password); got != letIn {
		t.Errorf("token and certificate: got %s (%s), want %s", got, heard.take(), letIn)
	}
}

// Without TLS there is no certificate, and the log says what to use instead.
func TestCertificateNeedsTLS(t *testing.T) { bubble(t, testCertificateNeedsTLS) }
func testCertificateNeedsTLS(t *testing.T) {
	var heard reasons
	h := New(t, &Options{Logger: heard.logger()})
	must[Device](t, "AddX509Device")(h.AddX509Device("dev1", nil))
	c := open(t, h)
	c.send(bareHello(h, "dev1", "-").bytes())
	if got, why := c.receive(), heard.take(); got != refused || !matches(why, "there is no TLS on this stream…use Hub.DialContext…") {
		t.Errorf("over Stream: got %s (%s), want %s and a hint at Dial", got, why, refused)
	}
}

func TestX509Module(t *testing.T) { bubble(t, testX509Module) }
func testX509Module(t *testing.T) {
	var heard reasons
	h := New(t, &Options{Logger: heard.logger()})
	addDevice(t, h, "dev1") // of keys: a module's proof is its own
	m := must[Device](t, "AddX509Module")(h.AddX509Device("dev1/mod", nil))
	if want := "HostName=" + h.Host() + ";DeviceId=dev1;ModuleId=mod;x509=true"; m.ConnectionString != want {
		t.Errorf("connection string: got %s, want %s", m.ConnectionString, want)
	}
	ca := must[*CA](t, "DeviceCA")(h.DeviceCA())
	for _, tt := range []struct{ name, want string }{
		{"dev1/mod", letIn}, {"dev1", refused}, {"mod", refused}, {"dev1/other", refused}, {"dev1/mod/", refused},
	} {
		made := must[Issued](t, "Issue")(ca.Issue(tt.name, nil))
		if got, _ := (client{cert: &made.Certificate}).login(t, h, "dev1/mod", ""); got != tt.want {
			t.Errorf("common name %s: got %s (%s), want %s", tt.name, got, heard.take(), tt.want)
		}
	}
	s := must[Device](t, "AddX509Module")(h.AddX509Device("dev1/own", &X509Options{SelfSigned: true}))
	if got, _ := (client{cert: pairOf(t, s)}).login(t, h, "dev1/own", ""); got != letIn {
		t.Errorf("by thumbprint: got %s (%s), want %s", got, heard.take(), letIn)
	}
	if err := h.Device("dev1").SetEnabled(false); err != nil {
		t.Fatalf("SetEnabled: %v", err)
	}
	if got, _ := (client{cert: pairOf(t, m)}).login(t, h, "dev1/mod", ""); got != unavailable {
		t.Errorf("device disabled: got %s, want %s", got, unavailable)
	}
}

// A certificate that ends ends no connection: the next login is refused.
func TestCertificateEndsMidway(t *testing.T) { bubble(t, testCertificateEndsMidway) }
func testCertificateEndsMidway(t *testing.T) {
	var heard reasons
	h := New(t, &Options{Logger: heard.logger()})
	d := must[Device](t, "AddX509Device")(h.AddX509Device("dev1", &X509Options{Issue: &IssueOptions{NotAfter: time.Now().Add(time.Hour)}}))
	cache := tls.NewLRUClientSessionCache(1)
	c := client{cert: pairOf(t, d), cache: cache}
	got, line := c.login(t, h, "dev1", "")
	if got != letIn {
		t.Fatalf("login: got %s, want %s", got, letIn)
	}
	if err := line.conn.SetDeadline(time.Time{}); err != nil {
		t.Fatalf("SetDeadline: %v", err)
	}
	for range 30 {
		time.Sleep(5 * time.Minute)
		line.play(ping)
	}
	got, next := c.login(t, h, "dev1", "")
	if next.conn.(*tls.Conn).ConnectionState().DidResume {
		t.Errorf("next login: got a resumed session, want a new one for a certificate that has ended")
	}
	if why := heard.take(); got != refused || !matches(why, `the certificate of "CN=dev1" ended at…`) {
		t.Errorf("next login: got %s (%s), want %s", got, why, refused)
	}
	line.play(ping) // a refused login takes nothing over
	fresh := must[Issued](t, "Issue")(must[*CA](t, "DeviceCA")(h.DeviceCA()).Issue("dev1", nil))
	if got, _ := (client{cert: &fresh.Certificate}).login(t, h, "dev1", ""); got != "CONNACK sp=1 rc=0" {
		t.Errorf("with a new certificate: got %s (%s), want the session back", got, heard.take())
	}
}

// On a resumed session the hub sees the certificate of the first, and judges
// that one.
func TestResumedSessionShowsTheOldCertificate(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bubble(t, func(t *testing.T) { testResumedSession(t, version) })
		})
	}
}
func testResumedSession(t *testing.T, version uint16) {
	var heard reasons
	h := New(t, &Options{Logger: heard.logger()})
	old := must[Issued](t, "SelfSigned")(SelfSigned("old", nil))
	fresh := must[Issued](t, "SelfSigned")(SelfSigned("new", nil))
	if err := addDevice(t, h, "dev1").SetThumbprints(old.Thumbprint, ""); err != nil {
		t.Fatalf("SetThumbprints: %v", err)
	}
	cache := tls.NewLRUClientSessionCache(1)
	login := func(cert Issued, cache tls.ClientSessionCache, wantResumed bool) string {
		got, line := client{cert: &cert.Certificate, version: version, cache: cache}.login(t, h, "dev1", "")
		if resumed := line.conn.(*tls.Conn).ConnectionState().DidResume; resumed != wantResumed {
			t.Errorf("resumed: got %v, want %v", resumed, wantResumed)
		}
		return got[len(got)-4:]
	}
	if got := login(old, cache, false); got != "rc=0" {
		t.Fatalf("first login: got %s (%s), want rc=0", got, heard.take())
	}
	if got := login(fresh, cache, true); got != "rc=0" {
		t.Errorf("resumed with another certificate: got %s (%s), want rc=0, for the hub sees the old one", got, heard.take())
	}
	if err := h.Device("dev1").SetThumbprints(fresh.Thumbprint, ""); err != nil {
		t.Fatalf("SetThumbprints: %v", err)
	}
	if got := login(fresh, cache, true); got != "rc=5" {
		t.Errorf("resumed after the thumbprint changed: got %s, want rc=5", got)
	}
	if got := login(fresh, nil, false); got != "rc=0" {
		t.Errorf("not resumed: got %s (%s), want rc=0", got, heard.take())
	}
}

// Thumbprints rotate as keys do: the new one is added, then the old one leaves.
func TestRotateThumbprints(t *testing.T) { bubble(t, testRotateThumbprints) }
func testRotateThumbprints(t *testing.T) {
	h := New(t, nil)
	d := must[Device](t, "AddX509Device")(h.AddX509Device("dev1", &X509Options{SelfSigned: true}))
	fresh := must[Issued](t, "SelfSigned")(SelfSigned("dev1", nil))
	old := pairOf(t, d)
	got, line := client{cert: old}.login(t, h, "dev1", "")
	if got != letIn {
		t.Fatalf("login: got %s, want %s", got, letIn)
	}
	for _, step := range []struct {
		primary, secondary string
		old, fresh         string
	}{
		{sha256Of(old), fresh.Thumbprint, "rc=0", "rc=0"},
		{fresh.Thumbprint, "", "rc=5", "rc=0"},
		{"", sha1Of(old), "rc=0", "rc=5"},
	} {
		if err := h.Device("dev1").SetThumbprints(step.primary, step.secondary); err != nil {
			t.Fatalf("SetThumbprints: %v", err)
		}
		line.play(ping)
		for _, who := range []struct {
			cert *tls.Certificate
			want string
		}{{old, step.old}, {&fresh.Certificate, step.fresh}} {
			got, l := client{cert: who.cert}.login(t, h, "dev1", "")
			if !strings.HasSuffix(got, who.want) {
				t.Errorf("primary %.8s, secondary %.8s: got %s, want %s", step.primary, step.secondary, got, who.want)
			}
			if who.want == "rc=0" {
				line = l
			}
		}
	}
}

// From keys to certificates and back, over one twin.
func TestIdentityChangesItsProof(t *testing.T) { bubble(t, testIdentityChangesItsProof) }
func testIdentityChangesItsProof(t *testing.T) {
	h := New(t, nil)
	keyed := addDevice(t, h, "dev1")
	setDesired(t, h, "dev1", `{"a":1}`)
	line := login(t, h, keyed)
	d := must[Device](t, "SetX509")(h.Device("dev1").SetX509(nil))
	line.play(ping)
	if d.PrimaryKey != "" || d.ConnectionString != stringFor(keyed.Identity, "") {
		t.Errorf("got %q and %q, want no key and x509=true", d.PrimaryKey, d.ConnectionString)
	}
	if got, _ := (client{}).login(t, h, "dev1", hello(t, h, keyed).password); got != refused {
		t.Errorf("by the old key: got %s, want %s", got, refused)
	}
	if got, _ := (client{cert: pairOf(t, d)}).login(t, h, "dev1", ""); got != "CONNACK sp=1 rc=0" {
		t.Errorf("by certificate: got %s, want the session back", got)
	}
	back := must[Device](t, "SetKeys")(h.Device("dev1").SetKeys("", ""))
	if got, _ := (client{}).login(t, h, "dev1", hello(t, h, back).password); got != "CONNACK sp=1 rc=0" {
		t.Errorf("by the new key: got %s, want the session back", got)
	}
	if got, want := string(twinOf(t, h, "dev1").Desired.JSON), `{"a":1}`; got != want {
		t.Errorf("desired: got %s, want %s", got, want)
	}
}

// Both keys log in; each is rotated while a connection stands, and the other
// carries the device over.
func TestRotateKeys(t *testing.T) { bubble(t, testRotateKeys) }
func testRotateKeys(t *testing.T) {
	h := New(t, nil)
	first := addDevice(t, h, "dev1")
	line := login(t, h, first)
	by := func(key string) string {
		p := bareHello(h, "dev1", sign(t, h.Host()+"/devices/dev1", key, h.opts.Now().Add(time.Hour), ""))
		c := open(t, h)
		c.send(p.bytes())
		got := c.receive()
		if strings.HasSuffix(got, "rc=0") {
			line = c
		}
		return got[len(got)-4:]
	}
	try := func(desc, key, want string) {
		t.Helper()
		if got := by(key); got != want {
			t.Errorf("%s: got %s, want %s", desc, got, want)
		}
	}
	try("the secondary at first", first.SecondaryKey, "rc=0")
	second := must[Device](t, "SetKeys")(first.SetKeys("", first.SecondaryKey))
	line.play(ping)
	if second.SecondaryKey != first.SecondaryKey || second.PrimaryKey == first.PrimaryKey {
		t.Errorf("primary made anew: got another secondary, or the same primary")
	}
	try("the old primary", first.PrimaryKey, "rc=5")
	try("the old secondary", first.SecondaryKey, "rc=0")
	try("the new primary", second.PrimaryKey, "rc=0")
	third := must[Device](t, "SetKeys")(second.SetKeys(second.PrimaryKey, ""))
	line.play(ping)
	try("the old secondary, at last", first.SecondaryKey, "rc=5")
	try("the primary still", second.PrimaryKey, "rc=0")
	try("the new secondary", third.SecondaryKey, "rc=0")
	if _, err := h.Device("ghost").SetKeys("", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("of nobody: got %v, want ErrUnknown", err)
	}
}

// The flags refuse an identity's own keys, and neither policies nor certificates.
func TestDisableSAS(t *testing.T) { bubble(t, testDisableSAS) }
func testDisableSAS(t *testing.T) {
	for _, o := range []quirk.Set{{}, {DisableDeviceSAS: true}, {DisableModuleSAS: true}} {
		h := New(t, Options{}.With(o))
		device := addDevice(t, h, "dev1")
		module := must[Device](t, "AddModule")(h.AddDevice("dev1/mod"))
		policy, _ := h.Policy("device")
		answer := map[bool]string{false: letIn, true: refused}
		for _, tt := range []struct {
			desc, id, path, key, policy, want string
		}{
			{"device, own key", "dev1", "/devices/dev1", device.PrimaryKey, "", answer[o.DisableDeviceSAS]},
			{"device, policy", "dev1", "/devices/dev1", policy.PrimaryKey, "device", letIn},
			{"module, own key", "dev1/mod", "/devices/dev1/modules/mod", module.PrimaryKey, "", answer[o.DisableModuleSAS]},
			{"module, policy", "dev1/mod", "/devices/dev1/modules/mod", policy.PrimaryKey, "device", letIn},
		} {
			p := bareHello(h, tt.id, sign(t, h.Host()+tt.path, tt.key, h.opts.Now().Add(time.Hour), tt.policy))
			p.clean = true
			c := open(t, h)
			c.send(p.bytes())
			if got := c.receive(); got != tt.want {
				t.Errorf("devices' keys off %v, modules' %v: %s: got %s, want %s", o.DisableDeviceSAS, o.DisableModuleSAS, tt.desc, got, tt.want)
			}
		}
		d := must[Device](t, "AddX509Device")(h.AddX509Device("dev2", nil))
		if got, _ := (client{cert: pairOf(t, d)}).login(t, h, "dev2", ""); got != letIn {
			t.Errorf("devices' keys off %v: by certificate: got %s, want %s", o.DisableDeviceSAS, got, letIn)
		}
	}
}

package hubtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

func TestCut(t *testing.T) { bubble(t, testCut) }
func testCut(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	if err := h.Device("ghost").Cut(); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown device: got %v, want ErrUnknown", err)
	}
	if err := h.Device("dev1").Cut(); !errors.Is(err, ErrOffline) {
		t.Errorf("offline device: got %v, want ErrOffline", err)
	}
	c := login(t, h, d)
	if !twinOf(t, h, "dev1").Connected {
		t.Errorf("connected: got false, want true")
	}
	if err := h.Device("dev1").Cut(); err != nil {
		t.Errorf("Cut: %v", err)
	}
	if twinOf(t, h, "dev1").Connected {
		t.Errorf("connected after Cut: got true, want false")
	}
	c.play(`< close`)
}

func TestLineOfOneDevice(t *testing.T) { bubble(t, testLineOfOneDevice) }
func testLineOfOneDevice(t *testing.T) {
	h := New(t, nil)
	d1, d2 := addDevice(t, h, "dev1"), addDevice(t, h, "dev2")
	c1, c2 := login(t, h, d1), login(t, h, d2)
	h.Device("dev1").SetLine(false)
	c1.play(`< close`)
	c1 = open(t, h)
	c1.send(hello(t, h, d1).bytes())
	c1.play(`< close`)
	c2.play(ping)
	h.Device("dev1").SetLine(true)
	login(t, h, d1).play(ping)
}

func TestLineOfAll(t *testing.T) { bubble(t, testLineOfAll) }
func testLineOfAll(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c, early := login(t, h, d), open(t, h)
	h.SetLine(false)
	c.play(`< close`)
	early.play(`< close`)
	if _, err := h.Stream(context.Background(), transport.Target{Port: 8883}); !errors.Is(err, ErrLineDown) {
		t.Errorf("Stream: got %v, want ErrLineDown", err)
	}
	if _, err := h.DialContext(context.Background(), "tcp", "hub:8883"); !errors.Is(err, ErrLineDown) {
		t.Errorf("Dial: got %v, want ErrLineDown", err)
	}
	h.SetLine(true)
	login(t, h, d).play(ping)
}

func TestStall(t *testing.T) { bubble(t, testStall) }
func testStall(t *testing.T) {
	h := New(t, nil)
	d1, d2 := addDevice(t, h, "dev1"), addDevice(t, h, "dev2")
	c, other := login(t, h, d1), login(t, h, d2)
	c.play(subscribed)
	h.Device("dev1").Stall(true)
	setDesired(t, h, "dev1", `{"a":1}`)
	c.play("> PINGREQ\n< silence")
	other.play(ping)
	h.Device("dev1").Stall(false)
	// What waited goes on.
	got := map[string]bool{c.receive(): true, c.receive(): true}
	for _, want := range []string{"PINGRESP", `PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {"a":1,"$version":2}`} {
		if !got[want] {
			t.Errorf("after the stall: got %v, want %s", got, want)
		}
	}
	// A new connection stalls at its login, and takes over when well again.
	h.Device("dev1").Stall(true)
	next := open(t, h)
	next.send(hello(t, h, d1).bytes())
	next.play(`< silence`)
	h.Device("dev1").Stall(false)
	next.play("< CONNACK sp=1 rc=0")
	c.play(`< close`)
	// The hub does not close what it cannot reach, however long; after that it
	// finds the keep-alive passed.
	h.Stall(true)
	if got := next.receiveIn(2 * time.Hour); got != "silence" {
		t.Errorf("during the stall: got %s, want silence", got)
	}
	h.Stall(false)
	next.play(`< close`)
}

func TestFreezeIsOneConnections(t *testing.T) { bubble(t, testFreezeIsOneConnections) }
func testFreezeIsOneConnections(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	h.Intercept(FromDevice("dev1", Ping), Freeze())
	c.send(packetBytes(t, "PINGREQ"))
	if got := c.receiveIn(3 * time.Hour); got != "silence" {
		t.Errorf("frozen: got %s, want silence", got)
	}
	login(t, h, d).play(ping)
	c.play(`< close`) // taken over
}

// A client that reads nothing is cut, by the time one packet waits or by how
// much does.
func TestClientThatDoesNotRead(t *testing.T) { bubble(t, testClientThatDoesNotRead) }
func testClientThatDoesNotRead(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	patch := `{"a":"` + letters(4000) + `"}`
	c := login(t, h, d)
	c.play(subscribed)
	for range 20 { // 80 KB; the stream holds 64
		setDesired(t, h, "dev1", patch)
	}
	time.Sleep(29 * time.Second)
	synctest.Wait()
	if !twinOf(t, h, "dev1").Connected {
		t.Errorf("after 29 s: got cut, want connected")
	}
	time.Sleep(2 * time.Second)
	synctest.Wait()
	if twinOf(t, h, "dev1").Connected {
		t.Errorf("after 31 s: got connected, want cut")
	}
	c = login(t, h, d)
	for range 2000 { // 8 MB
		setDesired(t, h, "dev1", patch)
	}
	synctest.Wait()
	if twinOf(t, h, "dev1").Connected {
		t.Errorf("with 8 MB waiting: got connected, want cut")
	}
	_ = c.conn.Close()
}

func TestRemoveAndDisable(t *testing.T) { bubble(t, testRemoveAndDisable) }
func testRemoveAndDisable(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	if _, err := h.AddDevice("dev1/mod"); err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	c := login(t, h, d)
	setDesired(t, h, "dev1", `{"a":1}`)
	if err := h.Device("dev1").SetEnabled(false); err != nil {
		t.Fatalf("SetEnabled: %v", err)
	}
	c.play(`< close`)
	if tw := twinOf(t, h, "dev1"); tw.enabled || tw.Connected || tw.Desired.Version != 2 {
		t.Errorf("disabled: got %+v, want version 2, offline, not enabled", tw)
	}
	if err := h.Device("dev1").SetEnabled(true); err != nil {
		t.Fatalf("SetEnabled: %v", err)
	}
	c = login(t, h, d)
	if err := h.Device("dev1").Remove(); err != nil {
		t.Fatalf("RemoveDevice: %v", err)
	}
	c.play(`< close`)
	for _, id := range []string{"dev1", "dev1/mod"} {
		if _, err := h.Device(id).Twin(); !errors.Is(err, ErrUnknown) {
			t.Errorf("Twin(%s) after its removal: got %v, want ErrUnknown", id, err)
		}
	}
	again := addDevice(t, h, "dev1")
	if again.PrimaryKey == d.PrimaryKey || again.PrimaryKey == again.SecondaryKey {
		t.Errorf("keys: got them again, want new ones")
	}
	c = open(t, h)
	c.send(hello(t, h, again).bytes())
	c.play("< CONNACK sp=0 rc=0" + subscribed + getTwin +
		`< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"$version":1},"reported":{"$version":1}}`)
	if got := h.Device("dev1").Stats().Connects; got != 3 {
		t.Errorf("connects: got %d, want 3, over both lives", got)
	}
}

func TestRegistryErrors(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	_, err := h.AddDevice("dev1")
	if !errors.Is(err, ErrExists) {
		t.Errorf("added twice: got %v, want ErrExists", err)
	}
	for _, bad := range []string{"", "a b", "a/b", letters(129), "é"} {
		if _, err := h.AddDevice(bad); err == nil {
			t.Errorf("AddDevice(%q): got no error", bad)
		}
	}
	if _, err := h.AddDevice("ghost/m"); !errors.Is(err, ErrUnknown) {
		t.Errorf("module of nobody: got %v, want ErrUnknown", err)
	}
	if _, err := h.AddDevice("dev1/"); err == nil {
		t.Errorf("module without a name: got no error")
	}
	if _, err := h.Device("dev1").SetKeys("!", ""); err == nil {
		t.Errorf("SetKeys: got no error")
	}
	if _, err := h.AddPolicy(Policy{}); err == nil {
		t.Errorf("policy without a name: got no error")
	}
	known := []string{registryRead, registryWrite, serviceConnect, deviceConnect}
	for _, bad := range []string{"", "registryRead", "RegistryRead,ServiceConnect"} {
		_, err := h.AddPolicy(Policy{Name: "dash", Permissions: append(known[:1:1], bad)})
		if want := fmt.Sprintf("no permission %q", bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("policy with the permission %q: got %v, want an error with %q", bad, err, want)
		}
		for _, k := range known {
			if err != nil && !strings.Contains(err.Error(), string(k)) {
				t.Errorf("policy with the permission %q: got %v, want it to name %s", bad, err, k)
			}
		}
	}
	if p, ok := h.Policy("dash"); ok {
		t.Errorf("a policy that was refused is there: %v", p.Permissions)
	}
	if _, err := h.AddPolicy(Policy{Name: "dash", Permissions: known}); err != nil {
		t.Errorf("policy with every permission: got %v", err)
	}
	for what, err := range map[string]error{
		"RemoveDevice": h.Device("ghost").Remove(), "SetEnabled": h.Device("ghost").SetEnabled(true), "disable": h.Device("ghost").SetEnabled(false),
	} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: got %v, want ErrUnknown", what, err)
		}
	}
	_, err = h.Device("ghost").SetDesired(`{}`)
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("SetDesired: got %v, want ErrUnknown", err)
	}
}

func TestRotatedKeys(t *testing.T) { bubble(t, testRotatedKeys) }
func testRotatedKeys(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	if _, err := h.Device("dev1").SetKeys("", d.PrimaryKey); err != nil {
		t.Fatalf("SetKeys: %v", err)
	}
	c.play(ping)
	login(t, h, d).play(ping) // the old primary is the secondary now
	if _, err := h.Device("dev1").SetKeys("", ""); err != nil {
		t.Fatalf("SetKeys: %v", err)
	}
	c = open(t, h)
	c.send(hello(t, h, d).bytes())
	c.play("< CONNACK sp=0 rc=5\n< close")
}

func TestFaultsOfUnknownDevices(t *testing.T) {
	hub := New(t, nil)
	if err := hub.Device("typo").SetLine(false); !errors.Is(err, ErrUnknown) {
		t.Errorf("SetLine: %v", err)
	}
	if err := hub.Device("typo").Stall(true); !errors.Is(err, ErrUnknown) {
		t.Errorf("Stall: %v", err)
	}
	if err := hub.SetLine(false); err != nil {
		t.Errorf("everyone's line: %v", err)
	}
}

// TestPolicies holds what a new hub has, and that a policy's line of text is the
// hub's own: the one that AddPolicy is given is not believed.
func TestPolicies(t *testing.T) {
	h := New(t, &Options{Host: "hub.example.org"})
	made, err := h.AddPolicy(Policy{Name: "dash", PrimaryKey: keyOne, Permissions: []string{serviceConnect}, ConnectionString: "HostName=elsewhere"})
	if want := "HostName=hub.example.org;SharedAccessKeyName=dash;SharedAccessKey=" + keyOne; err != nil || made.ConnectionString != want {
		t.Errorf("AddPolicy: got %q, %v; want %q", made.ConnectionString, err, want)
	}
	for name, want := range map[string][]string{
		"iothubowner":       {registryRead, registryWrite, serviceConnect, deviceConnect},
		"service":           {serviceConnect},
		"device":            {deviceConnect},
		"registryRead":      {registryRead},
		"registryReadWrite": {registryRead, registryWrite},
		"dash":              {serviceConnect},
	} {
		p, ok := h.Policy(name)
		if !ok || !slices.Equal(p.Permissions, want) {
			t.Errorf("%s: got %v, %v; want %v", name, p.Permissions, ok, want)
		}
		if want := "HostName=hub.example.org;SharedAccessKeyName=" + name + ";SharedAccessKey=" + p.PrimaryKey; p.ConnectionString != want {
			t.Errorf("%s: connection string: got %q, want %q", name, p.ConnectionString, want)
		}
	}
	if p, ok := h.Policy("ghost"); ok || p.ConnectionString != "" {
		t.Errorf("a policy that is not there: got %q, %v", p.ConnectionString, ok)
	}
}

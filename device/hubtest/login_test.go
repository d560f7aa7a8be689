package hubtest

import (
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/quirk"
)

func TestUserName(t *testing.T) {
	const host = "myhub.azure-devices.net"
	tests := []struct {
		desc, text string
		want       userName
	}{
		{"node", host + "/dev1/?api-version=2021-04-12&model-id=dtmi:com:example:Thermostat;1&DeviceClientType=azure-iot-device%2F1.18.4%20(node%20v20)",
			userName{host, "dev1", "2021-04-12", "azure-iot-device/1.18.4 (node v20)", "dtmi:com:example:Thermostat;1"}},
		{"python", host + "/dev1/?api-version=2019-10-01&DeviceClientType=azure-iot-device-iothub-py%2F2.14.0%283.11%29",
			userName{host, "dev1", "2019-10-01", "azure-iot-device-iothub-py/2.14.0(3.11)", ""}},
		{"c#, auth-chain ignored", host + "/dev1/?api-version=2020-09-30&DeviceClientType=.NET&auth-chain=edge1%3Bedge2",
			userName{host, "dev1", "2020-09-30", ".NET", ""}},
		{"c, lower hex", host + "/dev1/?api-version=2020-09-30&DeviceClientType=iothubclient%2f1.2&model-id=dtmi%3acom%3ax%3b1",
			userName{host, "dev1", "2020-09-30", "iothubclient/1.2", "dtmi:com:x;1"}},
		{"module", host + "/dev1/modA/?api-version=2021-04-12", userName{host, "dev1/modA", "2021-04-12", "", ""}},
		{"amenzhinsky, no question mark", host + "/dev1/api-version=2020-09-30&model-id=a%3A1", userName{host, "dev1", "2020-09-30", "", "a:1"}},
		{"module, no question mark", host + "/dev1/m/api-version=2020-09-30", userName{host, "dev1/m", "2020-09-30", "", ""}},
		{"no parameters", host + "/dev1", userName{host, "dev1", "", "", ""}},
		{"trailing slash", host + "/dev1/", userName{host, "dev1", "", "", ""}},
		{"plus stays", host + "/dev1/?DeviceClientType=a+b", userName{host, "dev1", "", "a+b", ""}},
		{"every legal sign in an id", host + "/D-1.a%_#*?!(),=@$'/?api-version=2021-04-12", userName{host, "D-1.a%_#*?!(),=@$'", "2021-04-12", "", ""}},
		{"EN-1", host + "/dev1/?api-version=2021-04-12&DeviceClientType=mysdk%2F1.2.3%20%28go1.24%3B%20linux%2Famd64%29",
			userName{host, "dev1", "2021-04-12", "mysdk/1.2.3 (go1.24; linux/amd64)", ""}},
	}
	for _, tt := range tests {
		got, err := parseUserName(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.desc, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "dev1", "/dev1", host + "/", host + "//m", host + "/dev1//", host + "/d/m/x", host + "/d/?model-id=%zz"} {
		if u, err := parseUserName(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, u)
		}
	}
}

func TestLoginRefusals(t *testing.T) { bubble(t, testLoginRefusals) }
func testLoginRefusals(t *testing.T) {
	h, d := vectorHub(t)
	m, err := h.AddDevice("dev1/modA")
	if err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	off := addDevice(t, h, "off")
	below, err := h.AddDevice("off/modA")
	if err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	if err := h.Device("off").SetEnabled(false); err != nil {
		t.Fatalf("SetEnabled: %v", err)
	}
	tests := []struct {
		desc   string
		who    Device
		change func(*connectPacket)
		want   string
	}{
		{"good", d, func(*connectPacket) {}, "CONNACK sp=0 rc=0"},
		{"good, clean", d, func(p *connectPacket) { p.clean = true }, "CONNACK sp=0 rc=0"},
		{"module", m, func(*connectPacket) {}, "CONNACK sp=0 rc=0"},
		{"host in other case", d, func(p *connectPacket) { p.user = strings.Replace(p.user, "myhub", "MyHub", 1) }, "CONNACK sp=0 rc=0"},
		{"a will", d, func(p *connectPacket) { p.will, p.clean = "devices/dev1/messages/events/", true }, "CONNACK sp=0 rc=0"},
		{"level 3", d, func(p *connectPacket) { p.name, p.level = "MQIsdp", 3 }, "CONNACK sp=0 rc=1"},
		{"level 5", d, func(p *connectPacket) { p.level = 5 }, "CONNACK sp=0 rc=1"},
		{"another protocol", d, func(p *connectPacket) { p.name = "HTTP" }, "close"},
		{"client id of another", d, func(p *connectPacket) { p.id = "dev2" }, "CONNACK sp=0 rc=2"},
		{"client id in other case", d, func(p *connectPacket) { p.id = "Dev1" }, "CONNACK sp=0 rc=2"},
		{"empty client id", d, func(p *connectPacket) { p.id = "" }, "CONNACK sp=0 rc=2"},
		{"no user name", d, func(p *connectPacket) { p.user, p.password = "-", "-" }, "CONNACK sp=0 rc=4"},
		{"user name without id", d, func(p *connectPacket) { p.user = hostOne }, "CONNACK sp=0 rc=4"},
		{"password without user name", d, func(p *connectPacket) { p.user = "-" }, "close"},
		{"no password", d, func(p *connectPacket) { p.password = "-" }, "CONNACK sp=0 rc=5"},
		{"empty password", d, func(p *connectPacket) { p.password = "" }, "CONNACK sp=0 rc=5"},
		{"password is no token", d, func(p *connectPacket) { p.password = "secret" }, "CONNACK sp=0 rc=5"},
		{"another hub", d, func(p *connectPacket) { p.user = strings.Replace(p.user, "myhub", "other", 1) }, "CONNACK sp=0 rc=5"},
		{"disabled", off, func(*connectPacket) {}, "CONNACK sp=0 rc=3"},
		{"disabled, and a wrong token", off, func(p *connectPacket) { p.password = sasOne }, "CONNACK sp=0 rc=3"},
		{"a module of a disabled device", below, func(*connectPacket) {}, "CONNACK sp=0 rc=3"},
		{"unknown", d, func(p *connectPacket) { p.id, p.user = "ghost", hostOne+"/ghost/?api-version=2021-04-12" }, "CONNACK sp=0 rc=5"},
		{"a device's token for its module", m, func(p *connectPacket) { p.password = sasOne }, "CONNACK sp=0 rc=5"},
	}
	for _, tt := range tests {
		p := hello(t, h, tt.who)
		tt.change(&p)
		c := open(t, h)
		c.send(p.bytes())
		if got := c.receive(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.desc, got, tt.want)
		} else if !strings.HasSuffix(tt.want, "rc=0") {
			if got := c.receive(); got != "close" {
				t.Errorf("%s: after the refusal: got %s, want close", tt.desc, got)
			}
		}
		_ = c.conn.Close()
	}
}

func TestModelIsKept(t *testing.T) { bubble(t, testModelIsKept) }
func testModelIsKept(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	p := hello(t, h, d)
	p.user += "&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1"
	c := open(t, h)
	c.send(p.bytes())
	c.play(`< CONNACK sp=0 rc=0`)
	if got, want := twinOf(t, h, "dev1").ModelID, "dtmi:com:example:Thermostat;1"; got != want {
		t.Errorf("model: got %q, want %q", got, want)
	}
}

func TestFirstPacketMustBeConnect(t *testing.T) { bubble(t, testFirstPacketMustBeConnect) }
func testFirstPacketMustBeConnect(t *testing.T) {
	h := New(t, nil)
	c := open(t, h)
	c.play(`
		> PINGREQ
		< close
	`)
	c = open(t, h)
	if got := c.receiveIn(29 * time.Second); got != "silence" {
		t.Errorf("after 29 s: got %s, want silence", got)
	}
	if got := c.receiveIn(2 * time.Second); got != "close" {
		t.Errorf("after 31 s: got %s, want close", got)
	}
}

func TestSecondConnect(t *testing.T) { bubble(t, testSecondConnect) }
func testSecondConnect(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	c.send(hello(t, h, d).bytes())
	c.play(`< close`)
}

func TestKeepAlive(t *testing.T) {
	tests := []struct {
		keepAlive uint16
		want      time.Duration
	}{
		{10, 15 * time.Second}, {240, 360 * time.Second}, {1177, 1765*time.Second + time.Second/2},
		{1740, 1767 * time.Second}, {65535, 1767 * time.Second}, {0, 1767 * time.Second},
	}
	for _, tt := range tests {
		bubble(t, func(t *testing.T) {
			h := New(t, nil)
			addDevice(t, h, "dev1")
			pol, _ := h.Policy("device")
			p := hello(t, h, addDevice(t, h, "dev2"))
			p.id, p.user = "dev1", h.Host()+"/dev1/"
			p.password = sign(t, h.Host()+"/devices/dev1", pol.PrimaryKey, h.opts.Now().Add(24*time.Hour), "device")
			p.keepAlive = tt.keepAlive
			c := open(t, h)
			c.send(p.bytes())
			c.play(`< CONNACK sp=0 rc=0`)
			time.Sleep(tt.want - time.Second)
			c.play(`
				> PINGREQ
				< PINGRESP
			`)
			if got := c.receiveIn(tt.want - time.Millisecond); got != "silence" {
				t.Errorf("keep-alive %d, before %v: got %s, want silence", tt.keepAlive, tt.want, got)
			}
			if got := c.receiveIn(2 * time.Millisecond); got != "close" {
				t.Errorf("keep-alive %d, after %v: got %s, want close", tt.keepAlive, tt.want, got)
			}
		})
	}
}

func TestTokenEnd(t *testing.T) {
	for _, grace := range []time.Duration{0, 10 * time.Minute} {
		bubble(t, func(t *testing.T) {
			h := New(t, &Options{quirks: quirk.Set{TokenGrace: grace}})
			d := addDevice(t, h, "dev1")
			p := hello(t, h, d) // for an hour
			p.keepAlive = 0
			c := open(t, h)
			c.send(p.bytes())
			c.play(`< CONNACK sp=0 rc=0`)
			for range 3 {
				time.Sleep(19 * time.Minute)
				c.play(`
					> PINGREQ
					< PINGRESP
				`)
			}
			left := 3*time.Minute + grace
			if got := c.receiveIn(left - time.Second); got != "silence" {
				t.Errorf("grace %v, before its end: got %s, want silence", grace, got)
			}
			if got := c.receiveIn(2 * time.Second); got != "close" {
				t.Errorf("grace %v, after its end: got %s, want close", grace, got)
			}
		})
	}
}

// A token that ended within the allowance for wrong clocks lets in, until the
// allowance ends.
func TestTokenWithinSkew(t *testing.T) { bubble(t, testTokenWithinSkew) }
func testTokenWithinSkew(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	p := hello(t, h, d)
	time.Sleep(time.Hour + 299*time.Second)
	c := open(t, h)
	c.send(p.bytes())
	c.play(`< CONNACK sp=0 rc=0`)
	if got := c.receiveIn(3 * time.Second); got != "close" {
		t.Errorf("after the allowance: got %s, want close", got)
	}
	c = open(t, h)
	c.send(p.bytes())
	c.play(`< CONNACK sp=0 rc=5`)
}

// A wall clock that is set while a device is connected moves its token's end.
func TestWallClockIsSet(t *testing.T) { bubble(t, testWallClockIsSet) }
func testWallClockIsSet(t *testing.T) {
	start := time.Now()
	wall := make(chan time.Duration, 1)
	wall <- 0
	h := New(t, &Options{Now: func() time.Time {
		off := <-wall
		wall <- off
		return time.Now().Add(off)
	}})
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	<-wall
	wall <- -30 * time.Minute // set back: the token lives longer
	for range 17 {
		time.Sleep(5 * time.Minute)
		c.play(`
			> PINGREQ
			< PINGRESP
		`)
	}
	if got := c.receiveIn(6 * time.Minute); got != "close" {
		t.Errorf("at the end: got %s, want close", got)
	}
	if got, want := time.Since(start).Round(time.Minute), 90*time.Minute; got != want {
		t.Errorf("cut after %v, want %v", got, want)
	}
}

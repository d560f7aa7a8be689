package hubtest

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/go-amqp"
)

// TestTelemetryAuthMethod holds how a message tells the proof of its sender.
func TestTelemetryAuthMethod(t *testing.T) { bubble(t, testTelemetryAuthMethod) }
func testTelemetryAuthMethod(t *testing.T) {
	h := New(t, nil)
	d, x := addDevice(t, h, "dev1"), must[Device](t, "AddX509Device")(h.AddX509Device("dev2", nil))
	policy, _ := h.Policy("device")
	methods := func(d Device) string {
		var all []string
		for _, m := range kept(t, d) {
			all = append(all, m.System[sysAuth])
		}
		return strings.Join(all, " ")
	}
	send := func(c *raw, p connectPacket) {
		c.send(p.bytes())
		c.play("< CONNACK sp=… rc=0\n> PUBLISH Q1 5 devices/" + p.id + "/messages/events/ hi\n< PUBACK 5")
	}
	p := hello(t, h, d)
	send(open(t, h), p)
	p.password = sign(t, h.Host()+"/devices/dev1", policy.PrimaryKey, h.opts.Now().Add(time.Hour), "device")
	send(open(t, h), p)
	const want = `{"scope":"device","type":"sas","issuer":"iothub"} {"scope":"hub","type":"sas","issuer":"iothub"}`
	if got := methods(d); got != want {
		t.Errorf("tokens: got %s", got)
	}
	cert := must[tls.Certificate](t, "X509KeyPair")(tls.X509KeyPair(x.CertificatePEM, x.KeyPEM))
	c, _ := webTLS(t, h, must[net.Conn](t, "Dial")(h.DialContext(t.Context(), "tcp", "hub:443")), &cert, "")
	send(c, connectPacket{name: "MQTT", level: 4, keepAlive: 240, id: "dev2", user: h.Host() + "/dev2/?api-version=2021-04-12", password: "-"})
	if got := methods(x); got != `{"scope":"device","type":"x509","issuer":"iothub"}` {
		t.Errorf("a certificate: got %s", got)
	}
}

// TestTelemetryOverWebSocket sends the largest message, whose packet spans many
// WebSocket messages.
func TestTelemetryOverWebSocket(t *testing.T) { bubble(t, testTelemetryOverWebSocket) }
func testTelemetryOverWebSocket(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c, ws := webLogin(t, h, d)
	ws.size = 4000
	c.play("> PUBLISH Q1 5 devices/dev1/messages/events/ " + strings.Repeat("x", maxEvent) + "\n< PUBACK 5")
	if all := kept(t, d); len(all) != 1 || len(all[0].Body) != maxEvent {
		t.Errorf("kept %d", len(all))
	}
}

// TestSettledTelemetry stores what comes settled, and drops what would be
// rejected.
func TestSettledTelemetry(t *testing.T) { bubble(t, testSettledTelemetry) }
func testSettledTelemetry(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := openAMQP(t, h)
	c.admit(d, time.Now())
	s := must[*amqp.Sender](t, "NewSender")(c.session.NewSender(t.Context(), "/devices/dev1/messages/events",
		&amqp.SenderOptions{SettlementMode: amqp.SenderSettleModeSettled.Ptr()}))
	for _, body := range []string{"a", strings.Repeat("x", maxEvent+1), "b"} {
		if got := outcome(t, s, data("", body)); got != "accepted" {
			t.Errorf("%d bytes: %s", len(body), got)
		}
	}
	synctest.Wait()
	if got := bodies(kept(t, d)); got != "a b" {
		t.Errorf("kept %.100q", got)
	}
}

// TestSharedConnectionFaults holds that a fault of one device's telemetry leaves
// the others on the connection alone.
func TestSharedConnectionFaults(t *testing.T) { bubble(t, testSharedConnectionFaults) }
func testSharedConnectionFaults(t *testing.T) {
	h := New(t, nil)
	d, e := addDevice(t, h, "dev1"), addDevice(t, h, "dev2")
	c := openAMQP(t, h)
	c.admit(d, time.Now())
	c.admit(e, time.Now())
	one, two := c.events("/devices/dev1/messages/events"), c.events("/devices/dev2/messages/events")
	hold(t, d, true)
	synctest.Wait()
	if got := outcome(t, two, data("", "x")); got != "accepted" {
		t.Errorf("while the other is held: %s", got)
	}
	hold(t, d, false)
	h.Intercept(FromDevice("dev1", Telemetry), CutAfter())
	if got := outcome(t, one, data("", "x")); got != "gone" || len(kept(t, d)) != 1 {
		t.Errorf("cut after it is stored: %s, kept %d", got, len(kept(t, d)))
	}
	if got := outcome(t, two, data("", "y")); got != "accepted" || bodies(kept(t, e)) != "x y" {
		t.Errorf("after the other's cut: %s, kept %q", got, bodies(kept(t, e)))
	}
}

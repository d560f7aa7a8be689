package hubtest

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
)

// amqpDevice logs a device in on a connection of its own.
func amqpDevice(t *testing.T, h *Hub, d Device) (*amqpClient, twinLinks) {
	t.Helper()
	c := openAMQP(t, h)
	c.admit(d, time.Now())
	return c, c.twin(d)
}

func getting(id string) *amqp.Message { return twinMessage(id, "", "operation", "GET") }

func (l twinLinks) alive() {
	l.t.Helper()
	if status, _, _ := l.ask(getting("alive")); status != 200 {
		l.t.Errorf("get: got %d, want 200", status)
	}
}

// Whoever has a connection alone loses it whole, and without a word.
func TestAMQPLineEnds(t *testing.T) { bubble(t, testAMQPLineEnds) }
func testAMQPLineEnds(t *testing.T) {
	for desc, end := range map[string]func(h *Hub, d Device) error{
		"cut":      func(h *Hub, _ Device) error { return h.Device("dev1").Cut() },
		"down":     func(h *Hub, _ Device) error { return h.Device("dev1").SetLine(false) },
		"all down": func(h *Hub, _ Device) error { return h.SetLine(false) },
		"taken over by AMQP": func(h *Hub, d Device) error {
			c := openAMQP(t, h)
			c.admit(d, time.Now())
			c.twin(d).alive()
			return nil
		},
		"taken over by MQTT": func(h *Hub, d Device) error { login(t, h, d); return nil },
	} {
		h, d := amqpHub(t)
		c, l := amqpDevice(t, h, d)
		l.alive()
		if err := end(h, d); err != nil {
			t.Fatalf("%s: %v", desc, err)
		}
		_ = l.gone()
		<-c.conn.Done()
	}
	h, d := amqpHub(t)
	m := login(t, h, d)
	_, l := amqpDevice(t, h, d)
	if got := m.receiveIn(patience); got != "close" {
		t.Errorf("MQTT taken over by AMQP: got %q, want close", got)
	}
	l.alive()
	if s := h.Device("dev1").Stats(); s.Takeovers != 1 {
		t.Errorf("counted %+v, want one takeover", s)
	}
}

// TestAMQPWithdrawn: the links of an identity that is removed or disabled are
// detached, closed or, as newer gateways do, not. The connection stays.
func TestAMQPWithdrawn(t *testing.T) { bubble(t, testAMQPWithdrawn) }
func testAMQPWithdrawn(t *testing.T) {
	for _, suspend := range []bool{false, true} {
		for desc, end := range map[string]func(h *Hub) error{
			"removed":   func(h *Hub) error { return h.Device("dev1").Remove() },
			"disabled":  func(h *Hub) error { return h.Device("dev1").SetEnabled(false) },
			"over REST": func(h *Hub) error { owner(t, h).do("DELETE", "/devices/dev1", "", "If-Match: *"); return nil },
			"disabled, too": func(h *Hub) error {
				owner(t, h).do("PUT", "/devices/dev1", `{"status":"disabled"}`, "If-Match: *")
				return nil
			},
		} {
			h := New(t, &Options{quirks: quirk.Set{SuspendLinks: suspend}})
			d, other := addDevice(t, h, "dev1"), addDevice(t, h, "dev2")
			c, l := amqpDevice(t, h, d)
			l.alive()
			if err := end(h); err != nil {
				t.Fatalf("%s: %v", desc, err)
			}
			gone := l.gone()
			if suspend { // go-amqp's own word, and it does not answer such a DETACH
				if !strings.Contains(gone.Error(), "non-closing detach") {
					t.Errorf("%s: got %v, want a DETACH that does not close", desc, gone)
				}
				continue
			}
			wantCondition(t, desc, gone, amqp.ErrCondDetachForced)
			synctest.Wait() // until go-amqp has answered both
			if status, _ := c.putToken(audience(d), tokenOf(t, d, time.Now(), time.Hour), "p"); status != 401 {
				t.Errorf("%s: put-token got %d, want 401", desc, status)
			}
			c.admit(other, time.Now()) // the connection is well
			c.twin(other).alive()
		}
	}
}

// Of those who share a connection, only the one that is meant loses its links.
func TestAMQPSharedConnection(t *testing.T) { bubble(t, testAMQPSharedConnection) }
func testAMQPSharedConnection(t *testing.T) {
	for desc, test := range map[string]struct {
		end  func(h *Hub) error
		want amqp.ErrCond
	}{
		"cut":            {func(h *Hub) error { return h.Device("two").Cut() }, amqp.ErrCondDetachForced},
		"down":           {func(h *Hub) error { return h.Device("two").SetLine(false) }, amqp.ErrCondDetachForced},
		"removed":        {func(h *Hub) error { return h.Device("two").Remove() }, amqp.ErrCondDetachForced},
		"disabled":       {func(h *Hub) error { return h.Device("two").SetEnabled(false) }, amqp.ErrCondDetachForced},
		"its token ends": {func(*Hub) error { time.Sleep(72 * time.Hour); return nil }, amqp.ErrCondUnauthorizedAccess},
	} {
		h := New(t, nil)
		one, two := addDevice(t, h, "one"), addDevice(t, h, "two")
		c := openAMQP(t, h)
		if status, _ := c.putToken(audience(one), tokenOf(t, one, time.Now(), 1000*time.Hour), "1"); status != 200 {
			t.Fatalf("put-token: %d", status)
		}
		c.admit(two, time.Now())
		l1, l2 := c.twin(one), c.twin(two)
		l1.alive()
		l2.alive()
		if err := test.end(h); err != nil {
			t.Fatalf("%s: %v", desc, err)
		}
		wantCondition(t, desc, l2.gone(), test.want)
		l1.alive()
		if tw, err := h.Device("two").Twin(); err == nil && tw.Connected {
			t.Errorf("%s: two is still connected", desc)
		}
	}
}

func TestAMQPTokenEnds(t *testing.T) { bubble(t, testAMQPTokenEnds) }
func testAMQPTokenEnds(t *testing.T) {
	h, d := amqpHub(t)
	c := openAMQP(t, h)
	put := func(life time.Duration) {
		t.Helper()
		if status, text := c.putToken(audience(d), tokenOf(t, d, time.Now(), life), "p"); status != 200 {
			t.Fatalf("put-token: %d %s", status, text)
		}
	}
	put(time.Hour)
	l := c.twin(d)
	time.Sleep(50 * time.Minute)
	put(time.Hour) // renewed on the same links
	time.Sleep(50 * time.Minute)
	l.alive()
	if status, _ := c.putToken(audience(d), "SharedAccessSignature", "bad"); status != 401 {
		t.Errorf("a bad renewal: got %d, want 401", status)
	}
	l.alive()
	start := time.Now()
	wantCondition(t, "at the token's end", goneAfter(l), amqp.ErrCondUnauthorizedAccess)
	if took := time.Since(start).Round(time.Minute); took != 10*time.Minute {
		t.Errorf("the links ended after %v, want 10m", took)
	}
	put(time.Hour) // on the same connection
	c.twin(d).alive()
	if s := h.Device("dev1").Stats(); s.Connects != 2 {
		t.Errorf("counted %+v, want two logins", s)
	}
}

// goneAfter waits for a link to end, however long it takes.
func goneAfter(l twinLinks) error {
	_, err := l.in.Receive(l.t.Context(), nil)
	return err
}

func TestAMQPStall(t *testing.T) { bubble(t, testAMQPStall) }
func testAMQPStall(t *testing.T) {
	h, d := amqpHub(t)
	_, l := amqpDevice(t, h, d)
	if err := h.Device("dev1").Stall(true); err != nil {
		t.Fatalf("Stall: %v", err)
	}
	go func() { _ = l.out.Send(t.Context(), getting("held"), nil) }()
	if !l.quiet(time.Minute) {
		t.Fatalf("a stalled line brought something")
	}
	if err := h.Device("dev1").Stall(false); err != nil {
		t.Fatalf("Stall: %v", err)
	}
	if m := l.receive(); m.Properties.CorrelationID != "held" {
		t.Errorf("got %v, want the answer that waited", m.Properties.CorrelationID)
	}
}

func TestAMQPIntercept(t *testing.T) { bubble(t, testAMQPIntercept) }
func testAMQPIntercept(t *testing.T) {
	h, d := amqpHub(t)
	put := func() (*amqpClient, int32) {
		c := openAMQP(t, h)
		status, _ := c.putToken(audience(d), tokenOf(t, d, time.Now(), time.Hour), "p")
		return c, status
	}
	for act, want := range map[int]int32{5: 401, 3: 503, 429: 429} {
		h.Intercept(FromDevice("dev1", Connect), Answer(act, ""))
		if _, got := put(); got != want {
			t.Errorf("put-token answered by %d: got %d, want %d", act, got, want)
		}
	}
	h.Intercept(FromHub("dev1", Connect), Answer(503, ""))
	if _, got := put(); got != 503 {
		t.Errorf("put-token's answer replaced: got %d, want 503", got)
	}
	h.Intercept(FromDevice("dev1", Connect), Delay(time.Minute))
	start := time.Now()
	c, got := put2(t, h, d)
	if took := time.Since(start); got != 200 || took != time.Minute {
		t.Errorf("a delayed put-token: %d after %v", got, took)
	}
	l := c.twin(d)
	h.Intercept(FromDevice("dev1", GetTwin), Fail(429001))
	if status, _, _ := l.ask(getting("1")); status != 429 {
		t.Errorf("get: got %d, want 429", status)
	}
	h.Intercept(FromDevice("dev1", Subscribe), Answer(503, ""))
	if status, _, _ := l.ask(twinMessage("2", "", "operation", "PUT", "resource", resourceChanges)); status != 503 {
		t.Errorf("subscribe: got %d, want 503", status)
	}
	h.Intercept(FromDevice("dev1", PatchReported), Duplicate())
	l.send(twinMessage("3", `{"a":1}`, "operation", "PATCH", "resource", resourceReported))
	if a, b := l.receive(), l.receive(); a.Annotations["version"] != int64(2) || b.Annotations["version"] != int64(3) {
		t.Errorf("a doubled patch: got %v and %v", a.Annotations, b.Annotations)
	}
	h.Intercept(FromDevice("dev1", GetTwin), Drop())
	l.send(getting("4"))
	h.Intercept(FromDevice("dev1", PatchReported), CutAfter())
	if !l.quiet(time.Minute) {
		t.Errorf("a dropped request was answered")
	}
	_ = l.out.Send(t.Context(), twinMessage("5", `{"b":1}`, "operation", "PATCH", "resource", resourceReported), nil)
	_ = l.gone()
	if tw, err := h.Device("dev1").Twin(); err != nil || tw.Reported.Version != 4 {
		t.Errorf("twin %+v, %v; want the patch before the cut in it", tw, err)
	}
}

// put2 is a put-token that waits for its answer for longer than usual.
func put2(t *testing.T, h *Hub, d Device) (*amqpClient, int32) {
	t.Helper()
	c := openAMQP(t, h)
	c.knock(d)
	_, status := c.judged()
	return c, status
}

// knock puts a good token, and does not wait for the answer.
func (c *amqpClient) knock(d Device) {
	c.t.Helper()
	if c.put == nil {
		c.attachCBS()
	}
	err := c.put.Send(c.t.Context(), &amqp.Message{
		Properties:            &amqp.MessageProperties{MessageID: d.Identity.DeviceID},
		ApplicationProperties: map[string]any{"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience(d)},
		Value:                 tokenOf(c.t, d, time.Now(), time.Hour),
	}, nil)
	if err != nil {
		c.t.Fatalf("put-token: %v", err)
	}
}

// judged is the next answer to such a token, and whose it is.
func (c *amqpClient) judged() (id any, status int32) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Hour)
	defer cancel()
	m, err := c.puts.Receive(ctx, nil)
	if err == nil {
		err = c.puts.AcceptMessage(ctx, m)
	}
	if err != nil {
		c.t.Fatalf("put-token's answer: %v", err)
	}
	status, _ = m.ApplicationProperties["status-code"].(int32)
	return m.Properties.CorrelationID, status
}

// A login that waits to be judged keeps its place on the connection.
func TestAMQPLoginWaits(t *testing.T) { bubble(t, testAMQPLoginWaits) }
func testAMQPLoginWaits(t *testing.T) {
	h := New(t, &Options{quirks: quirk.Set{ConnectionTokens: 1}})
	first, second := addDevice(t, h, "first"), addDevice(t, h, "second")
	h.Intercept(FromDevice("first", Connect), Delay(10*time.Second))
	c := openAMQP(t, h)
	c.knock(first)
	time.Sleep(time.Second)
	c.knock(second)
	if id, status := c.judged(); id != "second" || status != 403 {
		t.Errorf("%v is answered by %d; want the second by 403", id, status)
	}
	if id, status := c.judged(); id != "first" || status != 200 {
		t.Errorf("%v is answered by %d; want the first by 200", id, status)
	}
	c.twin(first).alive()
	wantConnected(t, h, "first", true)
	_ = c.conn.Close()
	time.Sleep(time.Minute)
	wantConnected(t, h, "first", false)
	wantConnected(t, h, "second", false)
}

// A login that is performed after its connection has ended connects nobody.
func TestAMQPLateLogin(t *testing.T) { bubble(t, testAMQPLateLogin) }
func testAMQPLateLogin(t *testing.T) {
	h, d := amqpHub(t)
	h.Intercept(FromDevice("dev1", Connect), Late(10*time.Second))
	c := openAMQP(t, h)
	c.knock(d)
	time.Sleep(time.Second)
	_ = c.conn.Close()
	time.Sleep(time.Minute)
	wantConnected(t, h, "dev1", false)
}

func wantConnected(t *testing.T, h *Hub, id string, want bool) {
	t.Helper()
	if tw, err := h.Device(id).Twin(); err != nil || tw.Connected != want {
		t.Errorf("%s: connected is %v, %v; want %v", id, tw.Connected, err, want)
	}
}

// Heartbeats of both sides keep an idle connection; those of the device are
// Pings.
func TestAMQPHeartbeats(t *testing.T) { bubble(t, testAMQPHeartbeats) }
func testAMQPHeartbeats(t *testing.T) {
	h, d := amqpHub(t)
	c, l := amqpDevice(t, h, d)
	time.Sleep(time.Hour)
	l.alive()
	if n := h.Device("dev1").Stats().Pings; n != 30 { // go-amqp: at half of the hub's 4 min
		t.Errorf("counted %d heartbeats in an hour, want 30", n)
	}
	h.Intercept(FromDevice("dev1", Ping), Cut())
	start := time.Now()
	<-c.conn.Done()
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("cut after %v, want at the next heartbeat", took)
	}
}

// A client is cut when it is silent for too long, before its OPEN and after.
func TestAMQPSilentClient(t *testing.T) { bubble(t, testAMQPSilentClient) }
func testAMQPSilentClient(t *testing.T) {
	h, _ := amqpHub(t)
	open := []byte("\x00\x00\x00\x14\x02\x00\x00\x00\x00\x53\x10\xc0\x07\x01\xa1\x04node")
	for desc, test := range map[string]struct {
		says string
		want time.Duration
	}{
		"nothing":     {"", 30 * time.Second},
		"header":      {headerAMQP, 30 * time.Second},
		"half a open": {headerAMQP + string(open[:9]), 30 * time.Second},
		"open":        {headerAMQP + string(open), 4 * time.Minute},
	} {
		conn, err := h.Stream(t.Context(), transport.Target{Port: int(AMQP)})
		if err != nil {
			t.Fatalf("Stream: %v", err)
		}
		start := time.Now()
		_, _ = conn.Write([]byte(test.says))
		_, _ = io.Copy(io.Discard, conn)
		if took := time.Since(start); took != test.want {
			t.Errorf("%s: cut after %v, want %v", desc, took, test.want)
		}
		_ = conn.Close()
	}
}

// A subscription goes with the link on which it is told, also when a newer link
// takes its place.
func TestAMQPNewerTwinLink(t *testing.T) { bubble(t, testAMQPNewerTwinLink) }
func testAMQPNewerTwinLink(t *testing.T) {
	subscribe := twinMessage("s", "", "operation", "PUT", "resource", resourceChanges)
	for desc, pair := range map[string]string{"a receiver": "1", "another pair": "2"} {
		h, d := amqpHub(t)
		c, l := amqpDevice(t, h, d)
		l.ask(subscribe)
		if pair == "2" {
			l.out = must[*amqp.Sender](t, "sender")(c.session.NewSender(t.Context(), twinAddress(d), &amqp.SenderOptions{Properties: pairing(pair)}))
			synctest.Wait() // go-amqp uses a handle again before it has confirmed the end
		}
		l.in = must[*amqp.Receiver](t, "receiver")(c.session.NewReceiver(t.Context(), twinAddress(d), &amqp.ReceiverOptions{Properties: pairing(pair), Credit: 100}))
		setDesired(t, h, "dev1", `{"a":1}`)
		if !l.quiet(time.Minute) {
			t.Errorf("%s: it hears a change without a subscription of its own", desc)
		}
		l.ask(subscribe)
		setDesired(t, h, "dev1", `{"a":2}`)
		if m := l.receive(); m.Annotations["resource"] != "/properties/desired" {
			t.Errorf("%s: got %v, want the change", desc, m.Annotations)
		}
	}
}

// The switch makes the hub one that go-amqp ends its session with.
func TestAMQPOmitNextIncomingID(t *testing.T) { bubble(t, testAMQPOmitNextIncomingID) }
func testAMQPOmitNextIncomingID(t *testing.T) {
	h := New(t, &Options{quirks: quirk.Set{OmitNextIncomingID: true}})
	c := openAMQP(t, h)
	if _, err := c.session.NewSender(t.Context(), "$cbs", nil); err == nil {
		synctest.Wait() // the FLOW that follows has been seen
		err = c.session.Close(t.Context())
		if err == nil {
			t.Errorf("the session stands, in spite of FLOW without next-incoming-id")
		}
	}
}

package hubtest

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// amqpClient is a client that speaks AMQP by go-amqp alone.
type amqpClient struct {
	t       testing.TB
	conn    *amqp.Conn
	session *amqp.Session
	put     *amqp.Sender   // $cbs
	puts    *amqp.Receiver // $cbs
	pause   any            // retry-after of the last answer
}

// openAMQP opens a connection with a session, over a stream in memory.
func openAMQP(t testing.TB, h *Hub) *amqpClient {
	t.Helper()
	stream, err := h.Stream(t.Context(), transport.Target{Port: int(AMQP)})
	if err != nil {
		t.Fatalf("Stream: %v", err)
	}
	conn, err := amqp.NewConn(t.Context(), stream, &amqp.ConnOptions{HostName: h.Host(), IdleTimeout: time.Hour})
	if err != nil {
		t.Fatalf("NewConn: %v", err)
	}
	return clientOn(t, conn)
}

func clientOn(t testing.TB, conn *amqp.Conn) *amqpClient {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	session, err := conn.NewSession(t.Context(), nil)
	if err != nil {
		t.Fatalf("NewSession: %v", err)
	}
	return &amqpClient{t: t, conn: conn, session: session}
}

// attachCBS opens the pair of links for tokens.
func (c *amqpClient) attachCBS() {
	c.t.Helper()
	var err error
	if c.put, err = c.session.NewSender(c.t.Context(), "$cbs", nil); err != nil {
		c.t.Fatalf("$cbs sender: %v", err)
	}
	if c.puts, err = c.session.NewReceiver(c.t.Context(), "$cbs", nil); err != nil {
		c.t.Fatalf("$cbs receiver: %v", err)
	}
}

// putToken asks to be let in, and returns the answer's status and text.
func (c *amqpClient) putToken(name, token string, id any) (int32, string) {
	c.t.Helper()
	if c.put == nil {
		c.attachCBS()
	}
	return c.request(&amqp.Message{
		Properties: &amqp.MessageProperties{MessageID: id},
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": name,
		},
		Value: token,
	})
}

func (c *amqpClient) request(m *amqp.Message) (int32, string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.put.Send(ctx, m, nil); err != nil {
		c.t.Fatalf("put-token: %v", err)
	}
	got, err := c.puts.Receive(ctx, nil)
	if err != nil {
		c.t.Fatalf("put-token's answer: %v", err)
	}
	if err := c.puts.AcceptMessage(ctx, got); err != nil {
		c.t.Fatalf("accept the answer: %v", err)
	}
	if m.Properties != nil && got.Properties.CorrelationID != m.Properties.MessageID {
		c.t.Errorf("put-token's answer correlates to %#v, want %#v", got.Properties.CorrelationID, m.Properties.MessageID)
	}
	status, _ := got.ApplicationProperties["status-code"].(int32)
	text, _ := got.ApplicationProperties["status-description"].(string)
	c.pause = got.ApplicationProperties["retry-after"]
	return status, text
}

// tokenOf is a token of a device, good until a time.
func tokenOf(t testing.TB, d Device, now time.Time, life time.Duration) string {
	t.Helper()
	key, err := auth.ParseKey(d.PrimaryKey)
	if err != nil {
		t.Fatalf("ParseKey: %v", err)
	}
	token, err := auth.TokenOf(t.Context(), auth.SAS(key, &auth.SASOptions{Lifetime: life}), d.Identity.Audience(), now)
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return token.Reveal()
}

// audience is the name in a put-token.
func audience(d Device) string {
	s := d.Identity.Host + "/devices/" + url.PathEscape(d.Identity.DeviceID)
	if m := d.Identity.ModuleID; m != "" {
		s += "/modules/" + url.PathEscape(m)
	}
	return s
}

// admit puts a good token.
func (c *amqpClient) admit(d Device, now time.Time) {
	c.t.Helper()
	if status, text := c.putToken(audience(d), tokenOf(c.t, d, now, 48*time.Hour), "put"); status != 200 || text != "OK" {
		c.t.Fatalf("put-token of %v: %d %s", d.Identity, status, text)
	}
}

// twinLinks are one device's.
type twinLinks struct {
	t   testing.TB
	out *amqp.Sender
	in  *amqp.Receiver
}

func twinAddress(d Device) string {
	return strings.TrimPrefix(audience(d), d.Identity.Host) + "/twin"
}

func pairing(id string) map[string]any {
	return map[string]any{
		"com.microsoft:channel-correlation-id": "twin:" + id,
		"com.microsoft:api-version":            "2021-04-12",
		"com.microsoft:model-id":               "dtmi:com:example:Thermostat;1",
	}
}

func (c *amqpClient) twin(d Device) twinLinks {
	c.t.Helper()
	out, err := c.session.NewSender(c.t.Context(), twinAddress(d), &amqp.SenderOptions{Properties: pairing("1")})
	if err != nil {
		c.t.Fatalf("twin sender: %v", err)
	}
	in, err := c.session.NewReceiver(c.t.Context(), twinAddress(d), &amqp.ReceiverOptions{Properties: pairing("1"), Credit: 100})
	if err != nil {
		c.t.Fatalf("twin receiver: %v", err)
	}
	return twinLinks{c.t, out, in}
}

// twinMessage is a request.
func twinMessage(id any, body string, notes ...any) *amqp.Message {
	m := &amqp.Message{Properties: &amqp.MessageProperties{CorrelationID: id}, Annotations: amqp.Annotations{}}
	for i := 0; i < len(notes); i += 2 {
		m.Annotations[notes[i]] = notes[i+1]
	}
	if body != "" {
		m.Data = [][]byte{[]byte(body)}
	}
	return m
}

func (l twinLinks) send(m *amqp.Message) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	if err := l.out.Send(ctx, m, nil); err != nil {
		l.t.Fatalf("send: %v", err)
	}
}

func (l twinLinks) receive() *amqp.Message {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	m, err := l.in.Receive(ctx, nil)
	if err != nil {
		l.t.Fatalf("receive: %v", err)
	}
	return m
}

// quiet reports whether nothing comes for a while.
func (l twinLinks) quiet(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(l.t.Context(), d)
	defer cancel()
	_, err := l.in.Receive(ctx, nil)
	return errors.Is(err, context.DeadlineExceeded)
}

// ask sends a request and checks that the answer has its id.
func (l twinLinks) ask(m *amqp.Message) (status int32, version any, body string) {
	l.t.Helper()
	l.send(m)
	got := l.receive()
	if got.Properties == nil || got.Properties.CorrelationID != m.Properties.CorrelationID {
		l.t.Fatalf("answer correlates to %#v, want %#v", got.Properties, m.Properties.CorrelationID)
	}
	status, _ = got.Annotations["status"].(int32)
	return status, got.Annotations["version"], string(got.GetData())
}

// gone waits for a link to end, and returns why.
func (l twinLinks) gone() error {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	_, err := l.in.Receive(ctx, nil)
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		l.t.Fatalf("the link stands: %v", err)
	}
	return err
}

func wantCondition(t testing.TB, what string, err error, want amqp.ErrCond) {
	t.Helper()
	var got *amqp.Error
	if !errors.As(err, &got) || got.Condition != want {
		t.Errorf("%s: got %v, want condition %s", what, err, want)
	}
}

// amqpHub is a hub at day one with a device on it.
func amqpHub(t *testing.T) (*Hub, Device) {
	t.Helper()
	h := New(t, nil)
	return h, addDevice(t, h, "dev1")
}

func TestAMQPPutToken(t *testing.T) { bubble(t, testAMQPPutToken) }
func testAMQPPutToken(t *testing.T) {
	h, d := amqpHub(t)
	m, err := h.AddDevice("dev1/modA")
	if err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	odd := addDevice(t, h, "a+b=%20,c")
	off := addDevice(t, h, "off")
	if err := h.Device("off").SetEnabled(false); err != nil {
		t.Fatalf("SetEnabled: %v", err)
	}
	now := time.Now()
	good := tokenOf(t, d, now, time.Hour)
	for _, test := range []struct {
		desc, name, token string
		id                any
		want              int32
	}{
		{"C#'s form", audience(d), good, "s", 200},
		{"C's: number as id", h.Host() + "/devices/dev1", good, uint64(0), 200},
		{"Node's: encoded as a whole", url.PathEscape(h.Host() + "/devices/dev1"), good, "n", 200},
		{"Java's: a uuid as id", "amqps://" + h.Host() + "/devices/dev1", good, amqp.UUID{1, 2}, 200},
		{"host in another case, with a port", strings.ToUpper(h.Host()) + ":5671/devices/dev1", good, "p", 200},
		{"module", audience(m), tokenOf(t, m, now, time.Hour), "m", 200},
		{"id with signs, encoded", audience(odd), tokenOf(t, odd, now, time.Hour), "o", 200},
		{"id with signs, raw", h.Host() + "/devices/a+b=%20,c", tokenOf(t, odd, now, time.Hour), "r", 200},
		{"another device's token", audience(odd), good, "x", 401},
		{"no such device", h.Host() + "/devices/nobody", good, "x", 401},
		{"disabled", audience(off), tokenOf(t, off, now, time.Hour), "x", 401},
		{"ended", audience(d), tokenOf(t, d, now.Add(-2*time.Hour), time.Hour), "x", 401},
		{"not a token", audience(d), "SharedAccessSignature", "x", 401},
		{"another hub", "other.hub/devices/dev1", good, "x", 401},
		{"the hub alone", h.Host(), good, "x", 400},
		{"a twin", h.Host() + "/devices/dev1/twin", good, "x", 400},
		{"no token", audience(d), "", "x", 400},
		{"endless", h.Host() + "/devices/" + strings.Repeat("x", maxAddress), good, "x", 400},
	} {
		if got, text := openAMQP(t, h).putToken(test.name, test.token, test.id); got != test.want {
			t.Errorf("%s: got %d %s, want %d", test.desc, got, text, test.want)
		}
	}
	c := openAMQP(t, h)
	c.attachCBS()
	if got, _ := c.request(&amqp.Message{ApplicationProperties: map[string]any{"operation": "delete-token", "name": audience(d)}}); got != 400 {
		t.Errorf("delete-token: got %d, want 400", got)
	}
	if _, err := c.session.NewSender(t.Context(), "$cbs", nil); err == nil {
		t.Errorf("a second $cbs link: accepted")
	} else {
		wantCondition(t, "a second $cbs link", err, amqp.ErrCondNotAllowed)
	}
}

func TestAMQPTwin(t *testing.T) { bubble(t, testAMQPTwin) }
func testAMQPTwin(t *testing.T) {
	h, d := amqpHub(t)
	c := openAMQP(t, h)
	c.admit(d, time.Now())
	l := c.twin(d)
	const changes = "/notifications/twin/properties/desired"
	for _, test := range []struct {
		desc    string
		m       *amqp.Message
		status  int32
		version any
		body    string
	}{
		{"get", twinMessage("1", " ", "operation", "GET"), 200, nil, `{"desired":{"$version":1},"reported":{"$version":1}}`},
		{"get with a uuid", twinMessage(amqp.UUID{7}, "", "operation", "GET"), 200, nil, `{"desired":{"$version":1},"reported":{"$version":1}}`},
		{"patch", twinMessage("2", `{"a":1}`, "operation", "PATCH", "resource", "/properties/reported"), 200, int64(2), ""},
		{"patch at its version", twinMessage("3", `{"a":2}`, "operation", "PATCH", "resource", "/properties/reported", "version", int64(2)), 200, int64(3), ""},
		{"patch at another version", twinMessage("4", `{"a":3}`, "operation", "PATCH", "resource", "/properties/reported", "version", int32(7)), 412, nil, "412001"},
		{"version in words", twinMessage("5", `{"a":3}`, "operation", "PATCH", "resource", "/properties/reported", "version", "3"), 400, nil, "400004"},
		{"bad patch", twinMessage("6", `{"a.b":3}`, "operation", "PATCH", "resource", "/properties/reported"), 400, nil, "400004"},
		{"no JSON", twinMessage("7", "x", "operation", "PATCH", "resource", "/properties/reported"), 400, nil, "400006"},
		{"patch of desired", twinMessage("8", `{}`, "operation", "PATCH", "resource", "/properties/desired"), 400, nil, "400004"},
		{"no operation", twinMessage("9", ""), 400, nil, "400004"},
		{"subscribe", twinMessage("10", "", "operation", "PUT", "resource", changes), 200, nil, ""},
	} {
		status, version, body := l.ask(test.m)
		if status != test.status || version != test.version || body != test.body && (test.status == 200 || !strings.Contains(body, test.body)) {
			t.Errorf("%s: got %d, %v, %s; want %d, %v, %s", test.desc, status, version, body, test.status, test.version, test.body)
		}
	}
	setDesired(t, h, "dev1", `{"fan":{"rpm":1}}`)
	got := l.receive()
	if got.Properties != nil && got.Properties.CorrelationID != nil || got.Annotations["resource"] != "/properties/desired" ||
		got.Annotations["version"] != int64(2) || string(got.GetData()) != `{"fan":{"rpm":1},"$version":2}` {
		t.Errorf("change: got %v %v %s", got.Properties, got.Annotations, got.GetData())
	}
	if status, _, _ := l.ask(twinMessage("11", "", "operation", "DELETE", "resource", changes)); status != 200 {
		t.Errorf("unsubscribe: got %d, want 200", status)
	}
	setDesired(t, h, "dev1", `{"fan":{"rpm":2}}`)
	if !l.quiet(time.Minute) {
		t.Errorf("after the unsubscription something came")
	}
	if s := h.Device("dev1").Stats(); s.Gets != 2 || s.Patches != 6 || s.subscribes != 1 || s.Connects != 1 || s.Notifications != 1 {
		t.Errorf("counted %+v", s)
	}
	if tw, err := h.Device("dev1").Twin(); err != nil || !tw.Connected {
		t.Errorf("twin: %+v, %v; want it connected", tw, err)
	}
	_ = c.conn.Close()
	if _, err := h.Device("dev1").Wait(t.Context(), func(tw Twin) bool { return !tw.Connected }); err != nil {
		t.Errorf("after CLOSE: %v", err)
	}
	if s := h.Device("dev1").Stats(); s.Disconnects != 1 {
		t.Errorf("counted %+v, want one polite end", s)
	}
}

func TestAMQPAddresses(t *testing.T) {
	for text, want := range map[string]address{
		"$cbs":                                     {node: nodeCBS},
		"/devices/dev1/twin":                       {nodeTwin, "dev1", ""},
		"devices/dev1/twin":                        {nodeTwin, "dev1", ""},
		"amqps://h.net/devices/a%2Cb/twin":         {nodeTwin, "a%2Cb", ""},
		"/Devices/dev1/Modules/m/TWIN":             {nodeTwin, "dev1", "m"},
		"/devices/dev1/messages/events":            {nodeEvents, "dev1", ""},
		"/devices/dev1/messages/devicebound":       {nodeMessages, "dev1", ""},
		"/devices/modules/methods/deviceBound":     {nodeMethods, "modules", ""},
		"/devices/d/modules/m/methods/devicebound": {nodeMethods, "d", "m"},
	} {
		if got, err := parseAddress(text); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/", "$CBS", "/devices", "/devices//twin", "/devices/d", "/devices/d/", "/devices/d/twin/", "/devices/d/modules//twin", "amqps://h", "/devices/d/" + strings.Repeat("x", maxAddress)} {
		if got, err := parseAddress(text); err == nil {
			t.Errorf("%.50q: got %+v, want an error", text, got)
		}
	}
}

func FuzzAMQPAddress(f *testing.F) {
	f.Add("amqps://h.net/devices/a%2Cb/modules/m/twin")
	f.Add("h.net%2Fdevices%2Fdev1")
	f.Add("$cbs")
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := parseAddress(text); err == nil && a.node != nodeCBS && (a.device == "" || strings.Contains(a.device+a.module, "/")) {
			t.Errorf("%q: %+v", text, a)
		}
		if _, d, m, err := parseAudience(text); err == nil && (d == "" || strings.Contains(d+m, "/")) {
			t.Errorf("%q: %q %q", text, d, m)
		}
	})
}

func TestAMQPX509(t *testing.T) {
	h := New(t, nil)
	d, err := h.AddX509Device("cert1", nil)
	if err != nil {
		t.Fatalf("AddX509Device: %v", err)
	}
	addDevice(t, h, "sas1")
	cert, err := auth.CertificateOf(t.Context(), d.Credential)
	if err != nil {
		t.Fatalf("Certificate: %v", err)
	}
	dial := func(certs ...tls.Certificate) *amqpClient {
		raw, err := h.DialContext(t.Context(), "tcp", "hub:5671")
		if err != nil {
			t.Fatalf("Dial: %v", err)
		}
		tc := tls.Client(raw, &tls.Config{RootCAs: h.RootCAs(), ServerName: h.Host(), Certificates: certs})
		conn, err := amqp.NewConn(t.Context(), tc, nil)
		if err != nil {
			t.Fatalf("NewConn: %v", err)
		}
		return clientOn(t, conn)
	}
	l := dial(*cert).twin(d)
	if status, _, _ := l.ask(twinMessage("1", "", "operation", "GET")); status != 200 {
		t.Errorf("get: got %d, want 200", status)
	}
	if tw, err := h.Device("cert1").Twin(); err != nil || tw.ModelID != "dtmi:com:example:Thermostat;1" {
		t.Errorf("twin: model %q, %v", tw.ModelID, err)
	}
	for desc, try := range map[string]struct {
		c       *amqpClient
		address string
	}{
		"no certificate":             {dial(), "/devices/cert1/twin"},
		"another's certificate":      {dial(*cert), "/devices/sas1/twin"},
		"a device of keys, none":     {dial(), "/devices/sas1/twin"},
		"a device that nobody knows": {dial(*cert), "/devices/nobody/twin"},
	} {
		_, err := try.c.session.NewSender(t.Context(), try.address, nil)
		wantCondition(t, desc, err, amqp.ErrCondUnauthorizedAccess)
		_, err = try.c.session.NewReceiver(t.Context(), try.address, nil)
		wantCondition(t, desc+", receiving", err, amqp.ErrCondUnauthorizedAccess)
	}
	_, err = dial(*cert).session.NewSender(t.Context(), "/devices/cert1/nothing", nil)
	wantCondition(t, "an unknown node", err, amqp.ErrCondNotFound)
	if s := h.Device("sas1").Stats(); s.Refused != 4 {
		t.Errorf("counted %+v, want 4 refusals", s)
	}
}

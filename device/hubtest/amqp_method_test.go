package hubtest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

func methodAddress(d Device) string {
	return strings.TrimPrefix(audience(d), d.Identity.Host) + "/methods/devicebound"
}

// amqpCallee are the links for methods of one device.
type amqpCallee struct {
	t   testing.TB
	out *amqp.Sender
	in  *amqp.Receiver
}

// methods attaches both links.
func (c *amqpClient) methods(d Device) amqpCallee {
	c.t.Helper()
	return amqpCallee{c.t, c.answers(methodAddress(d), "methods:1"), c.calls(methodAddress(d), "methods:1")}
}

// paired are the properties of links that belong together; none for "".
func paired(id string) map[string]any {
	if id == "" {
		return nil
	}
	return map[string]any{"com.microsoft:channel-correlation-id": id, "com.microsoft:api-version": "2021-04-12"}
}

// answers attaches the link for answers, after links that were ended are gone:
// go-amqp uses a handle again before it has confirmed the end.
func (c *amqpClient) answers(address, pair string) *amqp.Sender {
	c.t.Helper()
	synctest.Wait()
	return must[*amqp.Sender](c.t, "sender for methods")(c.session.NewSender(c.t.Context(), address, &amqp.SenderOptions{Properties: paired(pair)}))
}

// calls attaches the link for calls likewise. Its credit of one comes back only
// for what comes settled: nothing is accepted here.
func (c *amqpClient) calls(address, pair string) *amqp.Receiver {
	c.t.Helper()
	synctest.Wait()
	return must[*amqp.Receiver](c.t, "receiver for methods")(c.session.NewReceiver(c.t.Context(), address, &amqp.ReceiverOptions{Properties: paired(pair), Credit: 1}))
}

func (l amqpCallee) next() *amqp.Message {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	m, err := l.in.Receive(ctx, nil)
	if err != nil {
		l.t.Fatalf("receive a call: %v", err)
	}
	return m
}

func (l amqpCallee) hear() heardCall {
	l.t.Helper()
	m := l.next()
	id, ok := m.Properties.CorrelationID.(amqp.UUID)
	if !ok || id[6]>>4 != 4 || id[8]>>6 != 2 {
		l.t.Errorf("correlation-id: got %#v, want a UUID of version 4", m.Properties.CorrelationID)
	}
	if len(m.Data) != 1 || len(m.ApplicationProperties) != 1 || len(m.Annotations) != 0 {
		l.t.Errorf("got %d sections of data, properties %v, annotations %v; want 1, the name alone, none",
			len(m.Data), m.ApplicationProperties, m.Annotations)
	}
	method, _ := m.ApplicationProperties["IoThub-methodname"].(string)
	return heardCall{id.String(), method, string(m.GetData())}
}

// uuidOf reads the text of a correlation id.
func uuidOf(t testing.TB, text string) (id amqp.UUID) {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || copy(id[:], b) != len(id) {
		t.Fatalf("%q is no UUID: %v", text, err)
	}
	return id
}

// answerMessage is an answer as it has to be.
func answerMessage(id amqp.UUID, status int, body string) *amqp.Message {
	return &amqp.Message{
		Properties:            &amqp.MessageProperties{CorrelationID: id},
		ApplicationProperties: map[string]any{"IoThub-status": int32(status)},
		Data:                  [][]byte{[]byte(body)},
	}
}

func (l amqpCallee) answer(id string, status int, body string) error {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	return l.out.Send(ctx, answerMessage(uuidOf(l.t, id), status, body), nil)
}

func (l amqpCallee) silent(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(l.t.Context(), d)
	defer cancel()
	_, err := l.in.Receive(ctx, nil)
	return errors.Is(err, context.DeadlineExceeded)
}

// online brings the target's device online over AMQP.
func (x target) online() *amqpClient {
	c := openAMQP(x.s.t, x.h)
	c.admit(x.d, time.Now())
	return c
}

// An answer that wants to be settled is accepted.
func TestAMQPMethodSettlement(t *testing.T) { bubble(t, testAMQPMethodSettlement) }
func testAMQPMethodSettlement(t *testing.T) {
	for _, test := range []struct {
		desc   string
		link   amqp.SenderOptions
		send   amqp.SendOptions
		accept bool
	}{
		{"a link of both kinds, unsettled", amqp.SenderOptions{}, amqp.SendOptions{}, true},
		{"a link of both kinds, settled", amqp.SenderOptions{}, amqp.SendOptions{Settled: true}, false},
		{"a link of settled ones", amqp.SenderOptions{SettlementMode: amqp.SenderSettleModeSettled.Ptr()}, amqp.SendOptions{}, false},
		{"a link of unsettled ones", amqp.SenderOptions{SettlementMode: amqp.SenderSettleModeUnsettled.Ptr()}, amqp.SendOptions{}, true},
	} {
		x := newTarget(t, false)
		c := x.online()
		out := must[*amqp.Sender](t, test.desc)(c.session.NewSender(t.Context(), methodAddress(x.d), &test.link))
		l := amqpCallee{t, out, c.calls(methodAddress(x.d), "")}
		for i := range 3 {
			wait := x.call(``)
			m := answerMessage(uuidOf(t, l.hear().id), i, "")
			if test.accept {
				receipt := must[amqp.SendReceipt](t, test.desc)(out.SendWithReceipt(t.Context(), m, nil))
				state, err := receipt.Wait(t.Context())
				if _, ok := state.(*amqp.StateAccepted); !ok {
					t.Errorf("%s: got %T, %v; want it accepted", test.desc, state, err)
				}
			} else if err := out.Send(t.Context(), m, &test.send); err != nil {
				t.Errorf("%s: send: %v", test.desc, err)
			}
			if got, want := wait(), fmt.Sprintf(`{"status":%d,"payload":null}`, i); got != want {
				t.Errorf("%s: got %s, want %s", test.desc, got, want)
			}
		}
	}
}

// A device listens with both links of a pair, whatever else it has.
func TestAMQPMethodLinks(t *testing.T) { bubble(t, testAMQPMethodLinks) }
func testAMQPMethodLinks(t *testing.T) {
	const listens, deaf = "504101", "404103"
	x := newTarget(t, false)
	address := methodAddress(x.d)
	shut := func(link interface{ Close(context.Context) error }) {
		t.Helper()
		if err := link.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	for _, test := range []struct {
		desc   string
		attach func(c *amqpClient)
		want   string
	}{
		{"the link for calls alone", func(c *amqpClient) { c.calls(address, "m:1") }, deaf},
		{"the link for answers alone", func(c *amqpClient) { c.answers(address, "m:1") }, deaf},
		{"the twin's and telemetry's", func(c *amqpClient) {
			c.twin(x.d)
			shut(c.answers("/devices/dev1/messages/events", "m:1"))
			c.answers("/devices/dev1/messages/events", "m:1")
			c.calls("/devices/dev1/messages/devicebound", "m:1")
		}, deaf},
		{"one for calls, one of the twin", func(c *amqpClient) {
			c.calls(address, "m:1")
			c.answers(twinAddress(x.d), "m:1")
		}, deaf},
		{"both", func(c *amqpClient) { c.methods(x.d) }, listens},
		{"both, in C#'s spelling", func(c *amqpClient) {
			c.calls("/devices/dev1/methods/deviceBound", "m:1")
			c.answers("/devices/dev1/methods/deviceBound", "m:1")
		}, listens},
		{"both, with the hub's URL", func(c *amqpClient) {
			c.answers("amqps://"+x.h.Host()+address, "m:1")
			c.calls(address, "m:1")
		}, listens},
		{"both, with C's pairing", func(c *amqpClient) { c.calls(address, "dev1"); c.answers(address, "dev1") }, listens},
		{"both, without pairing", func(c *amqpClient) { c.calls(address, ""); c.answers(address, "") }, listens},
		{"both, after the twin's of that pairing", func(c *amqpClient) {
			c.twin(x.d)
			c.calls(address, "twin:1")
			c.answers(address, "twin:1")
		}, listens},
		{"two that are no pair", func(c *amqpClient) { c.calls(address, "m:1"); c.answers(address, "m:2") }, deaf},
		{"two that are no pair, and then one", func(c *amqpClient) {
			c.calls(address, "m:1")
			c.answers(address, "m:2")
			c.calls(address, "m:2")
		}, listens},
		{"a newer link for calls", func(c *amqpClient) { c.methods(x.d); c.calls(address, "methods:1") }, listens},
		{"without the one for calls again", func(c *amqpClient) { c.twin(x.d); shut(c.methods(x.d).in) }, deaf},
		{"without the one for answers again", func(c *amqpClient) { c.twin(x.d); shut(c.methods(x.d).out) }, deaf},
		{"without both again", func(c *amqpClient) { l := c.methods(x.d); shut(l.in); shut(l.out) }, deaf},
		{"anew", func(c *amqpClient) { c.twin(x.d); l := c.methods(x.d); shut(l.in); shut(l.out); c.methods(x.d) }, listens},
		{"of a session that ended", func(c *amqpClient) {
			c.methods(x.d)
			shut(c.session)
		}, deaf},
	} {
		c := x.online()
		test.attach(c)
		synctest.Wait()
		if got := x.call(`,"responseTimeoutInSeconds":1`)(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.desc, got, test.want)
		}
		_ = c.conn.Close()
		synctest.Wait()
		if got := x.call(``)(); got != deaf {
			t.Errorf("%s, and the connection closed: got %s, want %s", test.desc, got, deaf)
		}
	}
}

// A call goes by the newest link, and the one before it is ended.
func TestAMQPMethodNewerLink(t *testing.T) { bubble(t, testAMQPMethodNewerLink) }
func testAMQPMethodNewerLink(t *testing.T) {
	x := newTarget(t, false)
	c := x.online()
	l := c.methods(x.d)
	old := l.in
	l.in = c.calls(methodAddress(x.d), "methods:1")
	if _, err := old.Receive(t.Context(), nil); err == nil {
		t.Errorf("the older link stands")
	}
	wait := x.call(``)
	if err := l.answer(l.hear().id, 1, ""); err != nil {
		t.Errorf("answer: %v", err)
	}
	if got := wait(); got != `{"status":1,"payload":null}` {
		t.Errorf("by the newer link: got %s", got)
	}
}

// A call that is larger than the device's link takes cuts the line.
func TestAMQPMethodTooLarge(t *testing.T) { bubble(t, testAMQPMethodTooLarge) }
func testAMQPMethodTooLarge(t *testing.T) {
	x := newTarget(t, false)
	c := x.online()
	l := amqpCallee{t: t, out: c.answers(methodAddress(x.d), "")}
	l.in = must[*amqp.Receiver](t, "receiver")(c.session.NewReceiver(t.Context(), methodAddress(x.d), &amqp.ReceiverOptions{MaxMessageSize: 1 << 10, Credit: 1}))
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	wait := x.call(`,"payload":` + text(900))
	if err := l.answer(l.hear().id, 200, ""); err != nil {
		t.Errorf("answer: %v", err)
	}
	if got := wait(); got != `{"status":200,"payload":null}` {
		t.Errorf("a call that fits: got %s", got)
	}
	if got := x.call(`,"payload":` + text(1000))(); got != "404104" {
		t.Errorf("a call that does not: got %s, want 404104", got)
	}
	<-c.conn.Done()
}

// An answer that is malformed ends the line of whoever sent it, and no other.
func TestAMQPMethodMalformed(t *testing.T) { bubble(t, testAMQPMethodMalformed) }
func testAMQPMethodMalformed(t *testing.T) {
	for desc, spoil := range map[string]func(m *amqp.Message){
		"no properties":     func(m *amqp.Message) { m.Properties = nil },
		"no correlation-id": func(m *amqp.Message) { m.Properties.CorrelationID = nil },
		"the id as text":    func(m *amqp.Message) { m.Properties.CorrelationID = fmt.Sprint(m.Properties.CorrelationID) },
		"the id as bytes": func(m *amqp.Message) {
			id := m.Properties.CorrelationID.(amqp.UUID)
			m.Properties.CorrelationID = id[:]
		},
		"no status":             func(m *amqp.Message) { m.ApplicationProperties = nil },
		"the status misspelled": func(m *amqp.Message) { m.ApplicationProperties = map[string]any{"iothub-status": int32(200)} },
		"the status as text":    func(m *amqp.Message) { m.ApplicationProperties["IoThub-status"] = "200" },
		"the status as long":    func(m *amqp.Message) { m.ApplicationProperties["IoThub-status"] = int64(200) },
		"a null status":         func(m *amqp.Message) { m.ApplicationProperties["IoThub-status"] = nil },
		"a value as body":       func(m *amqp.Message) { m.Data, m.Value = nil, "{}" },
		"a list as body":        func(m *amqp.Message) { m.Data, m.Sequence = nil, [][]any{{1}} },
		"a body in two parts":   func(m *amqp.Message) { m.Data = [][]byte{[]byte("{"), []byte("}")} },
	} {
		for _, shared := range []bool{false, true} {
			x := newTarget(t, false)
			c := x.online()
			l := c.methods(x.d)
			var other twinLinks
			if shared {
				d := addDevice(t, x.h, "other")
				c.admit(d, time.Now())
				other = c.twin(d)
			}
			wait := x.call(``)
			m := answerMessage(uuidOf(t, l.hear().id), 200, "{}")
			spoil(m)
			_ = l.out.Send(t.Context(), m, nil) // accepted, or the line has ended
			if got := wait(); got != "404104" {
				t.Errorf("%s: got %s, want 404104", desc, got)
			}
			if _, err := l.in.Receive(t.Context(), nil); err == nil {
				t.Errorf("%s: the link stands", desc)
			}
			if shared {
				other.alive()
			} else {
				<-c.conn.Done()
			}
			x.online().methods(x.d) // the hub is well
		}
	}
}

// An answer to nothing is dropped; so is one from somebody else.
func TestAMQPMethodForeignAnswer(t *testing.T) { bubble(t, testAMQPMethodForeignAnswer) }
func testAMQPMethodForeignAnswer(t *testing.T) {
	x := newTarget(t, false)
	c := x.online()
	d := addDevice(t, x.h, "other")
	c.admit(d, time.Now())
	l, other := c.methods(x.d), c.methods(d)
	wait := x.call(``)
	id := l.hear().id
	for _, err := range []error{
		l.answer("01234567-89ab-4def-8123-456789abcdef", 1, ""), // nobody asked
		other.answer(id, 2, ""),
		l.answer(id, 3, ""),
		l.answer(id, 4, ""),
	} {
		if err != nil {
			t.Errorf("answer: %v", err)
		}
	}
	if got := wait(); got != `{"status":3,"payload":null}` {
		t.Errorf("got %s, want the status 3", got)
	}
}

// On a connection that devices share, each is called by its own links, and the
// end of one is its own.
func TestAMQPMethodSharedConnection(t *testing.T) { bubble(t, testAMQPMethodSharedConnection) }
func testAMQPMethodSharedConnection(t *testing.T) {
	for desc, end := range map[string]func(h *Hub) error{
		"cut":      func(h *Hub) error { return h.Device("dev1").Cut() },
		"down":     func(h *Hub) error { return h.Device("dev1").SetLine(false) },
		"disabled": func(h *Hub) error { return h.Device("dev1").SetEnabled(false) },
	} {
		x := newTarget(t, false)
		y := target{h: x.h, d: addDevice(t, x.h, "dev2"), s: x.s, path: "/twins/dev2/methods"}
		c := x.online()
		c.admit(y.d, time.Now())
		l, other := c.methods(x.d), c.methods(y.d)
		wait, waitOther := x.call(`,"payload":1`), y.call(`,"payload":2`)
		if a, b := l.hear().body, other.next(); a != "1" || string(b.GetData()) != "2" {
			t.Errorf("%s: heard %s and %s, want 1 and 2", desc, a, b.GetData())
		} else if err := end(x.h); err != nil {
			t.Fatalf("%s: %v", desc, err)
		} else if err := other.out.Send(t.Context(), answerMessage(b.Properties.CorrelationID.(amqp.UUID), 200, "3"), nil); err != nil {
			t.Errorf("%s: answer: %v", desc, err)
		}
		if got := wait(); got != "404104" {
			t.Errorf("%s: got %s, want 404104", desc, got)
		}
		if got := waitOther(); got != `{"status":200,"payload":3}` {
			t.Errorf("%s: the other got %s", desc, got)
		}
		if got := x.call(``)(); got != "404103" {
			t.Errorf("%s: the next call got %s, want 404103", desc, got)
		}
	}
}

// A token that ends takes the calls under way along.
func TestAMQPMethodTokenEnds(t *testing.T) { bubble(t, testAMQPMethodTokenEnds) }
func testAMQPMethodTokenEnds(t *testing.T) {
	x := newTarget(t, false)
	c := openAMQP(t, x.h)
	if status, text := c.putToken(audience(x.d), tokenOf(t, x.d, time.Now(), 10*time.Minute), "p"); status != 200 {
		t.Fatalf("put-token: %d %s", status, text)
	}
	l := c.methods(x.d)
	time.Sleep(5 * time.Minute)
	start := time.Now()
	wait := x.call(`,"responseTimeoutInSeconds":3600`)
	l.hear()
	if got := wait(); got != "404104" || time.Since(start).Round(time.Minute) != 5*time.Minute {
		t.Errorf("got %s after %v, want 404104 at the token's end", got, time.Since(start))
	}
	if status, _ := c.putToken(audience(x.d), tokenOf(t, x.d, time.Now(), time.Hour), "p"); status != 200 {
		t.Fatalf("put-token: %d", status)
	}
	if got := x.call(``)(); got != "404103" {
		t.Errorf("with a new token and no links: got %s, want 404103", got)
	}
	l = c.methods(x.d)
	wait = x.call(``)
	if err := l.answer(l.hear().id, 1, ""); err != nil {
		t.Errorf("answer: %v", err)
	}
	if got := wait(); got != `{"status":1,"payload":null}` {
		t.Errorf("with a new token: got %s", got)
	}
}

// FuzzAMQPMethodAnswer: what is understood has the id and the status of a call,
// and says the same when it is said again as it has to be.
func FuzzAMQPMethodAnswer(f *testing.F) {
	good := answerMessage(callUUID(7), -1, `{"a":[1]}`)
	bare := answerMessage(amqp.UUID{}, 200, "")
	bare.Data = nil
	text := answerMessage(callUUID(7), 200, "x")
	text.Properties.CorrelationID, text.ApplicationProperties["IoThub-status"] = "7", "200"
	for _, m := range []*amqp.Message{good, bare, text, {Value: "x"}} {
		f.Add(must[[]byte](f, "encode")(amqpwire.EncodeMessage(m)))
	}
	f.Add([]byte("no message"))
	// Node's: its properties in the wide form, the status as it writes it.
	f.Add([]byte("\x00\x53\x73\xd0\x00\x00\x00\x1a\x00\x00\x00\x06\x40\x40\x40\x40\x40\x98\x00\x00\x00\x00\x00\x00\x40\x00\x80\x00\x00\x00\x00\x00\x00\x01" +
		"\x00\x53\x74\xd1\x00\x00\x00\x18\x00\x00\x00\x02\xa1\x0dIoThub-status\x71\x00\x00\x00\xc8\x00\x53\x75\xa0\x02{}"))
	line := &amqpLine{id: "dev1"}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := line.methodAnswer(payload)
		if err != nil {
			return
		}
		m := answerMessage(uuidOf(t, got.msg.RequestID), got.msg.Status, string(got.msg.Body))
		again, err := line.methodAnswer(must[[]byte](t, "encode")(amqpwire.EncodeMessage(m)))
		if err != nil || fmt.Sprintf("%+v", again.msg) != fmt.Sprintf("%+v", got.msg) {
			t.Errorf("%x: got %+v, said again %+v, %v", payload, got.msg, again.msg, err)
		}
	})
}

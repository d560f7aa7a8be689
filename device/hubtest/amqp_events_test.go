package hubtest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// The two messages of a batch, encoded by hand.
const (
	batchOne = "005373c02408a1036d2d314040404040a3106170706c69636174696f6e2f6a736f6ea3057574662d38005374c10702a1016ba10176005375a0077b2274223a317d"
	batchTwo = "005372c11a02a30a64742d7375626a656374a10b746865726d6f7374617431005373c02408a1036d2d324040404040a3106170706c69636174696f6e2f6a736f6ea3057574662d38005375a0077b2274223a327d"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// events attaches a link for telemetry.
func (c *amqpClient) events(address string) *amqp.Sender {
	c.t.Helper()
	s, err := c.session.NewSender(c.t.Context(), address, nil)
	if err != nil {
		c.t.Fatalf("telemetry link: %v", err)
	}
	return s
}

// outcome sends a message and says what became of it: "accepted", a condition,
// "gone" or "silence".
func outcome(t testing.TB, s *amqp.Sender, m *amqp.Message) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := s.Send(ctx, m, nil)
	var refused *amqp.Error
	var link *amqp.LinkError
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &link):
		return "gone"
	case errors.As(err, &refused):
		return string(refused.Condition)
	case errors.Is(err, context.DeadlineExceeded):
		return "silence"
	}
	return "gone"
}

// eventsOf is a hub with a device, on a link for telemetry over AMQP.
func eventsOf(t testing.TB) (*Hub, Device, *amqp.Sender) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := openAMQP(t, h)
	c.admit(d, time.Now())
	return h, d, c.events("/devices/dev1/messages/events")
}

func data(id, body string) *amqp.Message {
	m := amqp.NewMessage([]byte(body))
	if id != "" {
		m.Properties = &amqp.MessageProperties{MessageID: id}
	}
	return m
}

func text16(s string) *string { return &s }

func TestTelemetryOverAMQP(t *testing.T) {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		desc string
		m    *amqp.Message
		want string
	}{
		{"nothing but a body", &amqp.Message{}, "map[] map[]"},
		{"properties", &amqp.Message{Properties: &amqp.MessageProperties{
			MessageID: "m-1", CorrelationID: "c", UserID: []byte("u"), To: text16("/x"), ContentType: text16("application/json"),
			ContentEncoding: text16("utf-8"), AbsoluteExpiryTime: &created,
		}}, "map[absolute-expiry-time:2026-01-01T00:00:00Z content-encoding:utf-8 content-type:application/json correlation-id:c message-id:m-1 to:/x user-id:u] map[]"},
		{"ids of other types", &amqp.Message{Properties: &amqp.MessageProperties{
			MessageID: amqp.UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, CorrelationID: uint64(7),
		}}, "map[correlation-id:7 message-id:01020304-0506-0708-090a-0b0c0d0e0f10] map[]"},
		{"application properties", &amqp.Message{ApplicationProperties: map[string]any{"k": "v", "n": int32(7), "yes": true, "none": nil}},
			"map[] map[k:v n:7 none: yes:true]"},
		{"system ones among them", &amqp.Message{ApplicationProperties: map[string]any{
			"iothub-outputname": "alert", "iothub-creation-time-utc": "2026-01-01T00:00:00Z", "iothub-message-schema": "s",
		}}, "map[iothub-creation-time-utc:2026-01-01T00:00:00Z iothub-message-schema:s iothub-outputname:alert] map[]"},
		{"annotations", &amqp.Message{Annotations: amqp.Annotations{"dt-subject": "thermostat1", "iothub-interface-id": "i", "x-opt": 1}},
			"map[dt-subject:thermostat1 iothub-interface-id:i] map[]"},
		{"two sections of data", &amqp.Message{Data: [][]byte{[]byte("h"), []byte("i")}}, "map[] map[]"},
	} {
		bubble(t, func(t *testing.T) {
			_, d, s := eventsOf(t)
			if tt.m.Data == nil {
				tt.m.Data = [][]byte{[]byte("hi")}
			}
			if got := outcome(t, s, tt.m); got != "accepted" {
				t.Fatalf("%s: %s", tt.desc, got)
			}
			all := kept(t, d)
			if len(all) != 1 || string(all[0].Body) != "hi" || told(all[0]) != tt.want {
				t.Errorf("%s: got %+v, want %s", tt.desc, all, tt.want)
			}
		})
	}
}

func TestTelemetryAddresses(t *testing.T) { bubble(t, testTelemetryAddresses) }
func testTelemetryAddresses(t *testing.T) {
	h := New(t, nil)
	c := openAMQP(t, h)
	// One connection carries them all.
	for _, tt := range []struct{ id, address string }{
		{"dev1", "/devices/dev1/messages/events"},
		{"dev1/mod1", "/devices/dev1/modules/mod1/messages/events"},
		{"a$c", "/devices/a%24c/messages/events"},
		{"dev2", "amqps://" + h.Host() + "/devices/dev2/messages/events"},
	} {
		d := addDevice(t, h, tt.id)
		c.admit(d, time.Now())
		session, err := c.conn.NewSession(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := session.NewSender(t.Context(), tt.address, nil)
		if err != nil {
			t.Fatalf("%s: %v", tt.address, err)
		}
		if got := s.MaxMessageSize(); got != 1<<20 {
			t.Errorf("%s: max-message-size is %d", tt.address, got)
		}
		if got := outcome(t, s, data("", tt.id)); got != "accepted" {
			t.Errorf("%s: %s", tt.address, got)
		}
		if got := bodies(kept(t, d)); got != tt.id || kept(t, d)[0].From != tt.id {
			t.Errorf("%s: kept %q", tt.address, got)
		}
	}
	addDevice(t, h, "dev9")
	if _, err := c.session.NewSender(t.Context(), "/devices/dev9/messages/events", nil); err == nil {
		t.Error("a link of a device without a token was accepted")
	}
}

func TestTelemetryBatch(t *testing.T) {
	one, two := unhex(t, batchOne), unhex(t, batchTwo)
	large := func(n int) []byte {
		b, err := data("", strings.Repeat("x", n)).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	value, err := (&amqp.Message{Value: "x"}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		desc   string
		format uint32
		inner  [][]byte
		want   string
		kept   int
	}{
		{"two messages", formatBatch, [][]byte{one, two}, "accepted", 2},
		{"one message", formatBatch, [][]byte{one}, "accepted", 1},
		{"just small enough", formatBatch, [][]byte{large(131_072), large(131_072)}, "accepted", 2},
		{"too large together", formatBatch, [][]byte{large(131_072), large(131_073)}, condTooLarge, 0},
		{"one too large", formatBatch, [][]byte{one, large(262_145)}, condTooLarge, 0},
		{"one malformed", formatBatch, [][]byte{one, []byte("x")}, condDecode, 0},
		{"one without data", formatBatch, [][]byte{one, value}, condArgument, 0},
		{"too many", formatBatch, make([][]byte, maxBatch+1), condArgument, 0},
		{"another format", 1, [][]byte{one}, condArgument, 0},
	} {
		bubble(t, func(t *testing.T) {
			_, d, s := eventsOf(t)
			if got := outcome(t, s, &amqp.Message{Format: tt.format, Data: tt.inner}); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.desc, got, tt.want)
			}
			all := kept(t, d)
			if len(all) != tt.kept {
				t.Fatalf("%s: kept %d", tt.desc, len(all))
			}
			if got := outcome(t, s, data("", "next")); got != "accepted" {
				t.Errorf("%s: the next one: %s", tt.desc, got)
			}
			if tt.desc != "two messages" {
				return
			}
			const first = "map[content-encoding:utf-8 content-type:application/json message-id:m-1] map[k:v]"
			const second = "map[content-encoding:utf-8 content-type:application/json dt-subject:thermostat1 message-id:m-2] map[]"
			if bodies(all) != `{"t":1} {"t":2}` || told(all[0]) != first || told(all[1]) != second {
				t.Errorf("got %+v", all)
			}
		})
	}
}

// TestBatchVector reads a whole transfer that was encoded by hand.
func TestBatchVector(t *testing.T) {
	all, err := transferred(formatBatch, unhex(t, "005375a041"+batchOne+"005375a054"+batchTwo))
	if err != nil || bodies(all) != `{"t":1} {"t":2}` {
		t.Errorf("got %v, %v", all, err)
	}
	if _, err := transferred(formatBatch, nil); err != errBatch {
		t.Errorf("an empty batch: %v", err)
	}
	if _, err := transferred(0, []byte("x")); !errors.Is(err, amqpwire.ErrMessage) {
		t.Errorf("no message: %v", err)
	}
}

func TestTelemetrySizeOverAMQP(t *testing.T) {
	for _, tt := range []struct {
		body int
		want string
	}{{262_110, "accepted"}, {262_118, "accepted"}, {262_119, condTooLarge}} {
		bubble(t, func(t *testing.T) {
			_, _, s := eventsOf(t)
			m := data("m-1", strings.Repeat("x", tt.body))
			m.Properties.ContentType, m.Properties.ContentEncoding = text16("application/json"), text16("utf-8")
			m.ApplicationProperties = map[string]any{"k": "v"}
			if got := outcome(t, s, m); got != tt.want {
				t.Errorf("%d bytes: got %s, want %s", tt.body, got, tt.want)
			}
		})
	}
}

// TestTelemetryBodies holds that a body is data, and that one which is not costs
// no link.
func TestTelemetryBodies(t *testing.T) { bubble(t, testTelemetryBodies) }
func testTelemetryBodies(t *testing.T) {
	_, d, s := eventsOf(t)
	for _, m := range []*amqp.Message{{Value: "x"}, {Sequence: [][]any{{1}}}} {
		if got := outcome(t, s, m); got != condArgument {
			t.Errorf("%+v: got %s", m, got)
		}
	}
	if got := outcome(t, s, data("", "x")); got != "accepted" || bodies(kept(t, d)) != "x" {
		t.Errorf("the next one: %s, kept %q", got, bodies(kept(t, d)))
	}
}

func TestTelemetryFaultsOverAMQP(t *testing.T) {
	in, out := FromDevice("dev1", Telemetry), FromHub("dev1", Ack)
	for _, tt := range []struct {
		desc  string
		match func(Message) bool
		do    Action
		want  string
		kept  string
	}{
		{"not stored, not settled", in, Drop(), "silence", ""},
		{"stored, not settled", out, Drop(), "silence", "x"},
		{"twice", in, Duplicate(), "accepted", "x x"},
		{"late", in, Delay(900 * time.Millisecond), "accepted", "x"},
		{"settled too late", out, Delay(time.Hour), "silence", "x"},
		{"rejected with a condition", in, Answer(400, "com.example:no"), "com.example:no", ""},
		{"rejected, though stored", out, Answer(400, "com.example:no"), "com.example:no", "x"},
		{"rejected for its argument", in, Answer(400, ""), condArgument, ""},
		{"throttled", in, Fail(429001), "com.microsoft:device-container-throttled", ""},
		{"quota", in, Fail(403002), condLimit, ""},
		{"too large", in, Fail(413001), condTooLarge, ""},
		{"unavailable", in, Fail(503001), "amqp:internal-error", ""},
		{"cut before it is stored", in, Cut(), "gone", ""},
		{"cut after it is stored", in, CutAfter(), "gone", "x"},
		{"half-open", in, Freeze(), "silence", ""},
		{"another id", func(m Message) bool { return in(m) && m.RequestID == "m-2" }, Drop(), "accepted", "x"},
		{"its id", func(m Message) bool { return in(m) && m.RequestID == "m-1" && string(m.Body) == "x" }, Drop(), "silence", ""},
		{"an edited body", in, Edit("a", "2"), "accepted", `{"a":2}`},
	} {
		bubble(t, func(t *testing.T) {
			h, d, s := eventsOf(t)
			h.Intercept(tt.match, tt.do)
			body := "x"
			if strings.HasPrefix(tt.kept, "{") {
				body = `{"a":1}`
			}
			if got := outcome(t, s, data("m-1", body)); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.desc, got, tt.want)
			}
			if got := bodies(kept(t, d)); got != tt.kept {
				t.Errorf("%s: kept %q, want %q", tt.desc, got, tt.kept)
			}
		})
	}
}

// TestOtherOutcomes holds the outcomes that are no rejection. go-amqp takes them
// for a success, so the hub's own words are looked at.
func TestOtherOutcomes(t *testing.T) {
	l := &amqpLine{amqpConn: &amqpConn{conn: &conn{hub: New(t, nil)}}}
	for body, want := range map[string]string{"released": "38", "modified": "39", "x:y": "37 x:y"} {
		o := l.outcomeOf(Answer(503, body))
		got := fmt.Sprint(byte(o.State))
		if o.Error != nil {
			got += " " + o.Error.Condition
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

// FuzzTransferred holds that no transfer makes the hub panic, or keep more than
// its limits.
func FuzzTransferred(f *testing.F) {
	whole := unhex(f, "005375a041"+batchOne+"005375a054"+batchTwo)
	f.Add(uint32(formatBatch), whole)
	f.Add(uint32(formatBatch), whole[:100])
	f.Add(uint32(0), unhex(f, batchOne))
	f.Add(uint32(0), unhex(f, batchTwo))
	f.Add(uint32(1), unhex(f, batchTwo))
	f.Add(uint32(formatBatch), unhex(f, "005375a000"))
	f.Fuzz(func(t *testing.T, format uint32, payload []byte) {
		all, err := transferred(format, payload)
		if err != nil {
			return
		}
		size := 0
		for _, m := range all {
			size += len(m.Body)
		}
		if len(all) == 0 || len(all) > maxBatch || size > maxEvent {
			t.Errorf("%d messages of %d bytes", len(all), size)
		}
	})
}

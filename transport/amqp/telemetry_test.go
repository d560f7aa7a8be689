package amqp_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// event is a frame of telemetry, whose body is its ID unless it is given.
func event(id string, body ...string) transport.Frame {
	b := id + strings.Join(body, "")
	return transport.Frame{Kind: transport.Telemetry, ID: id, Message: &transport.Message{Body: []byte(b)}}
}

// tell sends telemetry.
func tell(t *testing.T, c transport.Conn, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := c.Send(t.Context(), event(id)); err != nil {
			t.Fatalf("Send %s: %v", id, err)
		}
	}
}

// hear receives n frames: an ID for Accepted, and more for what is none.
func hear(t *testing.T, c transport.Conn, n int) string {
	t.Helper()
	var all []string
	for range n {
		f, err := receiveIn(t, c, time.Minute)
		switch {
		case err != nil:
			t.Fatalf("after %v: %v", all, err)
		case f.Kind == transport.Accepted:
			all = append(all, f.ID)
		case f.Kind == transport.Ready:
			all = append(all, "ready:"+string(f.Feature))
		default:
			all = append(all, fmt.Sprintf("%s:%d", f.ID, f.Status))
		}
	}
	return strings.Join(all, " ")
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q; want %q", what, got, want)
	}
}

// meetEvents dials at a hub that takes telemetry.
func meetEvents(t *testing.T, pooled bool) (*eventHub, transport.Conn) {
	t.Helper()
	hub, stream := newEventHub(t)
	login := anyLogin(t)
	login.ModelID = "dtmi:com:example:Fan;1"
	c, err := dialOver(t, stream, pooled).Dial(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); <-hub.done })
	return hub, c
}

// both runs a test for a device that has its line alone, and for one in a pool.
func both(t *testing.T, f func(t *testing.T, pooled bool)) {
	t.Run("alone", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, false) }) })
	t.Run("pooled", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, true) }) })
}

// The link is there from the first message on. What comes while a transfer is
// under way leaves in the next one, in order.
func TestTelemetry(t *testing.T) { both(t, testTelemetry) }
func testTelemetry(t *testing.T, pooled bool) {
	hub, c := meetEvents(t, pooled)
	getTwin(t, c)
	hub.call(func() {
		if len(hub.attached) != 0 {
			t.Error("there is a link before the first message")
		}
		hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return nil }
	})
	tell(t, c, "a")
	synctest.Wait()
	tell(t, c, "b", "c", "d")
	synctest.Wait()
	getTwin(t, c)
	hub.call(func() {
		hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return &amqpwire.Outcome{State: amqpwire.Accepted} }
		hub.got[0].Link.Settle(hub.got[0].ID, amqpwire.Outcome{State: amqpwire.Accepted})
	})
	wantText(t, "answers", hear(t, c, 4), "a b c d")
	wantText(t, "transfers", hub.messages(), "[a][b c d]")
	hub.call(func() {
		if n := len(hub.attached); n != 1 {
			t.Fatalf("%d links; want one", n)
		}
		a := hub.attached[0]
		wantText(t, "target", a.Target, "/devices/dev1/messages/events")
		p := a.Properties
		if p["com.microsoft:model-id"] != "dtmi:com:example:Fan;1" || p["com.microsoft:api-version"] == "" || p["com.microsoft:client-version"] == "" || len(p) != 3 {
			t.Errorf("link properties %v", p)
		}
		if a.SenderSettles != 0 || hub.got[0].Settled || hub.got[0].Format != 0 || hub.got[1].Format != 0x80013700 {
			t.Errorf("settle mode %d, first %+v", a.SenderSettles, hub.got[0])
		}
	})
}

// vector is the payload of a batch of the two messages of vectorMessages, encoded
// by hand.
const vector = "005375a041" +
	"005373c02408a1036d2d314040404040a3106170706c69636174696f6e2f6a736f6ea3057574662d38005374c10702a1016ba10176005375a0077b2274223a317d" +
	"005375a054" +
	"005372c11a02a30a64742d7375626a656374a10b746865726d6f7374617431005373c02408a1036d2d324040404040a3106170706c69636174696f6e2f6a736f6ea3057574662d38005375a0077b2274223a327d"

func vectorMessages() (one, two transport.Message) {
	one = transport.Message{Body: []byte(`{"t":1}`), ID: "m-1", ContentType: "application/json", ContentEncoding: "utf-8", Properties: map[string]string{"k": "v"}}
	two = transport.Message{Body: []byte(`{"t":2}`), ID: "m-2", ContentType: "application/json", ContentEncoding: "utf-8", Component: "thermostat1"}
	return one, two
}

func TestTelemetryBatchVector(t *testing.T) { bubble(t, testTelemetryBatchVector) }
func testTelemetryBatchVector(t *testing.T) {
	hub, c := meetEvents(t, false)
	hub.call(func() { hub.hold = true })
	one, two := vectorMessages()
	for i, m := range []*transport.Message{&one, &two} {
		if err := c.Send(t.Context(), transport.Frame{Kind: transport.Telemetry, ID: fmt.Sprint(i), Message: m}); err != nil {
			t.Fatal(err)
		}
	}
	copy(one.Body, "changed") // Send keeps copies
	one.Properties["k"] = "w"
	hub.call(func() { hub.hold = false })
	wantText(t, "answers", hear(t, c, 2), "0 1")
	hub.call(func() { wantText(t, "payload", hex.EncodeToString(hub.got[0].Payload), vector) })
}

// Every part of a message has its place, and one of them another name in a batch.
func TestTelemetryMapping(t *testing.T) { bubble(t, testTelemetryMapping) }
func testTelemetryMapping(t *testing.T) {
	hub, c := meetEvents(t, false)
	m := &transport.Message{
		ID: "m", CorrelationID: "c", Output: "o", Created: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC),
		Properties: map[string]string{"k": "v"},
	}
	send := func(ids ...string) {
		for _, id := range ids {
			if err := c.Send(t.Context(), transport.Frame{Kind: transport.Telemetry, ID: id, Message: m}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send("1")
	hear(t, c, 1)
	hub.call(func() { hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return nil } })
	send("2")
	synctest.Wait()
	send("3", "4")
	hub.call(func() {
		hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return &amqpwire.Outcome{State: amqpwire.Accepted} }
		hub.got[1].Link.Settle(hub.got[1].ID, amqpwire.Outcome{State: amqpwire.Accepted})
	})
	hear(t, c, 3)
	hub.call(func() {
		single, err := amqpwire.DecodeMessage(hub.got[0].Payload)
		if err != nil {
			t.Fatal(err)
		}
		outer, err := amqpwire.DecodeMessage(hub.got[2].Payload)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := amqpwire.DecodeMessage(outer.Data[1])
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "alone", fmt.Sprint(single.ApplicationProperties), "map[iothub-creation-time-utc:2026-01-02T03:04:05.006Z iothub-outputname:o k:v]")
		wantText(t, "in a batch", fmt.Sprint(inner.ApplicationProperties), "map[iothub-app-iothub-creation-time-utc:2026-01-02T03:04:05.006Z iothub-outputname:o k:v]")
		wantText(t, "ids", fmt.Sprintf("%v %v", inner.Properties.MessageID, inner.Properties.CorrelationID), "m c")
		if len(single.Data) != 1 || len(single.Data[0]) != 0 {
			t.Errorf("a message without body has data %q", single.Data)
		}
	})
}

// Without credit 16 messages wait, for as long as it takes. They hold up no
// request, and Ready follows ErrBusy once.
func TestTelemetryWithoutCredit(t *testing.T) { both(t, testTelemetryWithoutCredit) }
func testTelemetryWithoutCredit(t *testing.T, pooled bool) {
	hub, c := meetEvents(t, pooled)
	getTwin(t, c) // what holds credit back does so for every link that comes after
	hub.call(func() { hub.hold = true })
	var want []string
	var err error
	for i := 0; err == nil && i < 100; i++ {
		if err = c.Send(t.Context(), event(fmt.Sprint(i))); err == nil {
			want = append(want, fmt.Sprint(i))
		}
		synctest.Wait()
	}
	wantError(t, "Send", err, transport.ErrBusy)
	if len(want) != 16 {
		t.Errorf("%d messages were taken; want 16", len(want))
	}
	for range 10 {
		time.Sleep(time.Minute)
		getTwin(t, c)
		if err := c.(transport.Renewer).Renew(t.Context(), anyLogin(t).Token); err != nil {
			t.Errorf("Renew: %v", err)
		}
	}
	wantError(t, "Send, later", c.Send(t.Context(), event("late")), transport.ErrBusy)
	hub.call(func() { hub.hold = false })
	wantText(t, "Receive", hear(t, c, 17), "ready:events "+strings.Join(want, " "))
	wantText(t, "transfers", hub.messages(), "["+strings.Join(want, " ")+"]")
}

// Answers that nobody receives bound what Send takes.
func TestTelemetryAnswersAreBounded(t *testing.T) { bubble(t, testTelemetryAnswersAreBounded) }
func testTelemetryAnswersAreBounded(t *testing.T) {
	_, c := meetEvents(t, false)
	n := 0
	for ; n < 1000; n++ {
		if err := c.Send(t.Context(), event(fmt.Sprint(n))); err != nil {
			wantError(t, "Send", err, transport.ErrBusy)
			break
		}
		synctest.Wait()
	}
	if n != 64 {
		t.Errorf("%d messages were taken; want 64", n)
	}
	if err := c.Send(t.Context(), get("g")); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	wantText(t, "first", hear(t, c, 2), "g:200 0") // the twin's go first
	if all := hear(t, c, 64); !strings.HasSuffix(all, " 63 ready:events") {
		t.Errorf("then %q; want the others, and ready", all)
	}
}

// A batch that is rejected for good is sent again one by one, before what came
// later.
func TestTelemetryRejectedBatch(t *testing.T) { both(t, testTelemetryRejectedBatch) }
func testTelemetryRejectedBatch(t *testing.T, pooled bool) {
	hub, c := meetEvents(t, pooled)
	hub.call(func() {
		hub.hold = true
		hub.judge = func(d *amqpwire.Delivery) *amqpwire.Outcome {
			if strings.Contains(strings.Join(bodies(t, d), ""), "b") {
				return &amqpwire.Outcome{State: amqpwire.Rejected, Error: &amqpwire.Error{Condition: "com.microsoft:argument-error", Description: "bad"}}
			}
			return &amqpwire.Outcome{State: amqpwire.Accepted}
		}
	})
	tell(t, c, "a", "b", "c")
	synctest.Wait()
	hub.call(func() { hub.hold = false })
	wantText(t, "answers", hear(t, c, 3), "a b:400 c")
	wantText(t, "transfers", hub.messages(), "[a b c][a][b][c]")
	tell(t, c, "d")
	wantText(t, "the next", hear(t, c, 1), "d")
}

// What the hub says of the moment holds for all that waits: nothing overtakes.
func TestTelemetryPutOff(t *testing.T) { bubble(t, testTelemetryPutOff) }
func testTelemetryPutOff(t *testing.T) {
	for _, state := range []amqpwire.State{amqpwire.Released, amqpwire.Modified} {
		hub, c := meetEvents(t, false)
		hub.call(func() {
			hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return nil }
		})
		tell(t, c, "a")
		synctest.Wait()
		tell(t, c, "b", "c")
		hub.call(func() { hub.got[0].Link.Settle(hub.got[0].ID, amqpwire.Outcome{State: state}) })
		wantText(t, "answers", hear(t, c, 3), "a:503 b:503 c:503")
		wantText(t, "transfers", hub.messages(), "[a]")
	}
}

// outcomes are what hubs say, and what they mean.
func outcomes() []struct {
	condition, description string
	status                 int
	want                   error
} {
	return []struct {
		condition, description string
		status                 int
		want                   error
	}{
		{"amqp:link:message-size-exceeded", "", 413, transport.ErrRejected},
		{"com.microsoft:argument-error", "", 400, transport.ErrRejected},
		{"amqp:decode-error", "", 400, transport.ErrRejected},
		{"amqp:not-allowed", "", 400, transport.ErrRejected},
		{"com.microsoft:device-container-throttled", "", 429, transport.ErrThrottled},
		{"amqp:resource-limit-exceeded", "", 429, transport.ErrThrottled},
		{"com.microsoft:timeout", "", 503, transport.ErrUnavailable},
		{"com.microsoft:server-busy", "", 503, transport.ErrUnavailable},
		{"amqp:internal-error", `{"errorCode":500001}`, 500, transport.ErrUnavailable},
		{"com.microsoft:quota-exceeded", "", 403, transport.ErrQuota},
		{"amqp:resource-limit-exceeded", `{"errorCode":403002,"message":"used up"}`, 403, transport.ErrQuota},
		{"amqp:unauthorized-access", "", 401, transport.ErrUnauthorized},
		{"amqp:not-found", "", 404, transport.ErrNotFound},
		{"x:y", "", 503, transport.ErrUnavailable},
		{"", "", 400, transport.ErrRejected}, // rejected without a reason
	}
}

func TestTelemetryOutcomes(t *testing.T) { bubble(t, testTelemetryOutcomes) }
func testTelemetryOutcomes(t *testing.T) {
	hub, c := meetEvents(t, false)
	for _, o := range outcomes() {
		hub.call(func() {
			hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome {
				if o.condition == "" {
					return &amqpwire.Outcome{State: amqpwire.Rejected}
				}
				return &amqpwire.Outcome{State: amqpwire.Rejected, Error: &amqpwire.Error{Condition: o.condition, Description: o.description}}
			}
		})
		tell(t, c, "a")
		f, err := receiveIn(t, c, time.Minute)
		if err != nil || f.Kind != transport.Response || f.ID != "a" || f.Status != o.status {
			t.Errorf("%s %s: got %+v, %v; want status %d", o.condition, o.description, f, err, o.status)
			continue
		}
		if e := transport.NewStatusError(f.Status, f.Body); !errors.Is(e, o.want) || e.Message == "" && o.description == "" {
			t.Errorf("%s %s: %v is not %v, or has no words", o.condition, o.description, e, o.want)
		}
	}
}

// A message is the same in a batch and alone, and never larger than it is taken for.
func TestTelemetryEncoding(t *testing.T) {
	long, pairs := strings.Repeat("x", 300), map[string]string{}
	for i := range 200 {
		pairs[fmt.Sprintf("name-%d", i)] = strings.Repeat("v", i*2)
	}
	one, two := vectorMessages()
	for _, m := range []*transport.Message{
		{}, &one, &two,
		{Body: []byte(long), ID: long, CorrelationID: "c", ContentType: long, Component: long, Output: long},
		{CorrelationID: "c"}, {ContentEncoding: "utf-8"}, {Output: "o", Properties: pairs},
		{Created: time.Unix(1, 0), Component: "c", Properties: map[string]string{"iothub-creation-time-utc": "mine", "": ""}},
	} {
		b, size := amqp.BatchForm(m)
		got, err := amqpwire.DecodeMessage(b)
		if err != nil {
			t.Errorf("%+v: %v", m, err)
			continue
		}
		const in, alone = "iothub-app-iothub-creation-time-utc", "iothub-creation-time-utc"
		if v, ok := got.ApplicationProperties[in]; ok {
			delete(got.ApplicationProperties, in)
			got.ApplicationProperties[alone] = v
		}
		single, err := amqp.Single(m).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		want, err := amqpwire.DecodeMessage(single)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("in a batch %+v; want %+v", got, want)
		}
		if n := max(len(b)+5+3, len(single)); n > size {
			t.Errorf("%+v: %d bytes, taken for %d", m, n, size)
		}
	}
}

package hubtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kept are the messages that a hub keeps of a device.
func kept(t testing.TB, d Device) []TelemetryMessage {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var all []TelemetryMessage
	for m, err := range d.Messages(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Messages: %v", err)
			}
			break
		}
		all = append(all, m)
	}
	return all
}

// bodies are the bodies of messages, in one line.
func bodies(all []TelemetryMessage) string {
	var texts []string
	for _, m := range all {
		texts = append(texts, string(m.Body))
	}
	return strings.Join(texts, " ")
}

// told is a message without what the hub stamps, as text.
func told(m TelemetryMessage) string {
	system := maps.Clone(m.System)
	maps.DeleteFunc(system, func(name, _ string) bool { return strings.HasPrefix(name, "iothub-connection-") })
	delete(system, sysEnqueued)
	return fmt.Sprintf("%v %v", system, m.Properties)
}

func TestTelemetryOverMQTT(t *testing.T) {
	for _, tt := range []struct{ desc, topic, want string }{
		{"nothing", "/", "map[] map[]"},
		{"no slash", "", "map[] map[]"},
		{"system and application", "/%24.mid=m-1&%24.ct=application%2Fjson%3Bcharset%3Dutf-8&%24.ce=utf-8&alert=true",
			"map[content-encoding:utf-8 content-type:application/json;charset=utf-8 message-id:m-1] map[alert:true]"},
		{"signs", "/a~b-c_d.e=%21%2A%27%28%29&emoji=%F0%9F%98%80&=empty%20key&eq=a%3Db%26c&pct=100%25&sp=%20",
			"map[] map[:empty key a~b-c_d.e:!*'() emoji:😀 eq:a=b&c pct:100% sp: ]"},
		{"a component", "/%24.sub=thermostat1&%24.ct=application%2Fjson&%24.ce=utf-8",
			"map[content-encoding:utf-8 content-type:application/json dt-subject:thermostat1] map[]"},
		{"an output", "/%24.on=alert", "map[iothub-outputname:alert] map[]"},
		{"created", "/iothub-creation-time-utc=2026-01-01T00%3A00%3A00Z", "map[iothub-creation-time-utc:2026-01-01T00:00:00Z] map[]"},
		{"created, by its short name", "/$.ctime=2026-01-01T00%3A00%3A00Z", "map[iothub-creation-time-utc:2026-01-01T00:00:00Z] map[]"},
		{"created with an offset", "/iothub-creation-time-utc=2026-01-01T00%3A00%3A00-07:00", "map[] map[iothub-creation-time-utc:2026-01-01T00:00:00-07:00]"},
		{"raw keys, slash at the end", "/$.mid=1&$.cid=c&$.uid=u&$.to=/x/", "map[correlation-id:c message-id:1 to:/x user-id:u] map[]"},
		{"rare keys", "/$.exp=e&$.ifid=i&$.schema=s&$.diagid=d&$.diagctx=c",
			"map[Correlation-Context:c Diagnostic-Id:d absolute-expiry-time:e iothub-interface-id:i iothub-message-schema:s] map[]"},
		{"the last one counts", "/$.mid=1&a=1&%24.mid=2&a=2", "map[message-id:2] map[a:2]"},
		{"a question mark", "/?food=pizza", "map[] map[food:pizza]"},
		{"no value", "/a&b=", "map[] map[a: b:]"},
		{"what the hub stamps", "/$.cdid=dev9&$.cmid=mod9", "map[] map[]"},
		{"unknown system property", "/$.new=1", "map[$.new:1] map[]"},
	} {
		bubble(t, func(t *testing.T) {
			h := New(t, nil)
			d := addDevice(t, h, "dev1")
			addDevice(t, h, "dev1/mod1")
			c := login(t, h, d)
			c.play("> PUBLISH Q1 5 devices/dev1/messages/events" + strings.ReplaceAll(tt.topic, " ", "%20") + " hi\n< PUBACK 5")
			all := kept(t, d)
			if len(all) != 1 || string(all[0].Body) != "hi" || told(all[0]) != tt.want {
				t.Errorf("%s: got %+v, want %s", tt.desc, all, tt.want)
			}
			if m := h.Device("dev1/mod1"); len(kept(t, m)) != 0 {
				t.Errorf("%s: the module has it, too", tt.desc)
			}
		})
	}
}

func TestTelemetryThatEndsTheConnection(t *testing.T) {
	for _, tt := range []struct{ desc, line string }{
		{"malformed bag", "PUBLISH Q1 5 devices/dev1/messages/events/a=%zz x"},
		{"not UTF-8", "PUBLISH Q1 5 devices/dev1/messages/events/a=%ff x"},
		{"QoS 2", "PUBLISH Q2 5 devices/dev1/messages/events/ x"},
		{"another's", "PUBLISH Q1 5 devices/dev2/messages/events/ x"},
		{"its module's", "PUBLISH Q1 5 devices/dev1/modules/mod1/messages/events/ x"},
		{"too large", "PUBLISH Q1 5 devices/dev1/messages/events/ " + strings.Repeat("x", 262_145)},
	} {
		bubble(t, func(t *testing.T) {
			h := New(t, nil)
			d := addDevice(t, h, "dev1")
			addDevice(t, h, "dev1/mod1")
			login(t, h, d).play("> PUBLISH Q1 4 devices/dev1/messages/events/ first\n< PUBACK 4\n> " + tt.line + "\n< close")
			if got := bodies(kept(t, d)); got != "first" {
				t.Errorf("%s: kept %q", tt.desc, got)
			}
		})
	}
}

// sizeBag has 26 bytes of properties, as the hub counts.
const sizeBag = "%24.mid=m-1&%24.ct=application%2Fjson&%24.ce=utf-8&k=v"

func TestTelemetrySizeOverMQTT(t *testing.T) {
	for _, tt := range []struct {
		body int
		want string
	}{{262_110, "PUBACK 5"}, {262_118, "PUBACK 5"}, {262_119, "close"}} {
		bubble(t, func(t *testing.T) {
			h := New(t, nil)
			c := login(t, h, addDevice(t, h, "dev1"))
			c.play("> PUBLISH Q1 5 devices/dev1/messages/events/" + sizeBag + " " + strings.Repeat("x", tt.body) + "\n< " + tt.want)
		})
	}
}

// TestTelemetryStamps holds what the hub adds to a message.
func TestTelemetryStamps(t *testing.T) { bubble(t, testTelemetryStamps) }
func testTelemetryStamps(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	d := addDevice(t, h, "dev1/mod1")
	p := hello(t, h, d)
	p.user += "&model-id=dtmi%3Acom%3Aexample%3AThing%3B1"
	c := open(t, h)
	c.send(p.bytes())
	c.play("< CONNACK sp=0 rc=0\n> PUBLISH Q1 5 devices/dev1/modules/mod1/messages/events/$.mid=m-1 hi\n< PUBACK 5")
	// RETAIN is a flag of the packet.
	c.send(frame(0x31, text("devices/dev1/modules/mod1/messages/events/"), []byte("kept")))
	c.play(ping)
	all := kept(t, d)
	if len(all) != 2 {
		t.Fatalf("got %+v", all)
	}
	m := all[0]
	if m.From != "dev1/mod1" || m.ID != "m-1" || m.Sequence != 1 || !m.Enqueued.Equal(time.Now()) {
		t.Errorf("got %+v", m)
	}
	for name, want := range map[string]string{
		"iothub-enqueuedtime":           time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"iothub-connection-device-id":   "dev1",
		"iothub-connection-module-id":   "mod1",
		"iothub-connection-auth-method": `{"scope":"module","type":"sas","issuer":"iothub"}`,
		"dt-dataschema":                 "dtmi:com:example:Thing;1",
		"message-id":                    "m-1",
	} {
		if m.System[name] != want {
			t.Errorf("%s: got %q, want %q", name, m.System[name], want)
		}
	}
	if m.System["iothub-connection-auth-generation-id"] == "" {
		t.Error("there is no generation id")
	}
	if all[1].Properties["mqtt-retain"] != "true" || m.Properties != nil {
		t.Errorf("RETAIN: got %v, without it %v", all[1].Properties, m.Properties)
	}
}

func TestWill(t *testing.T) {
	for _, tt := range []struct{ desc, topic, end, want string }{
		{"the line ends", "devices/dev1/messages/events/k=v", "", "map[] map[iothub-MessageType:Will k:v]"},
		{"a goodbye", "devices/dev1/messages/events/k=v", "> DISCONNECT\n< close", ""},
		{"a fault ends the line", "devices/dev1/messages/events/k=v", "> PUBLISH Q0 x y\n< close", "map[] map[iothub-MessageType:Will k:v]"},
		{"another's topic", "devices/dev2/messages/events/", "", ""},
	} {
		bubble(t, func(t *testing.T) {
			h := New(t, nil)
			d := addDevice(t, h, "dev1")
			p := hello(t, h, d)
			p.will = tt.topic
			c := open(t, h)
			c.send(p.bytes())
			c.play("< CONNACK sp=0 rc=0\n" + tt.end)
			_ = c.conn.Close()
			synctest.Wait()
			got := ""
			for _, m := range kept(t, d) {
				got += told(m)
			}
			if got != tt.want {
				t.Errorf("%s: got %q, want %q", tt.desc, got, tt.want)
			}
		})
	}
}

func TestTelemetryFaultsOverMQTT(t *testing.T) {
	const send, ack = "\n> PUBLISH Q1 9 devices/dev1/messages/events/$.mid=m-1 x\n", "\n< PUBACK 9\n"
	const next, nextAck = "\n> PUBLISH Q1 8 devices/dev1/messages/events/$.mid=m-2 y\n", "\n< PUBACK 8\n"
	in, out := FromDevice("dev1", Telemetry), FromHub("dev1", Ack)
	of := func(match func(Message) bool) func(Message) bool {
		return func(m Message) bool { return match(m) && m.RequestID == "m-1" }
	}
	for _, tt := range []struct {
		desc   string
		match  func(Message) bool
		do     Action
		script string
		want   string
	}{
		{"not stored, no PUBACK", in, Drop(), send + "< silence" + send + ack, "x"},
		{"stored, no PUBACK", out, Drop(), send + "< silence" + send + ack, "x x"},
		{"twice", in, Duplicate(), send + ack + ping, "x x"},
		{"a late PUBACK", out, Delay(1500 * time.Millisecond), send + "< silence" + ack, "x"},
		{"overtaken", of(in), Delay(1500 * time.Millisecond), send + next + nextAck + "< silence" + ack, "y x"},
		{"refused", of(in), Answer(400, ""), next + nextAck + send + "< close", "y"},
		{"cut before it is stored", of(in), Cut(), next + nextAck + send + "< close", "y"},
		{"cut after it is stored", of(in), CutAfter(), next + nextAck + send + "< close", "y x"},
		{"only one PUBACK is lost", of(out), Drop(), next + nextAck + send + "< silence", "y x"},
		{"half-open", of(in), Freeze(), send + "< silence" + next + "< silence", ""},
	} {
		bubble(t, func(t *testing.T) {
			h := New(t, nil)
			d := addDevice(t, h, "dev1")
			c := login(t, h, d)
			h.Intercept(tt.match, tt.do)
			c.play(tt.script)
			if got := bodies(kept(t, d)); got != tt.want {
				t.Errorf("%s: kept %q, want %q", tt.desc, got, tt.want)
			}
		})
	}
}

// TestLateTelemetry holds that a late message is stored after its connection has
// ended.
func TestLateTelemetry(t *testing.T) { bubble(t, testLateTelemetry) }
func testLateTelemetry(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	h.Intercept(FromDevice("dev1", Telemetry), Late(time.Minute))
	c.play("> PUBLISH Q1 9 devices/dev1/messages/events/ x\n> DISCONNECT\n< close")
	if got := kept(t, d); len(got) != 0 {
		t.Errorf("at once: %+v", got)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if got := bodies(kept(t, d)); got != "x" {
		t.Errorf("after a minute: kept %q", got)
	}
}

// TestRepeats counts duplicates by their id, and delivers them.
func TestRepeats(t *testing.T) { bubble(t, testRepeats) }
func testRepeats(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	for _, id := range []string{"a", "b", "a", "a", "", ""} {
		c.play("> PUBLISH Q1 9 devices/dev1/messages/events/$.mid=" + id + " x\n< PUBACK 9")
	}
	var got []int
	for _, m := range kept(t, d) {
		got = append(got, m.Repeat)
	}
	if fmt.Sprint(got) != "[0 0 1 2 0 0]" || d.Stats().Repeats != 2 || d.Stats().Telemetry != 6 {
		t.Errorf("got %v, %+v", got, d.Stats())
	}
}

// TestMessagesWaits holds the ways in which reading begins, waits and ends.
func TestMessagesWaits(t *testing.T) { bubble(t, testMessagesWaits) }
func testMessagesWaits(t *testing.T) {
	h, err := Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	d, gone := addDevice(t, h, "dev1"), addDevice(t, h, "dev2")
	c := login(t, h, d)
	read := func(ctx context.Context, d Device, n int) chan string {
		out := make(chan string, 1)
		go func() {
			var all []TelemetryMessage
			for m, err := range d.Messages(ctx) {
				if err != nil {
					out <- fmt.Sprintf("%s: %v", bodies(all), err)
					return
				}
				if all = append(all, m); len(all) == n {
					break
				}
			}
			out <- bodies(all)
		}()
		return out
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	two, timed, removed, closed := read(t.Context(), d, 2), read(ctx, d, -1), read(t.Context(), gone, -1), read(t.Context(), d, -1)
	synctest.Wait()
	c.play("> PUBLISH Q1 9 devices/dev1/messages/events/ 1\n< PUBACK 9\n> PUBLISH Q1 9 devices/dev1/messages/events/ 2\n< PUBACK 9")
	if got := <-two; got != "1 2" {
		t.Errorf("the first two: got %q", got)
	}
	if got := <-timed; got != "1 2: context deadline exceeded" {
		t.Errorf("a minute: got %q", got)
	}
	if err := gone.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := <-removed; !strings.HasSuffix(got, "dev2 was removed") {
		t.Errorf("removed: got %q", got)
	}
	for _, err := range h.Device("nobody").Messages(t.Context()) {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("unknown: got %v", err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-closed; got != "1 2: hubtest: hub is closed" {
		t.Errorf("closed: got %q", got)
	}
}

// TestMessagesAreBounded lets the oldest messages go, and counts them.
func TestMessagesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		desc string
		opts Options
		want string
		gone int
	}{
		{"by number", Options{KeptMessages: 2}, "4 5", 3},
		{"by bytes", Options{KeptBytes: 4 * itemCost}, "5", 4},
		{"by default", Options{}, "1 2 3 4 5", 0},
	} {
		bubble(t, func(t *testing.T) {
			h := New(t, &tt.opts)
			d := addDevice(t, h, "dev1")
			c := login(t, h, d)
			for n := 1; n <= 5; n++ {
				c.play(fmt.Sprintf("> PUBLISH Q1 9 devices/dev1/messages/events/$.mid=%d %d\n< PUBACK 9", n, n))
			}
			all := kept(t, d)
			if got := bodies(all); got != tt.want || d.Stats().Forgotten != tt.gone || all[0].Sequence != int64(tt.gone+1) {
				t.Errorf("%s: got %s, forgotten %d, first %d", tt.desc, got, d.Stats().Forgotten, all[0].Sequence)
			}
		})
	}
	if _, err := Start(&Options{KeptBytes: -1}); err == nil {
		t.Error("KeptBytes -1: no error")
	}
}

// TestMessagesAreCopies holds that a reader cannot change what the hub keeps.
func TestMessagesAreCopies(t *testing.T) { bubble(t, testMessagesAreCopies) }
func testMessagesAreCopies(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	login(t, h, d).play("> PUBLISH Q1 9 devices/dev1/messages/events/a=b x\n< PUBACK 9")
	m := kept(t, d)[0]
	m.Body[0], m.Properties["a"], m.System[sysDevice] = 'y', "c", "z"
	if m := kept(t, d)[0]; string(m.Body) != "x" || m.Properties["a"] != "b" || m.System[sysDevice] != "dev1" {
		t.Errorf("got %+v", m)
	}
}

package hubtest

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// TestEdit holds what Edit does to a message over MQTT, in both directions.
func TestEdit(t *testing.T) {
	const reboot = "> SUBSCRIBE 9 [$iothub/methods/POST/# Q0]\n< SUBACK 9 [0]\n"
	tests := []struct {
		desc   string
		match  func(Message) bool
		do     Action
		script string
	}{
		{"a number in an answer", FromHub("", GetTwin), Edit("desired.$version", "7"),
			getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"é":"<&>","$version":7},"reported":{"$version":1}}`},
		{"a member less", FromHub("", GetTwin), Edit("desired.$version", ""),
			getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"é":"<&>"},"reported":{"$version":1}}`},
		{"one more, and what leads to it", FromHub("", GetTwin), Edit("reported.a.0.-1", `"<é>"`),
			getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"é":"<&>","$version":1},"reported":{"$version":1,"a":{"0":{"-1":"<é>"}}}}`},
		{"a letter outside ASCII", FromHub("", GetTwin), Edit("desired.é", "null"),
			getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"é":null,"$version":1},"reported":{"$version":1}}`},
		{"twice", FromHub("", GetTwin), Edit("reported", "").Times(2),
			getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"é":"<&>","$version":1}}` +
				getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"é":"<&>","$version":1}}` + getTwin + gotTwin},
		{"a notification", FromHub("", Desired), Edit("a", "[1]"),
			"< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {\"a\":[1],\"$version\":2}"},
		{"a request", FromDevice("", PatchReported), Edit("a", "5"),
			patchOne + patchedTo2 + getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"é":"<&>","$version":1},"reported":{"a":5,"$version":2}}`},
		{"a request that breaks a rule then", FromDevice("", PatchReported), Edit("$b", "5"),
			patchOne + "< PUBLISH Q0 $iothub/twin/res/400/?$rid=p …"},
		{"a call", FromHub("", Method), Edit("in", "2"), reboot + "< PUBLISH Q0 $iothub/methods/POST/reboot/?$rid=1 {\"in\":2}"},
		{"an answer to one", FromDevice("", MethodAnswer), Edit("out", "4"),
			reboot + "< PUBLISH Q0 $iothub/methods/POST/reboot/?$rid=1 {\"in\":1}\n> PUBLISH Q0 $iothub/methods/res/200/?$rid=1 {\"out\":3}"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				d := addDevice(t, h, "dev1")
				h.identities["dev1"].twin.Desired.Doc = jsondoc.New("é", "<&>")
				c := login(t, h, d)
				c.play(subscribed)
				h.Intercept(tt.match, tt.do)
				answer := make(chan string, 1)
				if strings.Contains(tt.script, "desired/?$version") {
					setDesired(t, h, "dev1", `{"a":1}`)
				}
				if subscribe, rest, ok := strings.Cut(tt.script, "[0]\n"); ok {
					c.play(subscribe + "[0]\n")
					go func() {
						_, payload, err := h.Device("dev1").Call(t.Context(), "reboot", `{"in":1}`)
						answer <- fmt.Sprintf("%s %v", payload, err)
					}()
					synctest.Wait()
					tt.script = rest
				}
				c.play(tt.script)
				if tt.do.path == "out" {
					if got, want := <-answer, `{"out":4} <nil>`; got != want {
						t.Errorf("the answer: got %s, want %s", got, want)
					}
				}
			})
		})
	}
}

func TestEditOverAMQP(t *testing.T) { bubble(t, testEditOverAMQP) }
func testEditOverAMQP(t *testing.T) {
	h, d := amqpHub(t)
	_, l := amqpDevice(t, h, d)
	if status, _, _ := l.ask(twinMessage("0", "", "operation", "PUT", "resource", resourceChanges)); status != 200 {
		t.Fatalf("subscribe: got %d, want 200", status)
	}
	h.Intercept(FromHub("dev1", GetTwin), Edit("reported.$version", ""))
	if _, _, got := l.ask(getting("1")); got != `{"desired":{"$version":1},"reported":{}}` {
		t.Errorf("an answer: got %s", got)
	}
	h.Intercept(FromHub("dev1", Desired), Edit("a", `"x"`))
	setDesired(t, h, "dev1", `{"a":1,"b":2}`)
	if got := string(l.receive().GetData()); got != `{"a":"x","b":2,"$version":2}` {
		t.Errorf("a notification: got %s", got)
	}
	h.Intercept(FromDevice("dev1", PatchReported), Edit("c", "3"))
	if status, _, _ := l.ask(twinMessage("2", `{"a":1}`, "operation", "PATCH", "resource", resourceReported)); status != 200 {
		t.Errorf("a request: got %d, want 200", status)
	}
	if got := string(twinOf(t, h, "dev1").Reported.JSON); got != `{"a":1,"c":3}` {
		t.Errorf("reported: got %s", got)
	}
}

func TestEditOverREST(t *testing.T) { bubble(t, testEditOverREST) }
func testEditOverREST(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	s := owner(t, h)
	h.Intercept(FromService("GET /twins/dev1"), Edit("properties.reported.$version", `"one"`))
	r := s.do("GET", "/twins/dev1", "")
	if got := r.field(t, "properties.reported.$version"); r.status != 200 || got != `"one"` {
		t.Errorf("an answer: got %d %s, want 200 and a version that is a text", r.status, got)
	}
	h.Intercept(FromService("PATCH /twins/dev1"), Edit("etag", ""))
	if r := s.do("PATCH", "/twins/dev1", `{"tags":{"a":1}}`); r.status != 200 || strings.Contains(r.body, `"etag"`) || r.field(t, "tags") != `{"a":1}` {
		t.Errorf("a write: got %d %s, want it done, and an answer without etag", r.status, r.body)
	}
	h.Intercept(FromService("GET /twins/dev2"), Edit("Message", `"none"`))
	if r := s.do("GET", "/twins/dev2", ""); r.status != 404 || r.field(t, "Message") != `"none"` {
		t.Errorf("an error: got %d %s", r.status, r.body)
	}
}

// judged is a test that keeps what it was told.
type judged struct {
	*testing.T
	fatal    []string
	cleanups []func()
}

func (j *judged) Cleanup(f func()) { j.cleanups = append(j.cleanups, f) }
func (j *judged) Fatalf(format string, args ...any) {
	j.fatal = append(j.fatal, fmt.Sprintf(format, args...))
}
func (j *judged) end() {
	for _, f := range j.cleanups {
		f()
	}
}

// TestEditRefuses holds that no path or value passes that would do nothing, or
// something else.
func TestEditRefuses(t *testing.T) {
	tests := []struct{ path, value, want string }{
		{"", "1", "the path is empty"},
		{".a", "1", "an empty key"}, {"a.", "1", "an empty key"}, {"a..b", "1", "an empty key"},
		{"x*", "1", `'*'`}, {"a.?", "1", `'?'`}, {"#", "1", `'#'`}, {"a.#.b", "1", `'#'`}, {"@this", "1", `'@'`}, {"a|b", "1", `'|'`},
		{`a\.b`, "1", `'\\'`}, {":1", "1", `':'`}, {"!x", "1", `'!'`}, {"{a,b}", "1", `'{'`}, {"[a]", "1", `'['`}, {"a b", "1", `' '`},
		{"a<b", "1", `'<'`}, {"a\x00", "1", `'\x00'`}, {"a\xff", "1", "not UTF-8"},
		{"a", "x", "the value is not JSON"}, {"a", "1 2", "the value is not JSON"}, {"a", `{"b":`, "the value is not JSON"}, {"a", " ", "the value is not JSON"},
	}
	for _, tt := range tests {
		j := &judged{T: t}
		h := New(j, &Options{Logger: slog.New(slog.DiscardHandler)})
		h.Intercept(FromHub("", GetTwin), Edit(tt.path, tt.value))()
		j.end()
		if len(j.fatal) != 1 || !strings.HasPrefix(j.fatal[0], "hubtest: Edit(") || !strings.Contains(j.fatal[0], tt.want) {
			t.Errorf("Edit(%q, %q): the test failed with %q, want it once, with %q", tt.path, tt.value, j.fatal, tt.want)
		}
	}
	h, err := Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.Intercept(FromHub("", GetTwin), Edit("x*", "1"))
	if err := h.Close(); err == nil || !strings.Contains(err.Error(), `Edit("x*", "1")`) {
		t.Errorf("Close of a hub of Start: got %v, want what was refused", err)
	}
}

// TestEditFails holds that an Edit which cannot be done leaves the message, and
// fails the test.
func TestEditFails(t *testing.T) {
	tests := []struct {
		desc, body, path, value string
		want                    string // empty for none
	}{
		{"no body", "", "a", "1", "is not a JSON object"},
		{"a list", "[1]", "a", "1", "is not a JSON object"},
		{"a text", `"a"`, "a", "1", "is not a JSON object"},
		{"no JSON", `{"a":1`, "a", "1", "is not a JSON object"},
		{"two values", `{}{}`, "a", "1", "is not a JSON object"},
		{"not UTF-8", "{\"a\":\"\xff\"}", "a", "1", "is not a JSON object"},
		{"nothing to remove", `{"a":1}`, "b", "", "there is no b to remove"},
		{"nothing to remove below", `{"a":{}}`, "a.b.c", "", "there is no a.b.c to remove"},
		{"below a number", `{"a":1}`, "a.b", "2", "a is not an object"},
		{"an element", `{"a":{"b":[1]}}`, "a.b.0", "2", "a.b is not an object"},
		{"to remove an element", `{"a":[1]}`, "a.0", "", "a is not an object"},
		{"a key twice", `{"a":1,"a":2}`, "a", "3", "is the key there twice"},
		{"a key twice, to remove", `{"a":1,"a":2}`, "a", "", "is the key there twice"},
		{"a value", ` {"b":1.10, "a" : {"c":"\u00e9<"}} `, "a.c", "0", ""},
		{"the first of three", `{"a":1,"b":[{"a":2}],"c":3}`, "a", "", ""},
		{"the last of three", `{"a":1,"b":[{"a":2}],"c":3}`, "c", "", ""},
		{"the only one", `{"a": {"b" : 1 } }`, "a.b", "", ""},
		{"an escaped key", `{"\u0061":1}`, "a", "2", ""},
		{"a key with signs beside it", `{"a*":1,"a.b":2,"a":{"b":3}}`, "a.b", "4", ""},
	}
	for _, tt := range tests {
		h, err := Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		m := Message{Device: "dev1", Op: GetTwin, FromHub: true, Body: []byte(tt.body)}
		kept := m.Body
		h.edit(&m, Edit(tt.path, tt.value))
		err = h.Close()
		switch {
		case string(kept) != tt.body:
			t.Errorf("%s: the body that it was given became %s", tt.desc, kept)
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.desc, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `of GetTwin to "dev1"`)):
			t.Errorf("%s: Close returned %v, want %q", tt.desc, err, tt.want)
		case tt.want != "" && string(m.Body) != tt.body:
			t.Errorf("%s: the message became %s, want it as it was", tt.desc, m.Body)
		}
	}
}

// TestEditFailsTheTest holds the same end to end, over each front.
func TestEditFailsTheTest(t *testing.T) { bubble(t, testEditFailsTheTest) }
func testEditFailsTheTest(t *testing.T) {
	j := &judged{T: t}
	h := New(j, nil)
	d := addDevice(t, h, "dev1")
	h.Intercept(FromDevice("dev1", Connect), Edit("a", "1"))
	c := login(t, h, d)
	c.play(subscribed)
	for _, match := range []func(Message) bool{FromDevice("dev1", GetTwin), FromHub("dev1", PatchReported), FromService("DELETE /devices/dev1")} {
		h.Intercept(match, Edit("a", "1"))
	}
	c.play(getTwin + gotTwin + patchOne + patchedTo2)
	owner(t, h).do("DELETE", "/devices/dev1", "").want(t, "an answer without a body", 204)
	if len(j.fatal) > 0 {
		t.Errorf("failed before its end: %q", j.fatal)
	}
	j.end()
	for _, want := range []string{`of Connect from "dev1"`, `of GetTwin from "dev1"`, `of PatchReported to "dev1"`, `of Rest to "dev1"`} {
		if len(j.fatal) != 1 || !strings.Contains(j.fatal[0], want) {
			t.Errorf("at its end the test failed with %q, want it once, with %q", j.fatal, want)
		}
	}
}

// FuzzEdit: an Edit that is accepted does what it says to an object, or says why
// it does nothing.
func FuzzEdit(f *testing.F) {
	f.Add("a.b", "1", `{"a":{"b":2},"c":[1]}`)
	f.Add("a", "", `{"a":"\"","b":"}"}`)
	f.Add("0.-1", `{"é":"<"}`, `{"0":{}}`)
	f.Add("a", "[]", `{"a":1,"a":{}}`)
	f.Fuzz(func(t *testing.T, path, value, body string) {
		act := Edit(path, value)
		if act.err != nil {
			return
		}
		out, err := act.edited([]byte(body))
		if err != nil {
			return
		}
		before, errBefore := jsondoc.ParseObject([]byte(body))
		after, errAfter := jsondoc.ParseObject(out)
		if errBefore != nil || errAfter != nil {
			t.Fatalf("Edit(%q, %q) of %s: got %s (%v, %v)", path, value, body, out, errBefore, errAfter)
		}
		// What it does not name stays as it was, in its place.
		first, _, _ := strings.Cut(path, ".")
		got, want := after.Without(first), before.Without(first)
		if a, b := string(jsondoc.Append(nil, got)), string(jsondoc.Append(nil, want)); a != b {
			t.Errorf("Edit(%q, %q) of %s: the rest is %s, want %s", path, value, body, a, b)
		}
	})
}

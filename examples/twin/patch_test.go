package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestDefaultTimeoutOutlivesARequest: the client asks again within it.
func TestDefaultTimeoutOutlivesARequest(t *testing.T) {
	const request = 30 * time.Second // device.Options.RequestTimeout
	if defaultTimeout <= 2*request {
		t.Errorf("the default of -timeout is %v, and a request may be unanswered for %v", defaultTimeout, request)
	}
}

// TestReportFrom reads a patch from stdin and from a file.
func TestReportFrom(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	name := filepath.Join(t.TempDir(), "patch.json")
	if err := os.WriteFile(name, []byte(`{"from":"a file"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.stdin = `{"from":"stdin"}`
	for _, tt := range []struct{ word, want string }{{"-", `"stdin"`}, {"@" + name, `"a file"`}} {
		if code, stdout, stderr := d.run(d.ctx, "report", tt.word); code != desk.ExitDone || !strings.HasPrefix(stdout, `{"version":`) {
			t.Errorf("report %s: got status %d, stdout %q, stderr %q; want 0 and the version", tt.word, code, stdout, stderr)
		}
		d.wantReported("from", tt.want)
	}
}

// TestSetAndGet sets members and gets them: what is syntax elsewhere is a key here.
func TestSetAndGet(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.setDesired(`{"fan":{"rpm":1200},"only":1,"list":[{"a":1}]}`)
	for _, tt := range []struct {
		words    []string
		reported string
	}{
		{[]string{"fan.rpm=1150", "fan.mode=auto", "fan.on=true"}, `{"fan":{"mode":"auto","on":true,"rpm":1150}}`},
		{[]string{"fan.rpm=null", `fan.mode="5"`}, `{"fan":{"mode":"5","on":true}}`},
		{[]string{`fan={"on":false,"gain":1.10}`}, `{"fan":{"gain":1.10,"mode":"5","on":false}}`},
		{[]string{"fan=null", "x*=1", "~true=2", "@this=3", "e|f=4", "a?=5", `b\c=6`, "0=7", "-1=8", ":k=9", "@values:{}=10"},
			`{"-1":8,"0":7,":k":9,"@this":3,"@values:{}":10,"a?":5,"b\\c":6,"e|f":4,"x*":1,"~true":2}`},
	} {
		code, stdout, stderr := d.run(d.ctx, append([]string{"set"}, tt.words...)...)
		if code != desk.ExitDone || !strings.HasPrefix(stdout, `{"version":`) || stderr != "" {
			t.Errorf("set %q: got status %d, stdout %q, stderr %q; want 0 and the version", tt.words, code, stdout, stderr)
		}
		d.wantReported("", tt.reported)
	}
	if code, _, stderr := d.run(d.ctx, "set", "fan.rpm=1150", "deep.0.1=text with = in it", `deep.list=[1,{"a":2}]`); code != desk.ExitDone {
		t.Fatalf("set: got status %d, stderr %q", code, stderr)
	}
	for path, want := range map[string]string{
		"fan.rpm": `{"desired":1200,"reported":1150}`, "only": `{"desired":1}`, "x*": `{"reported":1}`,
		"reported.fan": `{"rpm":1150}`, "reported.fan.rpm": `1150`, "desired.fan": `{"rpm":1200}`,
		"reported.x*": `1`, "reported.~true": `2`, "reported.@this": `3`, "reported.e|f": `4`, "reported.a?": `5`, `reported.b\c`: `6`,
		"reported.0": `7`, "reported.-1": `8`, "reported.:k": `9`, "reported.@values:{}": `10`,
		"reported.deep.0.1": `"text with = in it"`, "reported.deep.list": `[1,{"a":2}]`,
		"desired.$version": `2`, "desired": `{"fan":{"rpm":1200},"list":[{"a":1}],"only":1,"$version":2}`,
	} {
		if code, stdout, stderr := d.run(d.ctx, "get", path); code != desk.ExitDone || stdout != want+"\n" || stderr != "" {
			t.Errorf("get %s: got status %d, stdout %q, stderr %q; want %s", path, code, stdout, stderr, want)
		}
	}
	for _, path := range []string{"none", "reported.none", "x", "@values", "reported.*", "#", "reported.#", "reported.fan.rpm.x", "reported.deep.list.0", "reported.deep.list.#", "desired.list.a", "reported.@values:{}.a"} {
		code, stdout, stderr := d.run(d.ctx, "get", path)
		if code != desk.ExitFailed || stdout != "" || !strings.Contains(stderr, path) {
			t.Errorf("get %s: got status %d, stdout %q, stderr %q; want %d and the path named", path, code, stdout, stderr, desk.ExitFailed)
		}
	}
}

// FuzzSet holds that set makes the patch that package twin makes of the same path
// and value, and that member finds it again: no key is syntax.
func FuzzSet(f *testing.F) {
	for _, path := range []string{"fan.rpm", "x*", "#", "@this", "a|b.c?", `\`, "0.1", "-1", ":", "a..b", "é", "..", `a\.b`, "~true", "!x", "%", "<"} {
		f.Add(path, "5", "fan.mode")
	}
	f.Add("a.b", `{"c":[1,2]}`, "d")
	f.Add("a", `"`, "\x00")
	f.Fuzz(func(t *testing.T, path, value, other string) {
		if strings.Contains(path, "=") || strings.Contains(other, "=") || within(path, other) || within(other, path) {
			return
		}
		text, err := assign([]string{path + "=" + value, other + "=1"})
		if err != nil {
			if !errors.Is(err, desk.ErrUsage) {
				t.Errorf("got %v, want an error of usage", err)
			}
			return
		}
		var want twin.Patch
		if json.Valid([]byte(value)) {
			want = twin.Set(path, json.RawMessage(value))
		} else {
			want = twin.Set(path, strings.ToValidUTF8(string([]rune(value)), "\uFFFD"))
		}
		want = want.Set(other, 1)
		got, err := twin.ParsePatch(text)
		if (err == nil) != (want.Err() == nil) || err == nil && got.String() != want.String() {
			t.Fatalf("%q=%q made %s (%v), want %v (%v)", path, value, text, err, want, want.Err())
		}
		if err != nil || strings.Contains(value, "null") { // which a patch holds, and a twin does not
			return
		}
		found, err := member(text, path)
		if err != nil || twin.Set("v", json.RawMessage(found.Raw)).String() != twin.Set("v", want.At(path)).String() {
			t.Errorf("%q in %s: found %s, %v; want %v", path, text, found.Raw, err, want.At(path))
		}
		if keys := slices.Collect(strings.SplitSeq(path, ".")); len(keys) > 64 {
			t.Errorf("a path of %d keys was taken", len(keys))
		}
	})
}

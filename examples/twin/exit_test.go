package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// TestFailures holds each failure's exit status, and that nothing stands on
// stdout then.
func TestFailures(t *testing.T) {
	lost := func(d *rig, match func(hubtest.Message) bool, do hubtest.Action) context.Context {
		ctx := newLapse(d.ctx)
		d.hub.Intercept(func(m hubtest.Message) bool {
			hit := match(m)
			if hit {
				ctx.pass()
			}
			return hit
		}, do)
		return ctx
	}
	tests := []struct {
		desc  string
		words []string
		// prepare spoils something, and may give the context to run with.
		prepare func(d *rig) context.Context
		code    int
		says    string
	}{
		{"the hub's CA is not among the trusted", []string{"get"}, func(d *rig) context.Context {
			d.flags[1] = writeCA(d.T, hubtest.New(d.T, nil))
			return nil
		}, desk.ExitFailed, "that issuer is not trusted here"},
		{"interrupted while the hub is silent", []string{"report", `{"a":1}`}, func(d *rig) context.Context {
			ctx, cancel := context.WithCancel(d.ctx)
			d.hub.Intercept(func(m hubtest.Message) bool {
				hit := hubtest.FromDevice("dev1", hubtest.PatchReported)(m)
				if hit {
					cancel()
				}
				return hit
			}, hubtest.Drop())
			return ctx
		}, desk.ExitFailed, "may have it or not"},
		{"a device id that MQTT cannot carry", []string{"get"}, func(d *rig) context.Context {
			d.dev.ConnectionString = strings.Replace(d.dev.ConnectionString, "dev1", "dev+1", 1)
			return nil
		}, desk.ExitUsage, "rename the device"},

		// To a hub over MQTT it is one that cannot serve now, as it has been seen to say.
		{"the device is disabled", []string{"-timeout", "100ms", "get"}, func(d *rig) context.Context {
			if err := d.hub.Device("dev1").SetEnabled(false); err != nil {
				d.Fatal(err)
			}
			return nil
		}, desk.ExitTimeout, "not done within 100ms (-timeout)"},
		{"the key was replaced", []string{"report", `{"a":1}`}, func(d *rig) context.Context {
			if _, err := d.hub.Device("dev1").SetKeys("", ""); err != nil {
				d.Fatal(err)
			}
			return nil
		}, desk.ExitUnauthorized, "check the key"},
		{"the device is unknown", []string{"watch"}, func(d *rig) context.Context {
			if err := d.hub.Device("dev1").Remove(); err != nil {
				d.Fatal(err)
			}
			return nil
		}, desk.ExitUnauthorized, "exists"},

		{"the token given has ended", []string{"get"}, func(d *rig) context.Context {
			key, err := auth.ParseKey(d.dev.PrimaryKey)
			if err != nil {
				d.Fatal(err)
			}
			token, err := auth.TokenOf(d.ctx, auth.SAS(key, nil), d.dev.Identity.Audience(), time.Now().Add(-2*time.Hour))
			if err != nil {
				d.Fatal(err)
			}
			d.dev.ConnectionString = "HostName=" + d.hub.Host() + ";DeviceId=dev1;SharedAccessSignature=" + token.Reveal()
			return nil
		}, desk.ExitUnauthorized, "expired"},

		{"the hub rejects the patch", []string{"report", `{"a":1}`}, func(d *rig) context.Context {
			d.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Fail(400004))
			return nil
		}, desk.ExitRefused, "400004"},
		{"the section would grow too large", []string{"report", `{"b":` + texts(2) + `}`}, func(d *rig) context.Context {
			if code, _, stderr := d.run(d.ctx, "report", `{"a":`+texts(7)+`}`); code != desk.ExitDone {
				d.Fatalf("got status %d: %s", code, stderr)
			}
			return nil
		}, desk.ExitRefused, "section size"},

		{"the line is down", []string{"-timeout", "100ms", "get"}, func(d *rig) context.Context {
			d.hub.SetLine(false)
			return nil
		}, desk.ExitTimeout, "not done within 100ms (-timeout)"},
		{"the hub does not answer a GET", []string{"get"}, func(d *rig) context.Context {
			return lost(d, hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Drop())
		}, desk.ExitTimeout, "deadline exceeded"},
		{"the hub does not answer a report", []string{"report", `{"a":1}`}, func(d *rig) context.Context {
			return lost(d, hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Drop())
		}, desk.ExitTimeout, "may have it or not"},
		{"the hub does not answer a message", []string{"send", "x"}, func(d *rig) context.Context {
			return lost(d, hubtest.FromDevice("dev1", hubtest.Telemetry), hubtest.Drop())
		}, desk.ExitTimeout, "may have it or not"},
		{"the hub takes a message, and its word of it is lost", []string{"send", "x"}, func(d *rig) context.Context {
			return lost(d, hubtest.FromHub("dev1", hubtest.Ack), hubtest.Drop())
		}, desk.ExitTimeout, "may have it or not"},
		{"the line is down for a message", []string{"-timeout", "100ms", "send", "x"}, func(d *rig) context.Context {
			d.hub.SetLine(false)
			return nil
		}, desk.ExitTimeout, "not done within 100ms (-timeout)"},
		{"the hub throttles", []string{"report", `{"a":1}`}, func(d *rig) context.Context {
			return lost(d, hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Fail(429001).Times(-1))
		}, desk.ExitTimeout, "may have it or not"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			t.Parallel()
			d := newRig(t)
			ctx := d.ctx
			if tt.prepare != nil {
				if c := tt.prepare(d); c != nil {
					ctx = c
				}
			}
			code, stdout, stderr := d.run(ctx, tt.words...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.says) || !strings.HasPrefix(stderr, "twin: ") {
				t.Errorf("got status %d, stdout %q, stderr %q; want %d, nothing, and %q", code, stdout, stderr, tt.code, tt.says)
			}
		})
	}
}

// texts is an array of n strings near their limit.
func texts(n int) string { return `["` + strings.Repeat(strings.Repeat("x", 4000)+`","`, n) + `x"]` }

// TestNothingIsSent holds that what can be refused at home is.
func TestNothingIsSent(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	for _, tt := range []struct {
		patch string
		says  string
	}{
		{`fan=1`, "not valid JSON"},
		{`[1]`, "want a JSON object"},
		{`{"a":1`, "not valid JSON"},
		{`{"$version":7}`, "belongs to the hub"},
		{`{"a b":1}`, "rename the key"},
		{`{"a":9007199254740993}`, "send it as a string"},
		{`{"a":[null]}`, "leave the element or member out"},
		{`{"a":"` + strings.Repeat("x", 4097) + `"}`, "shorten it"},
	} {
		code, stdout, stderr := d.run(d.ctx, "report", tt.patch)
		if code != desk.ExitRefused || stdout != "" || !strings.Contains(stderr, tt.says) {
			t.Errorf("report %.40s: got status %d, stdout %q, stderr %q; want %d and %q", tt.patch, code, stdout, stderr, desk.ExitRefused, tt.says)
		}
	}
	if s := d.hub.Stats(); s != (hubtest.Stats{}) {
		t.Errorf("the hub saw %+v; want nothing", s)
	}
}

// TestOutputFails: a full disk or a reader that has gone ends the tool.
func TestOutputFails(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{{"get"}, {"report", `{"a":1}`}, {"send", "x"}, {"watch"}} {
		d := newRig(t)
		var stderr bytes.Buffer
		code := run(d.ctx, d.args(words...), desk.Console{Env: d.env, Stdout: full{}, Stderr: &stderr})
		if code != desk.ExitFailed || !strings.Contains(stderr.String(), "write the result: disk is full") {
			t.Errorf("%q: got status %d, stderr %q; want %d and the reason", words, code, stderr.String(), desk.ExitFailed)
		}
		d.wantGoodbye()
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk is full") }

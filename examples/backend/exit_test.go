package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// TestFailures holds each failure's exit status, and what is said of it.
func TestFailures(t *testing.T) {
	t.Parallel()
	all := hubtest.FromService("")
	tests := []struct {
		desc    string
		words   []string
		prepare func(d *rig)
		code    int
		says    string
	}{
		{"the key is wrong", nil, func(d *rig) {
			name, _, _ := strings.Cut(d.policy, "SharedAccessKey=")
			d.policy = name + "SharedAccessKey=d3JvbmcgYW5kIHdyb25nIGFuZCB3cm9uZw=="
		}, desk.ExitUnauthorized, "401"},
		{"the policy may not read twins", nil, func(d *rig) {
			d.policy = d.connectionString("registryRead")
		}, desk.ExitUnauthorized, "401"},
		{"the policy may not register devices", []string{"-device", "new1", "-create"}, func(d *rig) {
			d.policy = d.connectionString("service")
		}, desk.ExitUnauthorized, "create"},
		{"the hub does not know the device", []string{"-device", "nobody"}, nil, desk.ExitRefused, "-create registers the device"},
		{"a value that no hub takes", []string{"-plant", strings.Repeat("x", 5000)}, nil, desk.ExitRefused, "shorten"},
		{"the hub rejects it", nil, func(d *rig) {
			d.hub.Intercept(hubtest.FromService("PATCH /twins/dev1"), hubtest.Fail(400004))
		}, desk.ExitRefused, "400004"},
		{"the hub's CA is not among the trusted", nil, func(d *rig) {
			d.flags[1] = writeCA(d.T, hubtest.New(d.T, nil))
		}, desk.ExitFailed, "not trusted"},
		{"the hub is down", []string{"-timeout", "200ms"}, func(d *rig) {
			l, err := new(net.ListenConfig).Listen(d.ctx, "tcp", "127.0.0.1:0")
			if err != nil {
				d.Fatal(err)
			}
			d.flags[3] = l.Addr().String()
			if err := l.Close(); err != nil {
				d.Fatal(err)
			}
		}, desk.ExitTimeout, "hub is unavailable"},
		{"the hub does not answer", []string{"-timeout", "200ms"}, func(d *rig) {
			d.hub.Intercept(all, hubtest.Drop().Times(-1))
		}, desk.ExitTimeout, "not done within 200ms (-timeout)"},
		{"the hub throttles", []string{"-timeout", "1s"}, func(d *rig) {
			d.hub.Intercept(all, hubtest.Fail(429001).Times(-1))
		}, desk.ExitTimeout, "429"},
		{"the query never finds the device", []string{"-wait", "0", "-timeout", "300ms"}, func(d *rig) {
			d.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(200, "[]").Times(-1))
		}, desk.ExitTimeout, "not done within 300ms (-timeout)"},
		{"a query's row is no object", []string{"-wait", "0"}, func(d *rig) {
			d.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(200, "[7]"))
		}, desk.ExitFailed, "read a row of the query"},
		{"the query is refused", []string{"-wait", "0"}, func(d *rig) {
			d.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Fail(400004))
		}, desk.ExitRefused, "400004"},
		{"the device that is called is away", []string{"-wait", "0", "-method", "reboot"}, nil, desk.ExitTimeout, "not connected"},
		{"the hub fails while it waits for the device", nil, func(d *rig) {
			reads := 0
			d.hub.Intercept(func(m hubtest.Message) bool {
				hit := hubtest.FromService("GET /twins/dev1")(m)
				if hit {
					reads++
				}
				return hit && reads > 2
			}, hubtest.Fail(401003).Times(-1))
		}, desk.ExitUnauthorized, "401"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			t.Parallel()
			d := newRig(t)
			if tt.prepare != nil {
				tt.prepare(d)
			}
			code, stdout, stderr := d.run(tt.words...)
			if code != tt.code || !strings.Contains(stderr, tt.says) || !strings.Contains(stderr, "backend: ") {
				t.Errorf("got status %d, stdout %q, stderr %q; want %d and %q", code, stdout, stderr, tt.code, tt.says)
			}
		})
	}
}

// TestInterrupted: Ctrl-C ends each wait, and the program says so.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		desc string
		wait string // for what the hub is asked
		nth  int
		do   hubtest.Action
	}{
		{"while the hub is silent", "GET /twins/dev1", 1, hubtest.Drop()},
		{"while it waits for the device", "GET /twins/dev1", 3, hubtest.Pass()},
	} {
		d := newRig(t)
		ctx, cancel := context.WithCancel(d.ctx)
		seen := 0
		d.hub.Intercept(func(m hubtest.Message) bool {
			hit := hubtest.FromService(tt.wait)(m)
			if hit {
				seen++
			}
			if hit = hit && seen == tt.nth; hit {
				cancel()
			}
			return hit
		}, tt.do)
		var out, errs strings.Builder
		if code := run(ctx, d.flags, desk.Console{Env: d.env, Stdout: &out, Stderr: &errs}); code != desk.ExitFailed || !strings.HasPrefix(errs.String(), "backend: interrupted") {
			t.Errorf("%s: got status %d, stdout %q, stderr %q; want %d and that it was interrupted", tt.desc, code, out.String(), errs.String(), desk.ExitFailed)
		}
		cancel()
	}
}

// TestVerbose tells each request, and no secret.
func TestVerbose(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	if code, _, stderr := d.run("-v", "-wait", "0"); code != desk.ExitDone || !strings.Contains(stderr, "path=/twins/dev1") {
		t.Errorf("got status %d, stderr %q; want 0 and the requests", code, stderr)
	}
}

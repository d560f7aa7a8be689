package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// TestFailures holds each failure's exit status, and what is said of it.
func TestFailures(t *testing.T) {
	t.Parallel()
	all := hubtest.FromService("")
	tests := []struct {
		desc    string
		words   []string
		prepare func(d *desk)
		code    int
		says    string
	}{
		{"the key is wrong", nil, func(d *desk) {
			name, _, _ := strings.Cut(d.policy, "SharedAccessKey=")
			d.policy = name + "SharedAccessKey=d3JvbmcgYW5kIHdyb25nIGFuZCB3cm9uZw=="
		}, exitUnauthorized, "401"},
		{"the policy may not read twins", nil, func(d *desk) {
			d.policy = d.connectionString("registryRead")
		}, exitUnauthorized, "401"},
		{"the policy may not register devices", []string{"-device", "new1", "-create"}, func(d *desk) {
			d.policy = d.connectionString("service")
		}, exitUnauthorized, "create"},
		{"the hub does not know the device", []string{"-device", "nobody"}, nil, exitRefused, "-create registers the device"},
		{"a value that no hub takes", []string{"-plant", strings.Repeat("x", 5000)}, nil, exitRefused, "shorten"},
		{"the hub rejects it", nil, func(d *desk) {
			d.hub.Intercept(hubtest.FromService("PATCH /twins/dev1"), hubtest.Fail(400004))
		}, exitRefused, "400004"},
		{"the hub's CA is not among the trusted", nil, func(d *desk) {
			d.flags[1] = writeCA(d.T, hubtest.New(d.T, nil))
		}, exitFailed, "not trusted"},
		{"the hub is down", []string{"-timeout", "200ms"}, func(d *desk) {
			l, err := new(net.ListenConfig).Listen(d.ctx, "tcp", "127.0.0.1:0")
			if err != nil {
				d.Fatal(err)
			}
			d.flags[3] = l.Addr().String()
			if err := l.Close(); err != nil {
				d.Fatal(err)
			}
		}, exitTimeout, "hub is unavailable"},
		{"the hub does not answer", []string{"-timeout", "200ms"}, func(d *desk) {
			d.hub.Intercept(all, hubtest.Drop().Times(-1))
		}, exitTimeout, "not done within 200ms (-timeout)"},
		{"the hub throttles", []string{"-timeout", "1s"}, func(d *desk) {
			d.hub.Intercept(all, hubtest.Fail(429001).Times(-1))
		}, exitTimeout, "429"},
		{"the query never finds the device", []string{"-wait", "0", "-timeout", "300ms"}, func(d *desk) {
			d.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(200, "[]").Times(-1))
		}, exitTimeout, "not done within 300ms (-timeout)"},
		{"a query's row is no object", []string{"-wait", "0"}, func(d *desk) {
			d.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(200, "[7]"))
		}, exitFailed, "read a row of the query"},
		{"the query is refused", []string{"-wait", "0"}, func(d *desk) {
			d.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Fail(400004))
		}, exitRefused, "400004"},
		{"the device that is called is away", []string{"-wait", "0", "-method", "reboot"}, nil, exitTimeout, "not connected"},
		{"the hub fails while it waits for the device", nil, func(d *desk) {
			reads := 0
			d.hub.Intercept(func(m hubtest.Message) bool {
				hit := hubtest.FromService("GET /twins/dev1")(m)
				if hit {
					reads++
				}
				return hit && reads > 2
			}, hubtest.Fail(401003).Times(-1))
		}, exitUnauthorized, "401"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
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
		d := newDesk(t)
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
		if code := run(ctx, d.flags, d.env, &out, &errs); code != exitFailed || !strings.HasPrefix(errs.String(), "backend: interrupted") {
			t.Errorf("%s: got status %d, stdout %q, stderr %q; want %d and that it was interrupted", tt.desc, code, out.String(), errs.String(), exitFailed)
		}
		cancel()
	}
}

// TestVerbose tells each request, and no secret.
func TestVerbose(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if code, _, stderr := d.run("-v", "-wait", "0"); code != exitDone || !strings.Contains(stderr, "path=/twins/dev1") {
		t.Errorf("got status %d, stderr %q; want 0 and the requests", code, stderr)
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
)

// sent are the messages that the hub has of dev1.
func (d *rig) sent() (all []hubtest.TelemetryMessage) {
	d.Helper()
	now, cancel := context.WithCancel(d.ctx)
	cancel()
	for m, err := range d.hub.Device("dev1").Messages(now) {
		if err == nil {
			all = append(all, m)
		}
	}
	return all
}

// TestSend sends in every way that the tool has, and looks at what the hub has.
func TestSend(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	flags := d.flags
	name := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(name, []byte("\x00\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, way := range []string{"mqtt", "mqtt-ws", "amqp", "amqp-ws", "auto"} {
		d.flags = append(append([]string{}, flags...), "-transport", way)
		for j, tt := range []struct {
			words    []string
			stdin    string
			body     string
			kind     string // and encoding
			property map[string]string
		}{
			{words: []string{"send", "hello"}, body: "hello", kind: "/"},
			{words: []string{"send", "@" + name}, body: "\x00\xff", kind: "/"},
			{words: []string{"-content-type", "application/json", "send", "-"}, stdin: `{"t":21.50}`, body: `{"t":21.50}`, kind: "application/json/utf-8"},
			{words: []string{"-content-type", "application/json", "send", "@" + name}, body: "\x00\xff", kind: "application/json/"},
			{
				words: []string{"-property", "alert=true", "-property", "eq=a=b&c", "-property", "none=", "-content-type", "text/plain", "send", ""},
				kind:  "text/plain/", property: map[string]string{"alert": "true", "eq": "a=b&c", "none": ""},
			},
		} {
			d.stdin = tt.stdin
			code, stdout, stderr := d.run(d.ctx, tt.words...)
			var printed struct{ ID string }
			if err := json.Unmarshal([]byte(stdout), &printed); err != nil || code != desk.ExitDone || stderr != "" {
				t.Fatalf("%s: %q: got status %d, stdout %q, stderr %q; want 0 and an id", way, tt.words, code, stdout, stderr)
			}
			all := d.sent()
			if len(all) != 5*i+j+1 {
				t.Fatalf("%s: %q: the hub has %d messages, want %d", way, tt.words, len(all), 5*i+j+1)
			}
			m := all[len(all)-1]
			if m.ID == "" || stdout != fmt.Sprintf(`{"id":%q}`+"\n", m.ID) {
				t.Errorf("%s: %q: printed %q, and the hub has the id %q", way, tt.words, stdout, m.ID)
			}
			if string(m.Body) != tt.body || m.ContentType+"/"+m.ContentEncoding != tt.kind || !maps.Equal(m.Properties, tt.property) {
				t.Errorf("%s: %q: the hub has the body %q, type %q, encoding %q, properties %q", way, tt.words, m.Body, m.ContentType, m.ContentEncoding, m.Properties)
			}
		}
	}
}

// TestPoisonIsRefused: what ends the connection again and again is refused for
// good. The tests of package device make it happen.
func TestPoisonIsRefused(t *testing.T) {
	t.Parallel()
	for _, err := range []error{device.ErrPoison, transport.ErrMessage, transport.ErrTooLarge} {
		if got := exitStatus(fmt.Errorf("send: %w", err)); got != desk.ExitRefused {
			t.Errorf("%v: got the status %d, want %d", err, got, desk.ExitRefused)
		}
	}
}

// TestSendsNothing holds that a message that no hub takes is refused at home.
func TestSendsNothing(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	for _, tt := range []struct {
		words []string
		says  string
	}{
		{[]string{"send", strings.Repeat("x", transport.MaxMessage)}, "262144"},
		{[]string{"-property", "$.mid=1", "send", "x"}, "$.mid"},
		{[]string{"-property", "a=\x01", "send", "x"}, `"a" has a control character`},
		{[]string{"-content-type", "\xff", "send", "x"}, "ContentType is not UTF-8"},
	} {
		code, stdout, stderr := d.run(d.ctx, tt.words...)
		if code != desk.ExitRefused || stdout != "" || !strings.Contains(stderr, tt.says) {
			t.Errorf("%.40q: got status %d, stdout %q, stderr %q; want %d and %q", tt.words, code, stdout, stderr, desk.ExitRefused, tt.says)
		}
	}
	if s := d.hub.Stats(); s != (hubtest.Stats{}) {
		t.Errorf("the hub saw %+v; want nothing", s)
	}
}

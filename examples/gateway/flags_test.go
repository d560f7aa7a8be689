package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// TestRefusals holds that what is wrong is said by name, and ends the program.
func TestRefusals(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list, none := file("list", ""), filepath.Join(folder, "none")
	info := file("info", `{"bind":"127.0.0.1","ports":{"amqp":1,"https":2},"ca":"`+filepath.ToSlash(list)+`"}`)
	tests := []struct {
		desc  string
		flags []string
		code  int
		want  string
	}{
		{"help", []string{"-h"}, 0, "-devices file"},
		{"no devices", nil, 2, "-devices or by -info"},
		{"devices from two places", []string{"-devices", list, "-info", info}, 2, "one of them"},
		{"an unknown flag", []string{"-proxy", "x"}, 2, "-proxy"},
		{"arguments after the flags", []string{"-devices", list, "dev1"}, 2, "1 arguments too many"},
		{"no such file", []string{"-devices", none}, 2, "-devices: open "},
		{"no such info", []string{"-info", none}, 2, "it is there while the hub runs"},
		{"an info that is none", []string{"-info", list}, 2, "none that examples/hub -info wrote"},
		{"an info and a CA", []string{"-info", info, "-ca", list}, 2, "in place of -ca and -endpoint"},
		{"an info with a CA that is none", []string{"-info", info}, 2, "holds no certificate in PEM"},
		{"another protocol", []string{"-devices", list, "-transport", "mqtt"}, 2, "amqp or amqp-ws"},
		{"an endpoint without a port", []string{"-devices", list, "-endpoint", "127.0.0.1"}, 2, "no host:port"},
		{"an endpoint with a port that is none", []string{"-devices", list, "-endpoint", "127.0.0.1:0"}, 2, "no host:port"},
		{"no such CA", []string{"-devices", list, "-ca", none}, 2, "-ca: open "},
		{"a CA that is none", []string{"-devices", list, "-ca", list}, 2, "holds no certificate in PEM"},
		{"a store that is a file", []string{"-devices", list, "-store", list}, 2, "-store: "},
	}
	for _, tt := range tests {
		var stdout, stderr told
		ctx, cancel := context.WithTimeout(t.Context(), testPatience) // if it starts after all
		code := run(ctx, tt.flags, nil, &stdout, &stderr)
		cancel()
		if code != tt.code || !strings.Contains(stderr.String(), tt.want) || stdout.String() != "" {
			t.Errorf("%s: got status %d, stdout %q, stderr %q; want %d and %q", tt.desc, code, stdout.String(), stderr.String(), tt.code, tt.want)
		}
	}
}

// TestInfo finds hub and devices in nothing but a file such as examples/hub
// writes, and by -v tells what the clients do.
func TestInfo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		transport string
		protocol  hubtest.Protocol
		port      string
	}{{"amqp", hubtest.AMQP, "amqp"}, {"amqp-ws", hubtest.HTTPS, "https"}} {
		h := newHall(t, 2)
		at, err := h.hub.Listen("127.0.0.1:0", tt.protocol) // speaks nothing else
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := net.SplitHostPort(at.String())
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		devices := map[string]map[string]string{}
		for _, d := range h.devices {
			devices[d.Identity.DeviceID] = map[string]string{"connectionString": d.ConnectionString}
		}
		content, err := json.Marshal(map[string]any{
			"bind": "127.0.0.1", "ports": map[string]int{tt.port: port}, "ca": h.flags[3], "devices": devices,
		})
		if err != nil {
			t.Fatal(err)
		}
		h.list = filepath.Join(t.TempDir(), "hub.json")
		h.write(string(content))
		h.flags = []string{"-info", h.list}
		g := h.start("-transport", tt.transport, "-v")
		h.waitOnline(h.ids()...)
		g.want(&g.stderr, "device=dev1")
		if got := g.end(); got != 0 {
			t.Errorf("%s: got status %d, want 0", tt.transport, got)
		}
	}
}

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
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

// TestWrongCommandLines: what is wrong is named, and ends the program.
func TestWrongCommandLines(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list, none := file("list", ""), filepath.Join(folder, "none")
	info := file("info", `{"bind":"127.0.0.1","ports":{"amqp":1},"ca":"`+filepath.ToSlash(list)+`"}`)
	var all []desktest.Wrong
	wrong := func(args []string, names ...string) { all = append(all, desktest.Wrong{Args: args, Names: names}) }
	words := func(w ...string) []string { return w }
	with := func(args []string, names ...string) { wrong(append(words("-devices", list), args...), names...) }

	wrong(nil, "-devices", "-info")
	wrong(words("-devices"), "-devices")
	wrong(words("-devices", ""), "-devices")
	wrong(words("-info", "hub.json", "-devices", "devices.txt"), "-info", `"hub.json"`, "-devices", `"devices.txt"`)
	wrong(words("-device", "dev1"), `"-device"`)
	with(words("dev1"), `"dev1"`)
	wrong(words("-devices", none), "-devices", none)
	wrong(words("-devices", folder), "-devices", folder)
	wrong(words("-devices", "HostName=h;DeviceId=d;SharedAccessKey="+desktest.Key), "-devices")
	wrong(words("-info", none), "-info", none)
	wrong(words("-info", list), "-info", list)
	wrong(words("-info", info, "-ca", list), "-info", info, "-ca", list)
	wrong(words("-info", info, "-endpoint", "h:1"), "-info", info, "-endpoint", `"h:1"`)
	wrong(words("-info", info), "-ca", list) // which is none
	wrong(words("-info", info, "-transport", "amqp-ws"), "-info", "https")
	with(words("-transport", "mqtt"), "-transport", `"mqtt"`)
	with(words("-endpoint", "127.0.0.1"), "-endpoint", `"127.0.0.1"`)
	with(words("-endpoint", "127.0.0.1:0"), "-endpoint", `"127.0.0.1:0"`)
	with(words("-ca", none), "-ca", none)
	with(words("-ca", list), "-ca", list)
	with(words("-store", list), "-store", list)
	with(words("-proxy", "x"), "-proxy", `"x"`)
	with(words("-v=2"), "-v", `"2"`)

	ctx, cancel := context.WithTimeout(t.Context(), testPatience) // if one starts after all
	defer cancel()
	desktest.Check(t, "gateway", func(args []string, c desk.Console) int { return run(ctx, args, nil, c) }, all)
}

func TestHelp(t *testing.T) {
	var stdout, stderr told
	if code := run(t.Context(), []string{"-h"}, nil, desk.Console{Stdout: &stdout, Stderr: &stderr}); code != desk.ExitDone || stdout.String() != "" || !strings.Contains(stderr.String(), "SIGHUP") {
		t.Errorf("got status %d, stdout %q, stderr %q; want 0, nothing, and a word on SIGHUP", code, stdout.String(), stderr.String())
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

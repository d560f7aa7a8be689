package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// TestInfo finds the hub, and a device of each kind, in nothing but a file such
// as examples/hub writes; examples/backend tries one that it did write.
func TestInfo(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	made, err := d.hub.AddX509Device("dev2", nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := func(name string, content any) string {
		text, ok := content.([]byte)
		if !ok {
			if text, err = json.Marshal(content); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	port := func(p hubtest.Protocol) int { // speaks nothing else
		address, err := d.hub.Listen("127.0.0.1:0", p)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := net.SplitHostPort(address.String())
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	told := desk.Info{
		Bind:    "127.0.0.1",
		Ports:   map[string]int{"mqtt": port(hubtest.MQTT), "amqp": port(hubtest.AMQP), "https": port(hubtest.HTTPS)},
		CA:      d.flags[1],
		Devices: map[string]desk.DeviceInfo{"dev1": {ConnectionString: d.dev.ConnectionString}},
	}
	one := file("one", told)
	told.Devices["dev2"] = desk.DeviceInfo{ConnectionString: made.ConnectionString, Cert: file("cert", made.CertificatePEM), Key: file("key", made.KeyPEM)}
	two := file("two", told)

	d.flags, d.dev.ConnectionString = nil, ""
	for _, words := range [][]string{
		{"-info", one}, // the one device that there is
		{"-info", two, "-device", "dev1"},
		{"-info", two, "-device", "dev2"},
		{"-info", one, "-transport", "mqtt-ws"},
		{"-info", one, "-transport", "amqp"},
		{"-info", one, "-transport", "amqp-ws"},
		{"-info", one, "-transport", "auto"},
	} {
		code, stdout, stderr := d.run(d.ctx, append(words, "get")...)
		if code != desk.ExitDone || !strings.HasPrefix(stdout, `{"desired":`) {
			t.Errorf("%q: got status %d, stdout %q, stderr %q; want 0 and the twin", words[2:], code, stdout, stderr)
		}
	}
	told.Devices = nil
	none := file("none", told)
	told.Devices = map[string]desk.DeviceInfo{}
	for _, id := range []string{"7", "6", "5", "4", "3", "2", "1"} {
		told.Devices[id] = desk.DeviceInfo{}
	}
	many := file("many", told)
	for _, tt := range []struct {
		words []string
		says  string
	}{
		{[]string{"-info", two, "get"}, "missing -device; the hub began with: dev1, dev2 ("},
		{[]string{"-info", two, "-device", "dev3", "get"}, `-device "dev3": unknown in the -info file; the hub began with: dev1, dev2 (`},
		{[]string{"-info", none, "get"}, "the hub began without a device; start it with -device ID"},
		{[]string{"-info", many, "get"}, "the hub began with: 1, 2, 3, 4, 5 … and 2 more ("},
	} {
		if code, _, stderr := d.run(d.ctx, tt.words...); code != desk.ExitUsage || !strings.Contains(stderr, tt.says) {
			t.Errorf("%q: got status %d, stderr %q; want 2 and %q", tt.words[2:], code, stderr, tt.says)
		}
	}
}

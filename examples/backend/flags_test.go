package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secret is what must not be printed, wherever it stands.
const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

const good = "HostName=hub.example.org;SharedAccessKeyName=service;SharedAccessKey=" + secret

func environment(value string) func(string) string {
	return func(name string) string {
		if name == variable {
			return value
		}
		return ""
	}
}

// TestUsage holds that what is wrong on the command line ends with status 2
// and a line that says what to do, and that a secret in the wrong place is not
// printed.
func TestUsage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rubbish := file("rubbish", "no PEM, no JSON")
	ca := writeCA(t, newDesk(t).hub)
	info := func(name, devices string) string {
		return file(name, `{"bind":"127.0.0.1","ports":{"https":4},"ca":"`+filepath.ToSlash(ca)+`","service":{"connectionString":"`+good+`"},"devices":{`+devices+`}}`)
	}
	tests := []struct {
		args []string
		env  string
		says string
	}{
		{nil, good, "backend: say by -device which device"},
		{[]string{"-c", good}, "", "backend: say by -device which device"},
		{nil, "", "backend: say by -info or -c which hub, and by -device which device"},
		{[]string{"-device", "a b"}, good, "-device is an id"},
		{[]string{"-device", "dev1/mod"}, good, "-device is an id"},
		{[]string{"-device", good}, good, "looks like a connection string"},
		{[]string{"-device", "d", "now"}, good, "1 arguments too many"},
		{[]string{"-device", "d", "-x"}, good, "argument 3 of 3"},
		{[]string{"-device", "d", "-min", "cold"}, good, "argument 4 of 4"},
		{[]string{"-device", "d", "-create=" + good}, "", "argument 3 of 3"},
		{[]string{"-device", "d", "-min", "30"}, good, "not above the second"},
		{[]string{"-device", "d", "-max", "NaN"}, good, "not above the second"},
		{[]string{"-device", "d", "-max", "Inf"}, good, "not above the second"},
		{[]string{"-device", "d", "-wait", "-1s"}, good, "-wait and -timeout are times"},
		{[]string{"-device", "d", "-timeout", "0"}, good, "-wait and -timeout are times"},
		{[]string{"-device", "d", "-page", "0"}, good, "-page is a number"},
		{[]string{"-device", "d", "-payload", "1"}, good, "-payload has no -method"},
		{[]string{"-device", "d", "-method", "m", "-payload", good}, good, "-payload is no JSON"},
		{[]string{"-device", "d", "-desired", ""}, good, "-desired is no JSON object"},
		{[]string{"-device", "d", "-desired", "5"}, good, "-desired is no JSON object"},
		{[]string{"-device", "d", "-desired", "{}"}, good, "-desired is no JSON object"},
		{[]string{"-device", "d", "-desired", `{"interval":5} {}`}, good, "-desired is no JSON object"},
		{[]string{"-device", "d", "-desired", good}, good, "-desired is no JSON object"},
		{[]string{"-device", "d", "-desired", `{"interval":5}`, "-fan=false"}, good, "in place of -min, -max and -fan"},
		{[]string{"-device", "d"}, "", "set IOTHUB_CONNECTION_STRING, or give -c or -info"},
		{[]string{"-device", "d"}, "HostName=hub.example.org;DeviceId=d;SharedAccessKey=" + secret, "looks like a device's string"},
		{[]string{"-device", "d", "-c", secret}, good, "connection string"}, // -c goes before the environment
		{[]string{"-device", "d", "-endpoint", "localhost"}, good, "-endpoint is no host:port"},
		{[]string{"-device", "d", "-endpoint", good}, good, "-endpoint is no host:port"},
		{[]string{"-device", "d", "-endpoint", "localhost:0"}, good, "-endpoint is no host:port"},
		{[]string{"-device", "d", "-ca", good}, good, "-ca: the file cannot be read"},
		{[]string{"-device", "d", "-ca", rubbish}, good, "no certificate in PEM"},
		{[]string{"-device", "d", "-proxy", good}, good, "-proxy is a URL"},
		{[]string{"-device", "d", "-proxy", "ftp://" + secret + "@h"}, good, "-proxy, or HTTPS_PROXY"},
		{[]string{"-info", filepath.Join(folder, "hub.json")}, "", "no file " + filepath.Join(folder, "hub.json") + "; the hub writes it when it is up"},
		{[]string{"-info", good}, "", "there is no file of that name; the hub writes it when it is up"},
		{[]string{"-info", folder}, "", "-info: the file cannot be read: "},
		{[]string{"-info", rubbish}, "", "none that examples/hub -info wrote"},
		{[]string{"-info", file("empty", "{}")}, "", "none that examples/hub -info wrote"},
		{[]string{"-info", rubbish, "-c", good}, "", "in place of -c"},
		{[]string{"-info", info("none", "")}, "", "say by -device which one; the hub began with none"},
		{[]string{"-info", info("two", `"dev2":{},"dev1":{}`)}, "", "say by -device which one; the hub began with: dev1, dev2 ("},
		{[]string{"-info", info("five", `"5":{},"4":{},"3":{},"2":{},"1":{}`)}, "", "the hub began with: 1, 2, 3, 4, 5 ("},
		{[]string{"-info", info("seven", `"7":{},"6":{},"5":{},"4":{},"3":{},"2":{},"1":{}`)}, "", "the hub began with: 1, 2, 3, 4, 5 … and 2 more ("},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), tt.args, environment(tt.env), &stdout, &stderr)
		if code != exitUsage || stdout.Len() != 0 || !strings.Contains(stderr.String(), tt.says) {
			t.Errorf("%q: got status %d, stdout %q, stderr %q; want 2, nothing, and %q", tt.args, code, &stdout, &stderr, tt.says)
		}
		if strings.Contains(stderr.String(), secret) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: got stderr %q; want one line without the secret", tt.args, &stderr)
		}
	}

	one := info("one", `"dev1":{}`)
	for _, tt := range []struct {
		args   []string
		device string
	}{
		{[]string{"-info", one}, "dev1"},
		{[]string{"-info", one, "-device", "new1", "-proxy", "none"}, "new1"},
		{[]string{"-c", good, "-device", "dev2", "-proxy", "http://proxy.example:3128"}, "dev2"},
	} {
		j, err := parse(tt.args, environment(""), os.Stderr)
		if err != nil || j.device != tt.device || j.page != defaultPage || j.wait != defaultWait || j.timeout != defaultTimeout || j.payload != nil {
			t.Errorf("%q: got %+v, %v; want the device %s, and the defaults", tt.args, j, err, tt.device)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-h"}, {"-help"}, {"-v", "--help", "get"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, environment(good), &stdout, &stderr); code != exitDone || stdout.Len() != 0 || stderr.String() != usage {
			t.Errorf("%q: got status %d, stdout %q, stderr\n%s\nwant 0, nothing, and the usage", args, code, &stdout, &stderr)
		}
	}
}

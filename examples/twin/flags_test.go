package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// secret is what must not be printed, wherever it stands.
const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

const good = "HostName=hub.example.org;DeviceId=dev1;SharedAccessKey=" + secret

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
	rubbish := filepath.Join(t.TempDir(), "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		env  string
		says string
	}{
		{nil, good, "there is no command"},
		{[]string{"-v"}, good, "there is no command"},
		{[]string{"delete"}, good, "the command is unknown"},
		{[]string{good, "get"}, "", "the command is unknown"},
		{[]string{"get", "fan"}, good, "get takes no argument"},
		{[]string{"get", "-v"}, good, "flags stand before the command"},
		{[]string{"report"}, good, "report takes one argument"},
		{[]string{"report", "{a:", "1}"}, good, "quote it for the shell"},
		{[]string{"watch", "a", "b"}, good, "watch takes one path at most"},
		{[]string{"watch", "\xff"}, good, "no property can stand at this path"},
		{[]string{"watch", strings.Repeat("a.", 64) + "a"}, good, "no property can stand at this path"},
		{[]string{"-x", "get"}, good, "argument 1 of 2"},
		{[]string{"-v", "-timeout"}, good, "argument 2 of 2"},
		{[]string{"-=" + good, "get"}, "", "argument 1 of 2"},
		{[]string{"-v=" + good, "get"}, "", "argument 1 of 2"},
		{[]string{"-transport", "tcp", "get"}, good, "-transport is mqtt, mqtt-ws, amqp, amqp-ws or auto"},
		{[]string{"-transport", good, "get"}, "", "-transport is mqtt, mqtt-ws, amqp, amqp-ws or auto"},
		{[]string{"-ack", "watch"}, good, "-ack is for watch with a path"},
		{[]string{"-ack", "get"}, good, "-ack is for watch with a path"},
		{[]string{"-info", filepath.Join(t.TempDir(), "hub.json"), "get"}, "", "hub.json; the hub writes it when it is up"},
		{[]string{"-info", good, "get"}, "", "there is no file of that name; the hub writes it when it is up"},
		{[]string{"-info", t.TempDir(), "get"}, "", "-info: the file cannot be read: "},
		{[]string{"-info", rubbish, "get"}, "", "none that examples/hub -info wrote"},
		{[]string{"-info", rubbish, "-c", good, "get"}, "", "in place of -c"},
		{[]string{"-proxy", good, "get"}, good, "-proxy is a URL"},
		{[]string{"-proxy", "ftp://" + secret + "@h", "get"}, good, "-proxy, or HTTPS_PROXY"},
		{[]string{"-timeout", "30", "get"}, good, "-timeout is no time above zero"},
		{[]string{"-timeout", "-1s", "get"}, good, "-timeout is no time above zero"},
		{[]string{"-timeout", good, "get"}, "", "-timeout is no time above zero"},
		{[]string{"-timeout", "1s", "watch"}, good, "-timeout is for get and report"},
		{[]string{"-endpoint", "localhost", "get"}, good, "-endpoint is no host:port"},
		{[]string{"-endpoint", ":8883", "get"}, good, "-endpoint is no host:port"},
		{[]string{"-endpoint", "localhost:0", "get"}, good, "-endpoint is no host:port"},
		{[]string{"-endpoint", "localhost:mqtts", "get"}, good, "-endpoint is no host:port"},
		{[]string{"-endpoint", "localhost:65536", "get"}, good, "-endpoint is no host:port"},
		{[]string{"-endpoint", good, "get"}, "", "-endpoint is no host:port"},
		{[]string{"-ca", filepath.Join(t.TempDir(), "none"), "get"}, good, "-ca: the file cannot be read"},
		{[]string{"-ca", good, "get"}, "", "-ca: the file cannot be read"},
		{[]string{"-ca", rubbish, "get"}, good, "no certificate in PEM"},
		{[]string{"get"}, "", "set IOTHUB_DEVICE_CONNECTION_STRING, or give -c"},
		{[]string{"-c", secret, "get"}, good, "connection string"}, // -c goes before the environment
		{[]string{"get"}, "HostName=hub.example.org;SharedAccessKey=" + secret, "DeviceId is missing"},
		{[]string{"get"}, "HostName=hub.example.org;DeviceId=dev1;SharedAccessKey=!" + secret, "SharedAccessKey"},
		{[]string{"get"}, "HostName=hub.example.org;DeviceId=dev1;x509=true", "give -cert and -key, or -pfx"},
		{[]string{"-cert", rubbish, "get"}, good, "no \"CERTIFICATE\" block"},
		{[]string{"-cert", good, "get"}, "HostName=h.example.org;DeviceId=d;x509=true", "cannot be read"},
		{[]string{"-pfx", rubbish, "get"}, good, "PFX"},
		{[]string{"-pfx", rubbish, "-cert", rubbish, "get"}, good, "-pfx holds certificate and key"},
		{[]string{"-key", good, "get"}, good, "-key has no -cert"},
		{[]string{"-pass", secret, "get"}, good, "-pass has no -key"},
		{[]string{"-pass", "env:NONE", "-pfx", rubbish, "get"}, good, "variable is not set"},
		{[]string{"-pass", "file:" + good, "-pfx", rubbish, "get"}, good, "-pass: the file cannot be read"},
		{[]string{"-pass", "file:" + empty, "-pfx", rubbish, "get"}, good, "no first line"},
		{[]string{"-hostname", "hub.example.org", "get"}, good, "go together"},
		{[]string{"-device", good, "get"}, "", "go together"},
		{[]string{"-hostname", "hub.example.org", "-device", "d", "-c", good, "get"}, "", "in place of -c"},
		{[]string{"-hostname", "hub.example.org", "-device", "d/m", "get"}, "", "give -cert and -key, or -pfx"},
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

func TestDefaults(t *testing.T) {
	t.Parallel()
	tool, err := parse([]string{"report", `{"a":null}`}, environment(good+";\n"))
	if err != nil {
		t.Fatal(err)
	}
	if tool.timeout != 30*time.Second || tool.verbose || tool.command != "report" || tool.patch.String() != `{"a":null}` ||
		tool.id.String() != "dev1@hub.example.org" {
		t.Errorf("got time-out %v, verbose %t, command %q, patch %v, identity %v", tool.timeout, tool.verbose, tool.command, tool.patch, tool.id)
	}
}

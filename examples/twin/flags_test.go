package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

const good = "HostName=hub.example.org;DeviceId=dev1;SharedAccessKey=" + desktest.Key

func console(connection string) desk.Console {
	return desk.Console{
		Env: func(name string) string { return map[string]string{desk.DeviceVariable: connection}[name] },
		// Nothing is typed.
		Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{},
	}
}

// TestWrongCommandLines: what is wrong is named, and no secret is printed.
func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rubbish, empty, none := file("rubbish.pem", "no PEM"), file("empty", ""), filepath.Join(folder, "none")
	portless := file("portless.json", `{"bind":"127.0.0.1","ca":"ca.pem","ports":{"mqtt":1},"devices":{"dev1":{"connectionString":"`+good+`"}}}`)
	deviceless := file("deviceless.json", `{"bind":"127.0.0.1","ca":"ca.pem","ports":{"mqtt":1}}`)
	words := func(w ...string) []string { return w }
	var all []desktest.Wrong
	wrong := func(connection string, args []string, names ...string) {
		all = append(all, desktest.Wrong{Args: args, Env: map[string]string{desk.DeviceVariable: connection}, Names: names})
	}
	refused := func(args []string, names ...string) {
		wrong(good, args, names...)
		all[len(all)-1].Code = desk.ExitRefused
	}

	// Commands and their words.
	wrong(good, nil, "get, set, report, send or watch")
	wrong(good, words("-v"), "command")
	wrong(good, words("delete"), `"delete"`)
	wrong(good, words("Get"), `"Get"`)
	wrong("", words(good, "get"), "command")
	wrong(good, words("get", "a", "b"), "get", `"b"`)
	wrong(good, words("get", ""), "get", `""`)
	wrong(good, words("get", "-v"), `"-v"`)
	wrong(good, words("watch", "-ack"), `"-ack"`)
	wrong(good, words("watch", "a", "b"), "watch", `"b"`)
	wrong(good, words("watch", "\xff"), "watch", `"\xff"`)
	wrong(good, words("watch", strings.Repeat("a.", 64)+"a"), "watch", `"a.a.a.`)
	wrong(good, words("-ack", "watch"), "-ack", "watch")
	wrong(good, words("-ack", "get"), "-ack", "get")
	wrong(good, words("report"), "report")
	wrong(good, words("report", "{a:", "1}"), "report", `"1}"`)
	wrong(good, words("report", "@"+none), "report", none)
	wrong(good, words("report", "@"+folder), "report", folder)
	wrong("", words("report", "@"+good), "report")
	wrong(good, words("set"), "set")
	wrong(good, words("set", "fan"), "set", `"fan"`)
	wrong(good, words("set", "=1"), "set", `"=1"`)
	wrong(good, words("set", "a=1", "a=2"), "set", `"a=2"`)
	wrong(good, words("set", "a.b=1", "a=2"), "set", `"a=2"`, `"a.b"`)
	wrong(good, words("set", "a=1", "a.b=2"), "set", `"a.b=2"`, `"a"`)
	wrong(good, words("set", "\xff=1"), "set", `"\xff=1"`)

	wrong(good, words("send"), "send", "body")
	wrong(good, words("send", "too", "hot"), "send", `"hot"`)
	wrong(good, words("send", "@"+none), "send", none)
	wrong(good, words("send", "-v"), `"-v"`)
	wrong(good, words("-property", "alert", "send", "x"), "-property", `"alert"`, "NAME=VALUE")
	wrong(good, words("-property", "=x", "send", "x"), "-property", `"=x"`)
	wrong(good, words("-property", "a=1", "-property", "a=2", "send", "x"), "-property", `"a=2"`)
	wrong("", words("-property", good, "-property", good, "send", "x"), "-property")
	wrong(good, words("-property", "a=1", "get"), "-property", "get", "send")
	wrong(good, words("-content-type", "a/b", "watch"), "-content-type", "watch", "send")

	// Patches that no hub would take.
	refused(words("report", "fan=1"), "report", `"fan=1"`)
	refused(words("report", "[1]"), "report", `"[1]"`)
	refused(words("report", `{"a":1`), "report", `"{\"a\":1"`)
	refused(words("report", good), "report")
	refused(words("report", "-"), "report", `"-"`)
	refused(words("report", "@"+rubbish), "report", rubbish)
	refused(words("report", `{"a":"`+strings.Repeat("x", 4097)+`"}`), "report", "reported", "4096")
	refused(words("report", `{"a":`+texts(9)+`}`), "report", "reported")
	refused(words("report", `{"$version":7}`), "report", "$version")
	refused(words("set", "a b=1"), "set", "a b")
	refused(words("set", "#=1"), "set", `"#"`)
	refused(words("set", "a=9007199254740993"), "set", `"a"`)
	refused(words("set", "a=[null]"), "set", `"a`)

	// Flags.
	wrong(good, words("-x", "get"), `"-x"`)
	wrong(good, words("-tranport", "mqtt", "get"), `"-tranport"`)
	wrong(good, words("-v", "-timeout"), "-timeout")
	wrong(good, words("-c"), "-c")
	wrong("", words("-="+good, "get"), "flag")
	wrong("", words("-v="+good, "get"), "-v")
	wrong(good, words("-ack=maybe", "watch", "a"), "-ack", `"maybe"`)
	wrong(good, words("-transport", "tcp", "get"), "-transport", `"tcp"`)
	wrong("", words("-transport", good, "get"), "-transport")
	wrong(good, words("-timeout", "30", "get"), "-timeout", `"30"`, "30s")
	wrong(good, words("-timeout", "soon", "get"), "-timeout", `"soon"`)
	wrong(good, words("-timeout", "-1s", "get"), "-timeout", "-1s")
	wrong(good, words("-timeout", "0", "get"), "-timeout", "0")
	wrong("", words("-timeout", good, "get"), "-timeout")
	wrong(good, words("-timeout", "1s", "watch"), "-timeout", "1s", "watch")
	for _, endpoint := range []string{"localhost", ":8883", "localhost:0", "localhost:mqtts", "localhost:65536", "https://localhost:443"} {
		wrong(good, words("-endpoint", endpoint, "get"), "-endpoint", `"`+endpoint+`"`)
	}
	wrong("", words("-endpoint", good, "get"), "-endpoint")
	wrong(good, words("-ca", none, "get"), "-ca", none)
	wrong(good, words("-ca", folder, "get"), "-ca", folder)
	wrong("", words("-ca", good, "get"), "-ca")
	wrong(good, words("-ca", rubbish, "get"), "-ca", rubbish)
	wrong(good, words("-proxy", "proxy.example:3128", "get"), "-proxy", `"proxy.example:3128"`)
	wrong(good, words("-proxy", "ftp://proxy.example", "get"), "-proxy", `"ftp://proxy.example"`)
	wrong(good, words("-proxy", good, "get"), "-proxy")
	wrong(good, words("-proxy", "ftp://"+desktest.Key+"@h", "get"), "-proxy")
	for _, environment := range []map[string]string{
		{"HTTPS_PROXY": "ftp://proxy.example"}, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": strings.Repeat("a,", 1001)},
	} {
		environment[desk.DeviceVariable] = good
		name := "HTTPS_PROXY"
		if environment["NO_PROXY"] != "" {
			name = "NO_PROXY"
		}
		all = append(all, desktest.Wrong{Args: words("get"), Env: environment, Names: []string{name}})
	}

	// The identity.
	wrong("", words("get"), desk.DeviceVariable, "-c")
	wrong(good, words("-c", desktest.Key, "get"), "-c") // which goes before the environment
	wrong("HostName=hub.example.org;SharedAccessKey="+desktest.Key, words("get"), desk.DeviceVariable, "DeviceId")
	wrong("HostName=hub.example.org;DeviceId=dev1;SharedAccessKey=!"+desktest.Key, words("get"), desk.DeviceVariable, "SharedAccessKey")
	wrong("HostName=hub.example.org;DeviceId=dev1;SharedAccesKey="+desktest.Key, words("get"), desk.DeviceVariable, "SharedAccesKey")
	wrong("HostName=myhub;DeviceId=dev1;SharedAccessKey="+desktest.Key, words("get"), desk.DeviceVariable, "myhub")
	wrong("HostName=hub.example.org;DeviceId=dev1;x509=true", words("get"), "dev1", "-cert", "-pfx")
	wrong("", words("-hostname", "hub.example.org", "get"), "-hostname", `"hub.example.org"`, "-device")
	wrong("", words("-device", "dev1", "get"), "-device", `"dev1"`, "-hostname")
	wrong("", words("-device", good, "get"), "-device")
	wrong("", words("-hostname", "hub.example.org", "-device", "d", "-c", good, "get"), "-hostname", "-c")
	wrong("", words("-device", "d", "-c", good, "get"), "-device", `"d"`, "-c")
	wrong("", words("-hostname", "a b", "-device", "d", "get"), "-hostname", `"a b"`)
	wrong("", words("-hostname", "hub.example.org", "-device", "a b", "get"), "-device", `"a b"`)
	wrong("", words("-hostname", "hub.example.org", "-device", "d/", "get"), "-device", `"d/"`)
	wrong("", words("-hostname", "hub.example.org", "-device", "d/m", "get"), "-cert", "-pfx")

	// Certificates and their passphrases.
	named := func(w ...string) []string { return append(words("-hostname", "hub.example.org", "-device", "d"), w...) }
	wrong("", named("-cert", rubbish, "get"), "-cert", rubbish)
	wrong("", named("-cert", none, "-key", rubbish, "get"), "-cert", none)
	wrong("", named("-cert", rubbish, "-key", none, "get"), "-key", none)
	wrong("", named("-cert", good, "get"), "-cert")
	wrong("", named("-pfx", none, "get"), "-pfx", none)
	wrong("", named("-pfx", rubbish, "get"), "-pfx", rubbish)
	wrong("", named("-pfx", rubbish, "-cert", rubbish, "get"), "-pfx", rubbish, "-cert")
	wrong("", named("-key", rubbish, "get"), "-key", rubbish, "-cert")
	wrong("", named("-key", good, "get"), "-key")
	wrong("", named("-pass", desktest.Key, "get"), "-pass")
	wrong("", named("-pass", "env:NONE", "-pfx", rubbish, "get"), "-pass", "env:NONE")
	wrong("", named("-pass", "file:"+none, "-pfx", rubbish, "get"), "-pass", none)
	wrong("", named("-pass", "file:"+good, "-pfx", rubbish, "get"), "-pass")
	wrong("", named("-pass", "file:"+empty, "-pfx", rubbish, "get"), "-pass", empty)

	// The file of a hub.
	hubJSON := filepath.Join(folder, "hub.json")
	wrong("", words("-info", hubJSON, "get"), "-info", hubJSON)
	wrong("", words("-info", "/nope/x.json", "get"), "-info", `"/nope/x.json"`)
	wrong("", words("-info", "", "get"), "-info", `""`)
	wrong("", words("-info", good, "get"), "-info")
	wrong("", words("-info", folder, "get"), "-info", folder)
	wrong("", words("-info", rubbish, "get"), "-info", rubbish)
	wrong("", words("-info", deviceless, "get"), "-info", "-device")
	wrong("", words("-info", portless, "-device", "dev7", "get"), "-device", `"dev7"`, "dev1")
	wrong("", words("-info", portless, "-transport", "amqp", "get"), "-info", "amqp")
	wrong("", words("-info", rubbish, "-c", good, "get"), "-info", "-c")
	wrong("", words("-info", rubbish, "-ca", rubbish, "get"), "-info", "-ca")
	wrong("", words("-info", rubbish, "-hostname", "h", "get"), "-info", "-hostname", `"h"`)
	wrong("", words("-info", rubbish, "-endpoint", "h:1", "get"), "-info", "-endpoint", `"h:1"`)
	wrong("", words("-info", rubbish, "-pass", "tiger", "get"), "-info", "-pass")

	ctx, cancel := context.WithTimeout(t.Context(), patience) // if one is obeyed after all
	defer cancel()
	desktest.Check(t, "twin", func(args []string, c desk.Console) int { return run(ctx, args, c) }, all, "tiger")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-h"}, {"-help"}, {"-v", "--help", "get"}} {
		var stdout, stderr bytes.Buffer
		c := console(good)
		c.Stdout, c.Stderr = &stdout, &stderr
		if code := run(t.Context(), args, c); code != desk.ExitDone || stdout.Len() != 0 || stderr.String() != usage {
			t.Errorf("%q: got status %d, stdout %q, stderr\n%s\nwant 0, nothing, and the usage", args, code, &stdout, &stderr)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	tool, err := parse(t.Context(), []string{"report", `{"a":null}`}, console(good+";\n"))
	if err != nil {
		t.Fatal(err)
	}
	if tool.timeout != defaultTimeout || tool.verbose || tool.command != "report" || tool.patch.String() != `{"a":null}` ||
		tool.id.String() != "dev1@hub.example.org" {
		t.Errorf("got time-out %v, verbose %t, command %q, patch %v, identity %v", tool.timeout, tool.verbose, tool.command, tool.patch, tool.id)
	}
}

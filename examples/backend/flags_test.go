package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

const good = "HostName=hub.example.org;SharedAccessKeyName=service;SharedAccessKey=" + desktest.Key

func environment(value string) func(string) string {
	return func(name string) string { return map[string]string{variable: value}[name] }
}

// A folder has the files of the test, of which one is a hub's.
type folder struct {
	*testing.T
	path, ca string
}

func newFolder(t *testing.T) folder {
	return folder{t, t.TempDir(), writeCA(t, newRig(t).hub)}
}

func (f folder) file(name, text string) string {
	f.Helper()
	path := filepath.Join(f.path, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	return path
}

func (f folder) info(name, devices string) string {
	f.Helper()
	return f.file(name, `{"bind":"127.0.0.1","ports":{"https":4},"ca":"`+filepath.ToSlash(f.ca)+`","service":{"connectionString":"`+good+`"},"devices":{`+devices+`}}`)
}

// TestWrongCommandLines: what is wrong is named, and no secret is printed.
func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	folder := newFolder(t)
	rubbish, none := folder.file("rubbish", "no PEM, no JSON"), filepath.Join(folder.path, "none")
	words := func(w ...string) []string { return w }
	var all []desktest.Wrong
	wrong := func(connection string, args []string, names ...string) {
		all = append(all, desktest.Wrong{Args: args, Env: map[string]string{variable: connection}, Names: names})
	}
	with := func(args []string, names ...string) { wrong(good, append(words("-device", "dev1"), args...), names...) }

	wrong(good, nil, "-device")
	wrong("", words("-c", good), "-device")
	wrong("", nil, "-info", "-c", variable, "-device")
	wrong(good, words("-device", "a b"), "-device", `"a b"`)
	wrong(good, words("-device", "dev1/mod"), "-device", `"dev1/mod"`)
	wrong(good, words("-device", good), "-device", "-c")
	wrong(good, words("-device"), "-device")
	with(words("now"), `"now"`)
	with(words(good), "after the flags")
	with(words("-x"), `"-x"`)
	with(words("-fan", "maybe"), `"maybe"`)
	with(words("-fan=maybe"), "-fan", `"maybe"`)
	with(words("-create="+good), "-create")
	with(words("-min", "cold"), "-min", `"cold"`)
	with(words("-max", "foo"), "-max", `"foo"`)
	with(words("-max", "1e999"), "-max", `"1e999"`)
	with(words("-min", "30"), "-min", "30", "-max", "24")
	with(words("-min", "-Inf"), "-min", "-Inf")
	with(words("-max", "NaN"), "-max", "NaN")
	with(words("-max", "Inf"), "-max", "Inf")
	with(words("-wait", "1"), "-wait", `"1"`, "1s")
	with(words("-wait", "-1s"), "-wait", "-1s")
	with(words("-wait", good), "-wait")
	with(words("-timeout", "0"), "-timeout", "0")
	with(words("-timeout", "5"), "-timeout", `"5"`, "5s")
	with(words("-page", "0"), "-page", "0")
	with(words("-page", "many"), "-page", `"many"`)
	with(words("-page", "1.5"), "-page", `"1.5"`)
	with(words("-payload", "1"), "-payload", `"1"`, "-method")
	with(words("-method", "m", "-payload", "{a}"), "-payload", `"{a}"`)
	with(words("-method", "m", "-payload", good), "-payload")
	for _, patch := range []string{"", "5", "{}", `{"interval":5} {}`, "{interval:5}"} {
		with(words("-desired", patch), "-desired", desk.Quote(patch))
	}
	with(words("-desired", good), "-desired")
	with(words("-desired", `{"interval":5}`, "-fan=false"), "-desired", "-fan")
	with(words("-desired", `{"interval":5}`, "-min", "1"), "-desired", "-min")

	wrong("", words("-device", "dev1"), variable, "-c", "-info")
	wrong("HostName=hub.example.org;DeviceId=d;SharedAccessKey="+desktest.Key, words("-device", "dev1"), variable)
	with(words("-c", desktest.Key), "-c") // which goes before the environment
	for _, endpoint := range []string{"localhost", "localhost:0", ":443", "localhost:https"} {
		with(words("-endpoint", endpoint), "-endpoint", `"`+endpoint+`"`)
	}
	with(words("-endpoint", good), "-endpoint")
	with(words("-ca", none), "-ca", none)
	with(words("-ca", good), "-ca")
	with(words("-ca", rubbish), "-ca", rubbish)
	with(words("-proxy", "proxy.example"), "-proxy", `"proxy.example"`)
	with(words("-proxy", good), "-proxy")
	with(words("-proxy", "ftp://"+desktest.Key+"@h"), "-proxy")
	all = append(all, desktest.Wrong{
		Args: words("-device", "dev1"), Env: map[string]string{variable: good, "HTTPS_PROXY": "ftp://proxy.example"},
		Names: words("HTTPS_PROXY"),
	})

	hubJSON := filepath.Join(folder.path, "hub.json")
	wrong("", words("-info", hubJSON), "-info", hubJSON)
	wrong("", words("-info", "/nope/x.json"), "-info", `"/nope/x.json"`)
	wrong("", words("-info", good), "-info")
	wrong("", words("-info", ""), "-info", `""`)
	wrong("", words("-info", folder.path), "-info", folder.path)
	wrong("", words("-info", rubbish), "-info", rubbish)
	empty := folder.file("empty", "{}")
	wrong("", words("-info", empty), "-info", empty)
	wrong("", words("-info", rubbish, "-c", good), "-info", "-c")
	wrong("", words("-info", rubbish, "-endpoint", "h:1"), "-info", "-endpoint")
	wrong("", words("-info", folder.info("none-there", "")), "-device")
	wrong("", words("-info", folder.info("two", `"dev2":{},"dev1":{}`)), "-device", "dev1, dev2")
	wrong("", words("-info", folder.info("seven", `"7":{},"6":{},"5":{},"4":{},"3":{},"2":{},"1":{}`)), "-device", "1, 2, 3, 4, 5")

	desktest.Check(t, "backend", func(args []string, c desk.Console) int { return run(t.Context(), args, c) }, all)
}

func TestRightCommandLines(t *testing.T) {
	t.Parallel()
	one := newFolder(t).info("one", `"dev1":{}`)
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
		code := run(t.Context(), args, desk.Console{Env: environment(good), Stdout: &stdout, Stderr: &stderr})
		if code != desk.ExitDone || stdout.Len() != 0 || stderr.String() != usage {
			t.Errorf("%q: got status %d, stdout %q, stderr\n%s\nwant 0, nothing, and the usage", args, code, &stdout, &stderr)
		}
	}
}

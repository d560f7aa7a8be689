package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
)

func TestList(t *testing.T) {
	const key = ";SharedAccessKey=c2VjcmV0"
	a, b := "HostName=hub.example;DeviceId=a"+key, "HostName=hub.example;DeviceId=b"+key
	tests := []struct {
		desc, text string
		names      []string
		wrong      []string // beginnings
	}{
		{"an empty file", "", nil, nil},
		{"comments and empty lines", "# hall 3\n\n  \n\t# " + a + "\n", nil, nil},
		{"two devices", a + "\n" + b + "\n", []string{"a", "b"}, nil},
		{"lines of Windows, and no end of the last", a + "\r\n" + b, []string{"a", "b"}, nil},
		{"a module beside its device", a + "\n" + a + ";ModuleId=m\n", []string{"a", "a/m"}, nil},
		{"a device at two hubs", a + "\n" + strings.Replace(a, "hub.", "hub2.", 1), []string{"a", "a"}, nil},
		{"a device twice", a + "\n\n" + a, []string{"a"}, []string{"line 3 is skipped: a stands there already, at line 1"}},
		{"a broken line between", a + "\nHostName=hub.example\n" + b, []string{"a", "b"}, []string{"line 2 is skipped: auth: connection string: "}},
		{"a certificate", "HostName=hub.example;DeviceId=c;x509=true", nil, []string{"line 1 is skipped: this device proves itself by a certificate"}},
		{"a byte-order mark", "\ufeff# hall 3\n" + a, []string{"a"}, nil},
		{"a hub's name in two cases", a + "\n" + strings.Replace(a, "hub.", "HUB.", 1), []string{"a"}, []string{"line 2 is skipped: a stands there already"}},
		{"something else", "{\n}", nil, []string{"line 1 is skipped: ", "line 2 is skipped: "}},
	}
	for _, tt := range tests {
		name := filepath.Join(t.TempDir(), "devices.txt")
		if err := os.WriteFile(name, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		entries, wrong, err := list{devices: name}.read()
		if err != nil {
			t.Errorf("%s: got %v, want no error", tt.desc, err)
		}
		var names, texts []string
		for _, e := range entries {
			names = append(names, e.name())
		}
		for _, err := range wrong {
			texts = append(texts, err.Error())
			if strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("%s: a key was told: %v", tt.desc, err)
			}
		}
		if !slices.Equal(names, tt.names) || !slices.EqualFunc(texts, tt.wrong, strings.HasPrefix) {
			t.Errorf("%s: got %q and %q, want %q and %q", tt.desc, names, texts, tt.names, tt.wrong)
		}
	}
}

// Each device of each hub has a store of its own, whose name every file system
// takes.
func TestStoreNames(t *testing.T) {
	long := strings.Repeat("#", 128)
	seen := map[string]auth.Identity{}
	for _, id := range []auth.Identity{
		{Host: "hub.example", DeviceID: "dev1"}, {Host: "hub2.example", DeviceID: "dev1"}, {Host: "hub.example", DeviceID: "Dev1"},
		{Host: "hub.example", DeviceID: "dev1", ModuleID: "m"}, {Host: "hub.example", DeviceID: "dev1_m"}, {Host: "hub.example", DeviceID: "dev1%2Fm"},
		{Host: "hub.example", DeviceID: long}, {Host: "hub.example", DeviceID: long, ModuleID: long}, {Host: "hub.example", DeviceID: "..."},
	} {
		name := entry{id: id}.storeName()
		if first, dup := seen[name]; dup || len(name) > 100 || name != filepath.Base(name) || name != strings.ToLower(name) {
			t.Errorf("%v has the store %q, as %v", id, name, first)
		}
		seen[name] = id
	}
	if a, b := (entry{id: auth.Identity{Host: "hub.example", DeviceID: "d"}}), (entry{id: auth.Identity{Host: "HUB.example", DeviceID: "d"}}); a.storeName() != b.storeName() {
		t.Error("a hub's name in another case is another store")
	}
}

// No more devices are held than a machine can.
func TestListBounds(t *testing.T) {
	var r reading
	r.entries = make([]entry, maxDevices-1)
	r.takeLines([]byte("HostName=h.example;DeviceId=a;SharedAccessKey=YQ==\nHostName=h.example;DeviceId=b;SharedAccessKey=YQ==\n"))
	if len(r.entries) != maxDevices || len(r.wrong) != 1 || !strings.Contains(r.wrong[0].Error(), "another gateway") {
		t.Errorf("devices too many: got %d and %v, want %d and a word on another gateway", len(r.entries), r.wrong, maxDevices)
	}
}

// FuzzLines holds that every line is a device, wrong, or skipped on purpose, and
// no device is there twice.
func FuzzLines(f *testing.F) {
	f.Add([]byte("HostName=hub.example;DeviceId=a;SharedAccessKey=c2VjcmV0\n# b\r\n\nx"))
	f.Add([]byte("HostName=h.example;DeviceId=a;x509=true\n\n\nHostName=h.example;DeviceId=a;ModuleId=m;SharedAccessKey=YQ=="))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := 0
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
				lines++
			}
		}
		var r reading
		r.takeLines(text)
		if got := len(r.entries) + len(r.wrong); got != lines {
			t.Errorf("got %d devices and wrong lines, want %d", got, lines)
		}
		seen := map[string]bool{}
		for _, e := range r.entries {
			if seen[e.key()] || e.cred == nil || e.id.Validate() != nil {
				t.Errorf("%v is there twice, has no credential, or is invalid", e.id)
			}
			seen[e.key()] = true
		}
	})
}

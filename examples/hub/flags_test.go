package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusals holds that what is wrong is said by name, and leaves nothing
// behind: each program ends by itself.
func TestRefusals(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, takenPort, _ := net.SplitHostPort(taken.Addr().String())
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		desc  string
		flags []string
		code  int
		want  string
	}{
		{"an unknown flag", []string{"-amqps", "1"}, 2, "-amqps"},
		{"arguments after the flags", []string{"dev1"}, 2, "too many"},
		{"no number for a port", []string{"-mqtt", "x"}, 2, "-mqtt"},
		{"a port that is none", []string{"-mqtt", "65536"}, 2, "-mqtt"},
		{"every address, and no name", []string{"-bind", "0.0.0.0"}, 2, "-hostname"},
		{"a device twice", []string{"-device", "dev1", "-x509-device", "dev1"}, 2, `"dev1" is there twice`},
		{"no number of devices", []string{"-devices", "many"}, 2, "-devices: it is a number up to 5000"},
		{"too many devices", []string{"-devices", "5001"}, 2, "-devices: it is a number up to 5000"},
		{"a device of those many", []string{"-devices", "2", "-device", "device-002"}, 2, `"device-002" is there twice`},
		{"a policy without permissions", []string{"-policy", "dash"}, 2, "name=permission"},
		{"no such file", []string{"-config", filepath.Join(folder, "none")}, 2, "-config"},
		{"a file that is no JSON", []string{"-config", file("a", "devices:")}, 2, "-config"},
		{"a misspelt key", []string{"-config", file("b", `{"devices":[{"id":"dev1","primarykey2":"x"}]}`)}, 2, "primarykey2"},
		{"two objects in a file", []string{"-config", file("c", `{} {}`)}, 2, "one is all"},
		{"an unknown auth", []string{"-config", file("d", `{"devices":[{"id":"dev1","auth":"tpm"}]}`)}, 2, `"tpm" is unknown`},
		{"keys beside a certificate", []string{"-config", file("e", `{"devices":[{"id":"dev1","auth":"selfSigned","primaryKey":"x"}]}`)}, 2, "but one"},
		{"help", []string{"-h"}, 0, "-thumbprint-device"},
		{"a name that no hub has", []string{"-hostname", "a b"}, 1, "Options.Host"},
		{"an id that no device has", []string{"-device", "a b"}, 1, `device "a b"`},
		{"a module of no device", []string{"-device", "dev1/mod"}, 1, `device "dev1/mod"`},
		{"an unknown permission", []string{"-policy", "dash=RegistryRead,Everything"}, 1, `policy "dash": hubtest: there is no permission "Everything"; the permissions are RegistryRead, `},
		{"an unknown permission in a file", []string{"-config", file("h", `{"policies":[{"name":"dash","permissions":["registryRead"]}]}`)}, 1, `no permission "registryRead"`},
		{"a key that is none", []string{"-config", file("f", `{"devices":[{"id":"dev1","primaryKey":"?"}]}`)}, 1, `device "dev1"`},
		{"an id that no connection string can hold", []string{"-device", "a;b"}, 1, "device \"a;b\": connection string: invalid configuration: DeviceId holds ';' at byte 1"},
		{"… of a certificate", []string{"-x509-device", "dev1;x=1"}, 1, "DeviceId holds ';' at byte 4"},
		{"a policy of that kind", []string{"-policy", "a;b=RegistryRead"}, 1, "SharedAccessKeyName holds ';'"},
		{"an id that means another place in a URL", []string{"-device", ".."}, 1, `DeviceId is ".."`},
		{"a module of that kind", []string{"-device", "dev1", "-device", "dev1/."}, 1, `ModuleId is "."`},
		{"a port that is taken", []string{"-mqtt", takenPort}, 1, "-mqtt 0 takes any"},
		{"an address that is not here", []string{"-bind", "192.0.2.1"}, 1, "-mqtt: hubtest: listen tcp 192.0.2.1:0: "},
		{"a folder that is a file", []string{"-dir", file("g", "")}, 1, "g: not a directory"},
		{"no place for the info", []string{"-info", filepath.Join(folder, "no", "info")}, 1, "no such file"},
		{"no place for the socket", []string{"-control", filepath.Join(folder, "no", "sock")}, 1, "-control"},
	}
	t.Setenv("TMPDIR", filepath.Join(folder, "tmp"))
	if err := os.Mkdir(filepath.Join(folder, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	hinted := "0 takes any port that is free"
	for _, tt := range tests {
		var out, errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), patience) // if it starts after all
		code := run(ctx, append(freePorts(), tt.flags...), &out, &errs)
		cancel()
		if code != tt.code || !strings.Contains(errs.String(), tt.want) || out.Len() != 0 {
			t.Errorf("%s: got status %d, stdout %q, stderr %q; want %d and %q", tt.desc, code, &out, &errs, tt.code, tt.want)
		}
		if taken := tt.flags[0] == "-mqtt" && tt.code == 1; strings.Contains(errs.String(), hinted) != taken {
			t.Errorf("%s: got stderr %q; want a word of another port: %v", tt.desc, &errs, taken)
		}
		if left, _ := os.ReadDir(filepath.Join(folder, "tmp")); len(left) != 0 {
			t.Errorf("%s: left behind: %v", tt.desc, left)
		}
	}
}

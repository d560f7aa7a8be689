package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

// TestWrongCommandLines: what is wrong is named, and the program ends by itself.
func TestWrongCommandLines(t *testing.T) {
	folder := t.TempDir()
	none := filepath.Join(folder, "none")
	var all []desktest.Wrong
	wrong := func(args []string, names ...string) {
		all = append(all, desktest.Wrong{Args: append(freePorts(), args...), Names: names})
	}
	words := func(w ...string) []string { return w }
	config := func(name, text string, names ...string) {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		wrong(words("-config", path), append(names, "-config")...)
	}
	wrong(words("-amqps", "1"), `"-amqps"`)
	wrong(words("-devcie", "dev1"), `"-devcie"`)
	wrong(words("-device"), "-device")
	wrong(words("dev1"), `"dev1"`)
	wrong(words("-mqtt", "x"), "-mqtt", `"x"`)
	wrong(words("-mqtt", "65536"), "-mqtt", `"65536"`)
	wrong(words("-amqp", "-1"), "-amqp", `"-1"`)
	wrong(words("-https", "443s"), "-https", `"443s"`)
	wrong(words("-v=maybe"), "-v", `"maybe"`)
	wrong(words("-bind", "0.0.0.0"), "-bind", `"0.0.0.0"`, "-hostname")
	wrong(words("-bind", ""), "-bind", `""`, "-hostname")
	wrong(words("-hostname", "a b"), "-hostname", `"a b"`)
	wrong(words("-device", "a b"), "-device", `"a b"`)
	wrong(words("-x509-device", ""), "-x509-device", `""`)
	wrong(words("-thumbprint-device", "dev1/"), "-thumbprint-device", `"dev1/"`)
	wrong(words("-device", "dev1", "-x509-device", "dev1"), "-x509-device", `"dev1"`)
	wrong(words("-devices", "many"), "-devices", `"many"`)
	wrong(words("-devices", "5001"), "-devices", `"5001"`)
	wrong(words("-devices", "2", "-device", "device-002"), "-device", `"device-002"`)
	wrong(words("-policy", "dash"), "-policy", `"dash"`)
	wrong(words("-policy", "=RegistryRead"), "-policy", `"=RegistryRead"`)
	wrong(words("-policy", "SharedAccessKey="), "-policy")
	wrong(words("-policy", desktest.Key), "-policy")
	wrong(words("-config", none), "-config", none)
	wrong(words("-config", folder), "-config", folder)
	config("a", "devices:")
	config("b", `{"devices":[{"id":"dev1","primarykey2":"x"}]}`, "primarykey2")
	config("c", `{} {}`)
	config("d", `{"devices":[{"id":"dev1","auth":"tpm"}]}`, `"dev1"`, `"tpm"`)
	config("e", `{"devices":[{"id":"dev1","auth":"selfSigned","primaryKey":"`+desktest.Key+`"}]}`, `"dev1"`, "selfSigned")

	ctx, cancel := context.WithTimeout(t.Context(), patience) // if one starts after all
	defer cancel()
	desktest.Check(t, "hub", func(args []string, c desk.Console) int { return run(ctx, args, c) }, all)
}

// TestRefusals holds that a hub that cannot start says why, and leaves nothing
// behind.
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
		{"help", []string{"-h"}, 0, "-thumbprint-device"},
		{"a module of no device", []string{"-device", "dev1/mod"}, 1, `-device "dev1/mod"`},
		{"an unknown permission", []string{"-policy", "dash=RegistryRead,Everything"}, 1, `-policy "dash": hubtest: there is no permission "Everything"; the permissions are RegistryRead, `},
		{"an unknown permission in a file", []string{"-config", file("h", `{"policies":[{"name":"dash","permissions":["registryRead"]}]}`)}, 1, `no permission "registryRead"`},
		{"a key that is none", []string{"-config", file("f", `{"devices":[{"id":"dev1","primaryKey":"?"}]}`)}, 1, `-config: entry "dev1"`},
		{"an id that no connection string can hold", []string{"-device", "a;b"}, 1, "-device \"a;b\": no connection string can hold this id"},
		{"… of a certificate", []string{"-x509-device", "dev1;x=1"}, 1, "no connection string can hold this id"},
		{"a policy of that kind", []string{"-policy", "a;b=RegistryRead"}, 1, "SharedAccessKeyName holds ';'"},
		{"an id that means another place in a URL", []string{"-device", ".."}, 2, `-device ".."`},
		{"a module of that kind", []string{"-device", "dev1", "-device", "dev1/."}, 2, `-device "dev1/."`},
		{"a port that is taken", []string{"-mqtt", takenPort}, 1, "-mqtt 0 takes any"},
		{"an address that is not here", []string{"-bind", "192.0.2.1"}, 1, "-mqtt 0: hubtest: listen tcp 192.0.2.1:0: "},
		{"a folder that is a file", []string{"-dir", file("g", "")}, 1, "not a directory"},
		{"no place for the info", []string{"-info", filepath.Join(folder, "no", "info")}, 1, `-info "`},
		{"an address for telemetry that is taken", []string{"-events", taken.Addr().String()}, 1, "-events \""},
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
		code := run(ctx, append(freePorts(), tt.flags...), desk.Console{Stdout: &out, Stderr: &errs})
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

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	back "github.com/devicetwin/devicetwin-go/twin/registry"
)

// backEnd is a client of the program's REST.
func (p *program) backEnd() *back.Client {
	p.Helper()
	stream := transport.TLS(&transport.TLSOptions{Config: p.tls(), Address: p.address("https")})
	c, err := back.New(p.info.Service.ConnectionString, &back.Options{Stream: stream})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = c.Close() })
	return c
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRestart holds that a hub which starts again is the same to boards and back
// ends: CA, keys, certificates, identities and twins.
func TestRestart(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "desk")
	flags := []string{"-dir", folder, "-state", filepath.Join(folder, "state.json"), "-policy", "dash=ServiceConnect",
		"-device", "dev1", "-device", "dev1/mod", "-x509-device", "dev2", "-thumbprint-device", "dev3", "-x509-device", "ca"}
	p := start(t, flags...)
	for _, id := range []string{"dev1", "dev1/mod", "dev2", "dev3", "ca"} {
		dev := p.device(id, nil)
		if err := dev.Connect(p.ctx); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if _, err := dev.UpdateReported(p.ctx, twin.Set("was", id)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		_ = dev.Close()
	}
	c := p.backEnd()
	if _, err := c.CreateRegistration(p.ctx, "born", back.Registration{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateTwin(p.ctx, "born", back.AnyETag, back.Change{Tags: twin.Set("a", 1), Desired: twin.Set("b", 2)}); err != nil {
		t.Fatal(err)
	}
	before := map[string]back.Twin{}
	ids := []string{"dev1", "dev1/mod", "dev2", "dev3", "ca", "born"}
	for _, id := range ids {
		tw, err := c.Twin(p.ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		before[id] = tw
	}
	ca, files := read(t, p.info.CA), map[string]string{}
	for id, d := range p.info.Devices {
		if d.Cert != "" {
			files[id] = read(t, d.Cert) + read(t, d.Key)
		}
	}
	old := p.info
	if code := p.end(); code != 0 {
		t.Fatalf("got status %d; stderr: %s", code, &p.stderr)
	}

	for range 2 {
		p = start(t, flags...)
		if got := read(t, p.info.CA); got != ca {
			t.Fatalf("the CA is another one")
		}
		if p.info.Service.ConnectionString != old.Service.ConnectionString || p.info.Service.Policies["dash"] != old.Service.Policies["dash"] {
			t.Errorf("the policies have other keys")
		}
		c := p.backEnd()
		for _, id := range ids {
			d := p.info.Devices[id]
			if id != "born" && d != old.Devices[id] {
				t.Errorf("%s: got %+v, want as before", id, d)
			}
			if d.Cert != "" && read(t, d.Cert)+read(t, d.Key) != files[id] {
				t.Errorf("%s has another certificate", id)
			}
			tw, err := c.Twin(p.ctx, id)
			was := before[id]
			if err != nil || tw.ETag != was.ETag || tw.Reported.String() != was.Reported.String() ||
				tw.Desired.String() != was.Desired.String() || tw.Tags.String() != was.Tags.String() {
				t.Errorf("%s: got the twin %+v, %v; want %+v", id, tw, err, was)
			}
			if err := p.device(id, nil).Connect(p.ctx); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		if code := p.end(); code != 0 {
			t.Fatalf("got status %d; stderr: %s", code, &p.stderr)
		}
	}
}

// TestFolderAlone holds that without a state boards need no new CA, key or
// certificate.
func TestFolderAlone(t *testing.T) {
	folder := t.TempDir()
	flags := []string{"-dir", folder, "-device", "dev1", "-x509-device", "dev2", "-thumbprint-device", "dev3", "-policy", "dash=ServiceConnect"}
	p := start(t, flags...)
	old, ca, cert := p.info, read(t, p.info.CA), read(t, p.info.Devices["dev2"].Cert)
	p.end()
	for _, name := range []string{"ca-private.pem", "device-ca-private.pem", "keys.json"} {
		if stat, err := os.Stat(filepath.Join(folder, name)); err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v; want mode 0600", name, stat, err)
		}
	}
	p = start(t, append(flags, "-device", "dev4")...)
	if read(t, p.info.CA) != ca || read(t, p.info.Devices["dev2"].Cert) != cert || p.info.Service.ConnectionString != old.Service.ConnectionString {
		t.Error("CA, certificate or policy are not as before")
	}
	for _, id := range []string{"dev1", "dev2", "dev3", "dev4"} {
		if id != "dev4" && p.info.Devices[id] != old.Devices[id] {
			t.Errorf("%s: got %+v, want %+v", id, p.info.Devices[id], old.Devices[id])
		}
		if err := p.device(id, nil).Connect(p.ctx); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	p.end()
	// Another kind of device under the same id has a certificate of that kind.
	p = start(t, "-dir", folder, "-thumbprint-device", "dev2", "-x509-device", "dev3")
	for _, id := range []string{"dev2", "dev3"} {
		if err := p.device(id, nil).Connect(p.ctx); err != nil {
			t.Errorf("%s, of the other kind: %v", id, err)
		}
	}
	p.end()
	if _, err := os.Stat(filepath.Join(folder, ".new")); err == nil {
		t.Error("a file was left behind")
	}
}

// TestStateIsSavedSoon holds that a hub which is killed has lost no more than a
// moment.
func TestStateIsSavedSoon(t *testing.T) {
	folder := t.TempDir()
	state := filepath.Join(folder, "state.json")
	p := start(t, "-state", state, "-device", "dev1")
	if got := read(t, state); !strings.Contains(got, `"dev1"`) {
		t.Errorf("at the start: got %s", got)
	}
	if stat, err := os.Stat(state); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want mode 0600", stat, err)
	}
	dev := p.device("dev1", nil)
	if err := dev.Connect(p.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.UpdateReported(p.ctx, twin.Set("rpm", 900)); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(read(t, state), `"rpm":900`) {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			t.Fatalf("it is never saved: %s", read(t, state))
		}
	}
	if left, _ := filepath.Glob(filepath.Join(folder, ".new-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDeskRefusals holds that a broken folder or state is said by name, and is
// left as it is.
func TestDeskRefusals(t *testing.T) {
	made := t.TempDir()
	p := start(t, "-dir", made, "-state", filepath.Join(made, "state.json"), "-device", "dev1", "-x509-device", "dev2")
	p.end()
	for desc, test := range map[string]struct {
		file, text string // "" removes it
		flags      []string
		want       string
	}{
		"no CA for the key":         {"ca.pem", "", nil, "ca.pem is missing"},
		"no root for the key":       {"device-ca.pem", "", nil, "device-ca.pem is missing"},
		"a key that is none":        {"ca-private.pem", "x", nil, "ca-private.pem"},
		"keys that are no JSON":     {"keys.json", "x", nil, "keys.json"},
		"a device's broken key":     {"dev2-key.pem", "x", []string{"-x509-device", "dev2"}, "dev2-key.pem"},
		"a state that is no JSON":   {"state.json", "x", nil, "-state "},
		"a state of another kind":   {"state.json", "{}", nil, "its version"},
		"a device of another proof": {"x", "x", []string{"-x509-device", "dev1"}, "proves itself by sas"},
	} {
		folder := t.TempDir()
		if err := os.CopyFS(folder, os.DirFS(made)); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(folder, test.file)
		if err := os.Remove(name); err != nil && test.file != "x" {
			t.Fatal(err)
		}
		if test.text != "" {
			if err := os.WriteFile(name, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		code := run(ctx, append(freePorts(), append(test.flags, "-dir", folder, "-state", filepath.Join(folder, "state.json"))...), desk.Console{Stdout: &out, Stderr: &errs})
		cancel()
		if code != 1 || !strings.Contains(errs.String(), test.want) || strings.Contains(errs.String(), "-----") {
			t.Errorf("%s: got status %d, stderr %q; want 1 and %q", desc, code, &errs, test.want)
		}
		if got, _ := os.ReadFile(name); string(got) != test.text {
			t.Errorf("%s: %s was changed to %q", desc, test.file, got)
		}
	}
}

// TestNoDevice holds that a hub without a device says how to have one, and lets a
// back end create it.
func TestNoDevice(t *testing.T) {
	p := start(t)
	if !strings.Contains(p.printed, "no device yet: start the hub with -device ID") {
		t.Errorf("printed: %s", p.printed)
	}
	made, err := p.backEnd().CreateRegistration(p.ctx, "dev1", back.Registration{})
	if err != nil || made.ID != "dev1" {
		t.Errorf("CreateRegistration: %+v, %v", made, err)
	}
	if p = start(t, "-device", "dev1"); strings.Contains(p.printed, "no device") {
		t.Errorf("with a device: %s", p.printed)
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// A program is one that runs beside the test, on free ports.
type program struct {
	*testing.T
	ctx     context.Context
	folder  string // its own, short enough for a Unix socket
	printed string
	info    desk.Info
	stderr  bytes.Buffer // to be read after end
	stop    context.CancelFunc
	code    chan int
}

// freePorts are the flags for ports that nobody has.
func freePorts() (flags []string) {
	for _, p := range ports() {
		flags = append(flags, "-"+p.name, "0")
	}
	return flags
}

func start(t *testing.T, flags ...string) *program {
	t.Helper()
	folder, err := os.MkdirTemp("", "hub")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	p := &program{T: t, folder: folder, code: make(chan int, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	p.ctx = ctx
	running, stop := context.WithCancel(ctx)
	p.stop = stop
	flags = append(append(freePorts(), "-info", p.file("info"), "-control", p.file("sock")), flags...)
	r, w := io.Pipe()
	go func() {
		p.code <- run(running, flags, desk.Console{Stdout: w, Stderr: &p.stderr})
		_ = w.Close()
	}()
	t.Cleanup(func() { p.end() })
	lines := bufio.NewScanner(r)
	for lines.Scan() && lines.Text() != "Ctrl-C ends it." {
		p.printed += lines.Text() + "\n"
	}
	text, err := os.ReadFile(p.file("info"))
	if err != nil {
		p.end()
		t.Fatalf("the program printed %q, and told scripts nothing: %v; stderr: %s", p.printed, err, &p.stderr)
	}
	if err := json.Unmarshal(text, &p.info); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *program) file(name string) string { return filepath.Join(p.folder, name) }

// end ends the program as a signal does, and returns its status; again, the same.
func (p *program) end() int {
	p.stop()
	code := <-p.code
	p.code <- code
	return code
}

// address is where a protocol is spoken.
func (p *program) address(name string) string {
	return net.JoinHostPort(p.info.Bind, strconv.Itoa(p.info.Ports[name]))
}

func (p *program) tls() *tls.Config {
	p.Helper()
	text, err := os.ReadFile(p.info.CA)
	if err != nil {
		p.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		p.Fatalf("%s holds no certificate", p.info.CA)
	}
	return &tls.Config{RootCAs: roots}
}

// device is a client made of nothing but what the program told.
func (p *program) device(id string, opts *device.Options) *device.Client {
	p.Helper()
	told := p.info.Devices[id]
	who, cred, err := auth.ParseConnectionString(told.ConnectionString)
	if errors.Is(err, auth.ErrWantsCertificate) {
		cred, err = auth.X509Files(told.Cert, told.Key, nil), nil
	}
	if err != nil {
		p.Fatal(err)
	}
	stream := transport.TLS(&transport.TLSOptions{Config: p.tls(), Address: p.address("mqtt")})
	dev := device.New(who, cred, mqtt.Dialer{Stream: stream}, opts)
	p.Cleanup(func() { _ = dev.Close() })
	return dev
}

// TestDevicesLogIn holds that what is told is enough for a device of every kind.
func TestDevicesLogIn(t *testing.T) {
	p := start(t, "-device", "dev1", "-device", "dev1/mod", "-x509-device", "dev2", "-thumbprint-device", "dev3")
	for id, kind := range map[string]string{"dev1": authSAS, "dev1/mod": authSAS, "dev2": authCA, "dev3": authSelfSigned} {
		dev := p.device(id, nil)
		if err := dev.Connect(p.ctx); err != nil {
			t.Errorf("%s could not log in: %v", id, err)
		} else if _, err := dev.UpdateReported(p.ctx, twin.Set("a", 1)); err != nil {
			t.Errorf("%s could not report: %v", id, err)
		}
		d := p.info.Devices[id]
		if got := strings.TrimSuffix(d.DeviceID+"/"+d.ModuleID, "/"); got != id || d.Auth != kind || (d.PrimaryKey != "") != (kind == authSAS) {
			t.Errorf("%s: got %s, %s and a key: %v; want %s", id, got, d.Auth, d.PrimaryKey != "", kind)
		}
		if !strings.Contains(p.printed, "device "+id+" ("+kind+")\n  "+d.ConnectionString+"\n") {
			t.Errorf("%s: its connection string is not printed:\n%s", id, p.printed)
		}
	}
	if got := p.end(); got != 0 {
		t.Errorf("got status %d, want 0; stderr: %s", got, &p.stderr)
	}
	for _, name := range []string{p.info.CA, p.file("info"), p.file("sock"), filepath.Dir(p.info.CA)} {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there after the end: %v", name, err)
		}
	}
	if log := p.stderr.String(); !strings.Contains(log, "connected") || strings.Contains(log, p.info.Devices["dev1"].PrimaryKey) {
		t.Errorf("the log does not tell of devices, or tells a key:\n%s", log)
	}
}

// TestManyDevices holds that the devices of a gateway are told as any other.
func TestManyDevices(t *testing.T) {
	p := start(t, "-device", "dev1", "-devices", "101")
	if got := len(p.info.Devices); got != 102 {
		t.Errorf("got %d devices, want 102", got)
	}
	for _, id := range []string{"dev1", "device-001", "device-101"} {
		if err := p.device(id, nil).Connect(p.ctx); err != nil {
			t.Errorf("%s could not log in: %v", id, err)
		}
	}
}

// TestInfoOfAnother holds that a hub which ends removes no file but its own.
func TestInfoOfAnother(t *testing.T) {
	p := start(t)
	const other = "of a hub that began since"
	if err := os.WriteFile(p.file("info"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != 0 {
		t.Errorf("the file is another's: got status %d, want 0; stderr: %s", code, &p.stderr)
	}
	if text, err := os.ReadFile(p.file("info")); string(text) != other || err != nil {
		t.Errorf("the file is another's: got %q, %v; want it as it was", text, err)
	}

	p = start(t)
	if err := os.Remove(p.file("info")); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != 0 || strings.Contains(p.stderr.String(), "no such file") {
		t.Errorf("the file is gone: got status %d, stderr %q; want 0, and no word of it", code, &p.stderr)
	}
}

// Keys are written to files that nobody else has, whatever was there before,
// and under names that every file system takes and distinguishes.
func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	for _, name := range []string{"dev2-key.pem", "dev2-cert.pem", "ca.pem"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "dev3-key.pem")); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("#", 128)
	ids := []string{"dev2", "dev3", "Dev2", "dev2/m", long, long + "/" + long}
	var flags []string
	for _, id := range ids {
		flags = append(flags, "-x509-device", id)
	}
	p := start(t, append(flags, "-dir", dir)...)
	seen := map[string]string{}
	for _, id := range ids {
		d := p.info.Devices[id]
		for file, mode := range map[string]fs.FileMode{d.Key: 0o600, d.Cert: 0o644} {
			info, err := os.Lstat(file)
			if err != nil || info.Mode() != mode {
				t.Errorf("%q: %s has mode %v, %v; want %v", id, file, info.Mode(), err, mode)
			}
			if other := seen[strings.ToLower(file)]; other != "" {
				t.Errorf("%q has the file %s of %q", id, file, other)
			}
			seen[strings.ToLower(file)] = id
		}
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link was followed: %v", err)
	}
	if d := p.info.Devices["dev2"]; filepath.Base(d.Key) != "dev2-key.pem" {
		t.Errorf("the key of dev2 is in %s", d.Key)
	}
	if got := p.end(); got != 0 {
		t.Errorf("got status %d, want 0; stderr: %s", got, &p.stderr)
	}
}

func TestSecretsAreTheOwners(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	p := start(t, "-x509-device", "dev2")
	for _, name := range []string{p.file("info"), p.file("sock"), p.info.Devices["dev2"].Key} {
		if stat, err := os.Stat(name); err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v; want mode 0600", name, stat, err)
		}
	}
}

// TestBackEnd holds that REST is spoken, and to those alone who have a key.
func TestBackEnd(t *testing.T) {
	p := start(t, "-policy", "dash=RegistryRead,ServiceConnect")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.tls()}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "https://"+p.address("https")+"/twins/dev1?api-version=2021-04-12", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: got %s, want 401", answer.Status)
	}
	for name, s := range map[string]string{"iothubowner": p.info.Service.ConnectionString, "dash": p.info.Service.Policies["dash"]} {
		if want := "HostName=127.0.0.1;SharedAccessKeyName=" + name + ";SharedAccessKey="; !strings.HasPrefix(s, want) || !strings.Contains(p.printed, s) {
			t.Errorf("policy %s: got %q, want %q…, and that printed", name, s, want)
		}
	}
}

// TestControl plays every trick on a device's line.
func TestControl(t *testing.T) {
	p := start(t, "-device", "dev1")
	control, err := net.Dial("unix", p.file("sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	replies := bufio.NewScanner(control)
	say := func(line, want string) {
		t.Helper()
		if _, err := fmt.Fprintln(control, line); err != nil {
			t.Fatal(err)
		}
		if replies.Scan(); replies.Text() != want {
			t.Errorf("%s: got %q, %v; want %q", line, replies.Text(), replies.Err(), want)
		}
	}
	phases := make(chan device.Phase, 64)
	reach := func(want device.Phase) {
		t.Helper()
		for {
			select {
			case got := <-phases:
				if got == want {
					return
				}
			case <-p.ctx.Done():
				t.Fatalf("the device is never %v", want)
			}
		}
	}
	dev := p.device("dev1", &device.Options{OnState: func(s device.State) { phases <- s.Phase }})
	say("cut dev1", "error: hubtest: device is not connected: dev1")
	if err := dev.Connect(p.ctx); err != nil {
		t.Fatal(err)
	}
	reach(device.Online)
	say("cut dev1", "ok")
	reach(device.Online) // again
	say("down dev1", "ok")
	say("up dev1", "ok")
	reach(device.Online)
	say("down", "ok")
	say("up", "ok")
	say("cut nobody", "error: hubtest: no such device, module or CA; add it first: nobody")
	say("dance", "error: unknown command; known are cut, down and up")
	// A client that says nothing does not hold up the end.
	if got := p.end(); got != 0 {
		t.Errorf("got status %d, want 0; stderr: %s", got, &p.stderr)
	}
}

// TestConfig holds that keys from a file are those of the hub, and that a named
// folder stays.
func TestConfig(t *testing.T) {
	const key, other = "a2V5IG9mIGRldjEgICAgIA==", "a2V5IG9mIHRoZSBkYXNoIQ=="
	folder := t.TempDir()
	config := filepath.Join(folder, "hub.json")
	text := `{"devices":[{"id":"dev1","primaryKey":"` + key + `"},{"id":"dev2","auth":"selfSigned"}],
		"policies":[{"name":"dash","primaryKey":"` + other + `","permissions":["ServiceConnect"]}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-config", config, "-device", "dev3", "-dir", filepath.Join(folder, "made"), "-hostname", "hub.example.org")
	if got := p.info.Devices["dev1"].PrimaryKey; got != key {
		t.Errorf("dev1: got the key %q, want %q", got, key)
	}
	if got, want := p.info.Service.Policies["dash"], "HostName=hub.example.org;SharedAccessKeyName=dash;SharedAccessKey="+other; got != want {
		t.Errorf("the policy: got %q, want %q", got, want)
	}
	for _, id := range []string{"dev1", "dev2", "dev3"} {
		if err := p.device(id, nil).Connect(p.ctx); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	p.end()
	if _, err := os.Stat(filepath.Join(folder, "made", "ca.pem")); err != nil {
		t.Errorf("a folder that the user named was removed: %v", err)
	}
}

package main

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// A rig is a hub on a real socket, with the device dev1 on it.
type rig struct {
	*testing.T
	ctx    context.Context
	hub    *hubtest.Hub
	dev    hubtest.Device
	policy string   // a connection string
	flags  []string // that lead to the hub
}

func newRig(t *testing.T) *rig {
	t.Helper()
	hub := hubtest.New(t, nil)
	dev, err := hub.AddDevice("dev1")
	if err != nil {
		t.Fatal(err)
	}
	address, err := hub.Listen("127.0.0.1:0", hubtest.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	d := &rig{t, ctx, hub, dev, "", []string{"-ca", writeCA(t, hub), "-endpoint", address.String(), "-device", "dev1"}}
	d.policy = d.connectionString("iothubowner")
	return d
}

func (d *rig) connectionString(policy string) string {
	p, ok := d.hub.Policy(policy)
	if !ok {
		d.Fatalf("the hub has no policy %s", policy)
	}
	return "HostName=" + d.hub.Host() + ";SharedAccessKeyName=" + p.Name + ";SharedAccessKey=" + p.PrimaryKey
}

// writeCA writes a hub's CA to a file and returns its name.
func writeCA(t *testing.T, hub *hubtest.Hub) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, hub.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (d *rig) env(name string) string {
	if name == variable {
		return d.policy
	}
	return ""
}

func (d *rig) args(words ...string) []string {
	return append(append([]string{}, d.flags...), words...)
}

// run runs the program to its end. How long the device took stands as "0s" in
// what it returns.
func (d *rig) run(words ...string) (code int, stdout, stderr string) {
	d.Helper()
	var out, errs bytes.Buffer
	code = run(d.ctx, d.args(words...), desk.Console{Env: d.env, Stdout: &out, Stderr: &errs})
	d.wantNoSecret(out.String() + errs.String())
	return code, regexp.MustCompile(`after [0-9.]+m?s`).ReplaceAllString(out.String(), "after 0s"), errs.String()
}

func (d *rig) wantNoSecret(text string) {
	d.Helper()
	_, key, _ := strings.Cut(d.policy, "SharedAccessKey=")
	for _, secret := range []string{key, d.dev.PrimaryKey, d.dev.SecondaryKey, "sig="} {
		if secret != "" && strings.Contains(text, secret) {
			d.Errorf("a secret was printed: %q stands in:\n%s", secret, text)
		}
	}
}

// start runs the device, which obeys and, if it is to, says so.
func (d *rig) start(acknowledge bool, heard func(ctx context.Context, dev *device.Client) error) {
	d.Helper()
	d.startAt("climate", acknowledge, heard)
}

// startAt does so with a device that obeys another property.
func (d *rig) startAt(path string, acknowledge bool, heard func(ctx context.Context, dev *device.Client) error) {
	d.Helper()
	dev := device.New(d.dev.Identity, d.dev.Credential, mqtt.Dialer{Stream: d.hub.Stream}, nil)
	d.Cleanup(func() { _ = dev.Close() })
	_, err := dev.OnDesired(path, func(ctx context.Context, c twin.Change) error {
		if heard == nil || !c.Value.Exists() {
			return nil
		}
		return heard(ctx, dev)
	}, &device.ListenOptions{Acknowledge: acknowledge})
	if err != nil {
		d.Fatal(err)
	}
	if err := dev.Connect(d.ctx); err != nil {
		d.Fatal(err)
	}
}

func cellular(ctx context.Context, dev *device.Client) error {
	return dev.ReportLater(ctx, twin.Set("connectivity.type", "cellular"))
}

// TestUsageIsThePackagesComment holds the two copies together.
func TestUsageIsThePackagesComment(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.ReplaceAll(file.Doc.Text(), "\n\t", "\n")
	if !strings.HasSuffix(doc, "\n"+usage) {
		t.Errorf("the package's comment does not end in usage; copy it there:\n%s\n---\n%s", doc, usage)
	}
}

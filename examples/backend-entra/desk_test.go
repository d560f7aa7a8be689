package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// A rig is a hub and an authority on real sockets, the twin of fan1, and an
// environment in which the service principal has a secret.
type rig struct {
	*testing.T
	ctx   context.Context
	hub   *hubtest.Hub
	entra *authority
	flags []string // that lead to both
	// refused, if set, is called when a client refuses the authority's
	// certificate.
	refused func()
}

// Write hears what the authority's server logs of its handshakes.
func (d *rig) Write(line []byte) (int, error) {
	if d.refused != nil && bytes.Contains(line, []byte("remote error: tls: bad certificate")) {
		d.refused()
	}
	return len(line), nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	hub := hubtest.New(t, nil)
	address, err := hub.Listen("127.0.0.1:0", hubtest.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	entra := &authority{issuer: hub, life: time.Hour}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	d := &rig{T: t, ctx: ctx, hub: hub, entra: entra}
	server := httptest.NewUnstartedServer(entra)
	server.Config.ErrorLog = log.New(d, "", 0)
	server.EnableHTTP2 = true // as Entra has it
	server.StartTLS()
	t.Cleanup(server.Close)
	entra.url = server.URL
	trusted := append(hub.CAPEM(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})...)
	d.flags = []string{"-hub", hub.Host(), "-endpoint", address.String(), "-ca", d.file("ca.pem", trusted), "-private"}
	d.furnish()
	return d
}

// furnish makes the device and the principal, and sets the environment.
func (d *rig) furnish() {
	d.Helper()
	if _, err := d.hub.AddDevice("fan1"); err != nil {
		d.Fatal(err)
	}
	d.hub.Grant(objectID, "IoT Hub Twin Contributor")
	for _, v := range os.Environ() { // whatever the desk's owner is signed in as
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AZURE_") {
			d.Setenv(name, "")
		}
	}
	for name, value := range map[string]string{
		"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", // no look at the machine's own identity
		"AZURE_AUTHORITY_HOST":    d.entra.url,
		"AZURE_TENANT_ID":         tenant,
		"AZURE_CLIENT_ID":         clientID,
		"AZURE_CLIENT_SECRET":     secret,
	} {
		d.Setenv(name, value)
	}
}

func (d *rig) file(name string, text []byte) string {
	d.Helper()
	path := filepath.Join(d.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		d.Fatal(err)
	}
	return path
}

// run runs the program to its end.
func (d *rig) run(ctx context.Context, words ...string) (stdout string, err error) {
	d.Helper()
	var out bytes.Buffer
	err = run(ctx, append(append([]string{}, d.flags...), words...), &out)
	text := out.String()
	if err != nil {
		text += err.Error()
	}
	d.wantNoSecret(text)
	d.wantNothingStrange()
	return out.String(), err
}

func (d *rig) wantNoSecret(text string) {
	d.Helper()
	d.entra.mu.Lock()
	defer d.entra.mu.Unlock()
	for _, s := range append([]string{secret, os.Getenv("AZURE_CLIENT_SECRET"), "Bearer "}, d.entra.tokens...) {
		if s != "" && strings.Contains(text, s) {
			d.Errorf("a secret was printed: %q stands in:\n%s", s, text)
		}
	}
}

func (d *rig) wantNothingStrange() {
	d.Helper()
	d.entra.mu.Lock()
	defer d.entra.mu.Unlock()
	if len(d.entra.strange) != 0 {
		d.Errorf("the authority was asked for what it does not have: %q", d.entra.strange)
	}
}

// wantAsked holds what the authority and the hub were asked.
func (d *rig) wantAsked(discoveries, asked, issued, requests int) {
	d.Helper()
	gotD, gotA, gotI := d.entra.counts()
	if gotD != discoveries || gotA != asked || gotI != issued {
		d.Errorf("the authority was asked %d times for its document, %d times for a token, and gave %d; want %d, %d and %d",
			gotD, gotA, gotI, discoveries, asked, issued)
	}
	if got := d.hub.Stats().Requests; got != requests {
		d.Errorf("the hub got %d requests, want %d", got, requests)
	}
}

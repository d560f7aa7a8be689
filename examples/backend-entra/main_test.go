package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// TestBackEnd signs in, reads, writes and queries: with one token.
func TestBackEnd(t *testing.T) {
	d := newRig(t)
	words := []string{"-device", "fan1", "-tags", `{"plant":"Redmond43"}`, "-desired", `{"fan":{"rpm":900}}`,
		"-query", "SELECT * FROM devices WHERE tags.plant = 'Redmond43'"}
	stdout, err := d.run(d.ctx, words...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"tags":{"plant":"Redmond43"},"desired":{"fan":{"rpm":900},"$version":2}`) ||
		!strings.Contains(lines[1], `"deviceId":"fan1"`) {
		t.Errorf("got\n%s\nwant the twin as it is now, and the one that the query finds", stdout)
	}
	before, err := d.hub.Device("fan1").Twin()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(before.Tags)+string(before.Desired.JSON), `{"plant":"Redmond43"}{"fan":{"rpm":900}}`; got != want {
		t.Errorf("the hub has %s, want %s", got, want)
	}
	d.wantAsked(1, 1, 1, 3)

	// What is as wanted already is not written again.
	if again, err := d.run(d.ctx, words[:6]...); err != nil || strings.TrimSpace(again) != lines[0] {
		t.Errorf("again: got %q, %v; want the same line", again, err)
	}
	d.wantAsked(2, 2, 2, 4) // another process: it keeps no token
	if after, err := d.hub.Device("fan1").Twin(); err != nil || after.Version != before.Version {
		t.Errorf("again: got version %d, %v; want %d: nothing to write", after.Version, err, before.Version)
	}
}

// TestRivals has somebody else write to the twin between read and write.
func TestRivals(t *testing.T) {
	for _, tt := range []struct {
		desc     string
		rivals   int
		want     error
		tags     string
		requests int
	}{
		{"one is overtaken", 1, nil, `{"plant":"Redmond43","rival":1}`, 4},
		{"they never rest", 8, transport.ErrPrecondition, `{"rival":8}`, 16},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			d := newRig(t)
			wrote := 0
			d.hub.Intercept(func(m hubtest.Message) bool {
				if m.Op == hubtest.Rest && m.Method == "PATCH /twins/fan1" && wrote < tt.rivals {
					wrote++
					if _, err := d.hub.Device("fan1").SetTags(`{"rival":` + string(rune('0'+wrote)) + `}`); err != nil {
						t.Error(err)
					}
				}
				return false
			}, hubtest.Drop())
			_, err := d.run(d.ctx, "-device", "fan1", "-tags", `{"plant":"Redmond43"}`)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tw, err := d.hub.Device("fan1").Twin(); err != nil || string(tw.Tags) != tt.tags {
				t.Errorf("got the tags %s, %v; want %s", tw.Tags, err, tt.tags)
			}
			d.wantAsked(1, 1, 1, tt.requests)
		})
	}
}

// TestEntraRefuses: the error is azidentity's, and says what Entra said.
func TestEntraRefuses(t *testing.T) {
	for _, tt := range []struct {
		desc, name, value string
		status            int
		says              string
	}{
		{"a wrong secret", "AZURE_CLIENT_SECRET", "wr0ng~secret.of-somebody_else", http.StatusUnauthorized, "AADSTS7000215"},
		{"another application", "AZURE_CLIENT_ID", tenant, http.StatusBadRequest, "AADSTS700016"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			d := newRig(t)
			t.Setenv(tt.name, tt.value)
			stdout, err := d.run(d.ctx, "-device", "fan1")
			var failed *azidentity.AuthenticationFailedError
			if !errors.As(err, &failed) || failed.RawResponse == nil || failed.RawResponse.StatusCode != tt.status || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an AuthenticationFailedError with status %d and %s", err, tt.status, tt.says)
			}
			if stdout != "" {
				t.Errorf("got %q on stdout, want nothing", stdout)
			}
			d.wantAsked(1, 1, 0, 0) // asked once: what is refused is not tried again
		})
	}
}

// TestHubRefuses: Entra gave a token, and the hub does not take it.
func TestHubRefuses(t *testing.T) {
	for _, tt := range []struct {
		desc    string
		prepare func(d *rig)
		says    string
	}{
		{"a token for another audience", func(d *rig) { d.entra.audience = "https://management.azure.com" }, "Unauthorized"},
		{"a token of another issuer", func(d *rig) { d.entra.issuer = hubtest.New(d.T, nil) }, "Unauthorized"},
		{"a principal without a role", func(d *rig) { d.hub.Grant(objectID) }, "Principal " + objectID + " is not authorized for GET on /twins/fan1"},
		{"a role that is not enough", func(d *rig) { d.hub.Grant(objectID, "IoT Hub Registry Contributor") }, "no assigned permissions"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			d := newRig(t)
			tt.prepare(d)
			_, err := d.run(d.ctx, "-device", "fan1")
			var status *transport.StatusError
			if !errors.As(err, &status) || status.Status != http.StatusUnauthorized || !errors.Is(err, transport.ErrUnauthorized) {
				t.Fatalf("got %v, want a StatusError 401 that matches ErrUnauthorized", err)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "role on this hub") {
				t.Errorf("got %v; want it to say %q, and where to look", err, tt.says)
			}
			d.wantAsked(1, 1, 1, 1)
		})
	}
}

// TestEntraIsSilent: the program ends with its context, wherever it waits.
func TestEntraIsSilent(t *testing.T) {
	d := newRig(t)
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	d.entra.onToken = func(r *http.Request) {
		cancel()
		<-r.Context().Done() // until the client hangs up
	}
	if _, err := d.run(ctx, "-device", "fan1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	d.wantAsked(1, 1, 0, 0)
}

// TestUntrusted: neither secret nor token goes to who cannot prove a name.
func TestUntrusted(t *testing.T) {
	t.Run("Entra", func(t *testing.T) {
		d := newRig(t)
		ctx, cancel := context.WithCancel(d.ctx)
		defer cancel()
		d.refused = cancel // or azidentity tries again for some ten seconds
		d.flags = append(d.flags, "-ca", d.file("hub.pem", d.hub.CAPEM()))
		if _, err := d.run(ctx, "-device", "fan1"); !errors.Is(err, context.Canceled) || d.ctx.Err() != nil {
			t.Errorf("got %v, want an end once the certificate was refused", err)
		}
		d.wantAsked(0, 0, 0, 0)
	})
	t.Run("the hub", func(t *testing.T) {
		d := newRig(t)
		d.flags = append(d.flags, "-hub", "other.azure-devices.net")
		if _, err := d.run(d.ctx, "-device", "fan1"); !errors.Is(err, transport.ErrUntrusted) {
			t.Errorf("got %v, want ErrUntrusted", err)
		}
		d.wantAsked(1, 1, 1, 0)
	})
}

// selfSigned makes a client certificate with an RSA key, as Entra takes it.
func selfSigned() (hubtest.Issued, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return hubtest.Issued{}, err
	}
	return hubtest.SelfSigned("back-end", &hubtest.IssueOptions{Key: key})
}

// TestCertificate signs in with a client certificate in place of a secret.
func TestCertificate(t *testing.T) {
	d := newRig(t)
	own, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	if d.entra.certificate, err = x509.ParseCertificate(own.Certificate.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_CLIENT_SECRET", "")
	t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", d.file("client.pem", append(own.CertificatePEM, own.KeyPEM...)))
	if _, err := d.run(d.ctx, "-device", "fan1"); err != nil {
		t.Error(err)
	}
	d.wantAsked(1, 1, 1, 1)

	other, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", d.file("other.pem", append(other.CertificatePEM, other.KeyPEM...)))
	if _, err := d.run(d.ctx, "-device", "fan1"); err == nil || !strings.Contains(err.Error(), "AADSTS700027") {
		t.Errorf("another certificate: got %v, want Entra's refusal", err)
	}
	d.wantAsked(2, 2, 1, 1)
}

// TestProcess runs the program as its users do.
func TestProcess(t *testing.T) {
	d := newRig(t)
	program := filepath.Join(t.TempDir(), "backend-entra.exe") // a name that every system runs
	build := exec.CommandContext(d.ctx, "go", "build", "-buildvcs=false", "-o", program, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	for _, tt := range []struct {
		desc, secret   string
		words          []string
		code           int
		stdout, stderr string
	}{
		{"done", secret, []string{"-device", "fan1", "-desired", `{"fan":{"rpm":900}}`}, 0, `"desired":{"fan":{"rpm":900},"$version":2}`, ""},
		{"refused", "wr0ng", []string{"-device", "fan1"}, 1, "", "AADSTS7000215"},
		{"wrong usage", secret, []string{"-device", "fan1", "-desired", "900"}, 2, "", "see backend-entra -h"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			c := exec.CommandContext(d.ctx, program, append(append([]string{}, d.flags...), tt.words...)...)
			c.Env = append(os.Environ(), "AZURE_CLIENT_SECRET="+tt.secret)
			var stdout, stderr strings.Builder
			c.Stdout, c.Stderr = &stdout, &stderr
			_ = c.Run() // its status is looked at below
			if got := c.ProcessState.ExitCode(); got != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("got status %d, stdout %q, stderr %q; want %d, %q and %q", got, stdout.String(), stderr.String(), tt.code, tt.stdout, tt.stderr)
			}
			if tt.code != 0 && stdout.Len() != 0 {
				t.Errorf("a failure wrote %q to stdout", stdout.String())
			}
			d.wantNoSecret(stdout.String() + stderr.String())
		})
	}
}

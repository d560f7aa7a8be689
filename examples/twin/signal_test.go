//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// TestSignals sends real signals to the real program.
func TestSignals(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "twin")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	const value = `{"path":"fan.rpm","version":2,"cause":"patch","value":1200,"removed":[]}` + "\n"
	tests := []struct {
		desc   string
		words  []string
		signal os.Signal
		code   int
	}{
		{"SIGTERM ends watch", []string{"watch", "fan.rpm"}, syscall.SIGTERM, desk.ExitDone},
		{"Ctrl-C ends watch", []string{"watch", "fan.rpm"}, os.Interrupt, desk.ExitDone},
		{"SIGTERM breaks report off", []string{"report", `{"a":1}`}, syscall.SIGTERM, desk.ExitFailed},
		{"SIGTERM breaks send off", []string{"send", "x"}, syscall.SIGTERM, desk.ExitFailed},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			t.Parallel()
			d := newRig(t)
			asked := make(chan struct{}, 1)
			d.hub.Intercept(func(m hubtest.Message) bool {
				hit := hubtest.FromDevice("dev1", hubtest.PatchReported)(m) || hubtest.FromDevice("dev1", hubtest.Telemetry)(m)
				if hit {
					asked <- struct{}{}
				}
				return hit
			}, hubtest.Drop())

			c := exec.CommandContext(d.ctx, program, d.args(tt.words...)...)
			c.Env = append(os.Environ(), desk.DeviceVariable+"="+d.dev.ConnectionString)
			var stderr bytes.Buffer
			c.Stderr = &stderr
			stdout, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			read := bufio.NewReader(stdout)
			if tt.code == desk.ExitDone {
				if _, err := read.ReadString('\n'); err != nil {
					t.Errorf("read the start: %v", err)
				}
				d.setDesired(`{"fan":{"rpm":1200}}`)
				if got, err := read.ReadString('\n'); got != value || err != nil {
					t.Errorf("got the line %q, %v; want %q", got, err, value)
				}
			} else {
				select {
				case <-asked:
				case <-d.ctx.Done():
					t.Error("what is sent did not reach the hub")
				}
			}
			if err := c.Process.Signal(tt.signal); err != nil {
				t.Error(err)
			}
			rest, _ := io.ReadAll(read) // to the program's end
			_ = c.Wait()                // its status is looked at below
			if got := c.ProcessState.ExitCode(); got != tt.code || len(rest) != 0 {
				t.Errorf("got status %d, and %q on stdout; want %d and nothing more; stderr: %s", got, rest, tt.code, &stderr)
			}
			d.wantNoSecret(stderr.String())
			d.wantGoodbye()
		})
	}
}

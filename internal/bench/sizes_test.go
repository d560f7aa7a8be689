package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// firmware is a whole device.
const firmware = "github.com/devicetwin/devicetwin-go/examples/sas"

// build builds a program as firmware is built, for a board.
func build(t *testing.T, target, pkg, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	cmd.Env = append(cmd.Env, strings.Fields(target)...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", target, pkg, err, b)
	}
}

// most is how large a whole device may be beside the floor. gjson alone is 0.02 of
// it, and the size of a file grows in steps of 64 KB, which are 0.01.
const most = 1.02

// TestSizes builds a whole device, examples/sas, beside the floor, which does
// a part of its work by hand on bare paho, for boards.
func TestSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles for other machines")
	}
	size := func(target, pkg string) int64 {
		t.Helper()
		out := filepath.Join(t.TempDir(), "program")
		build(t, target, pkg, out)
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for _, target := range []string{"GOARCH=arm GOARM=7", "GOARCH=riscv64"} {
		floor := size(target, "./floor")
		ours := size(target, firmware)
		ratio := float64(ours) / float64(floor)
		t.Logf("%s: examples/sas %d bytes, bare paho %d bytes, ratio %.2f", target, ours, floor, ratio)
		if ratio > most {
			t.Errorf("%s: examples/sas is %.2f of bare paho's size, at most %.2f", target, ratio, most)
		}
	}
}

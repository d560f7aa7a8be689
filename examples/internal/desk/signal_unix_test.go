//go:build unix

package desk_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// asChild makes this test's process a program that ends at no signal.
const asChild = "DESK_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		desk.Main(func(ctx context.Context, _ []string, c desk.Console) int {
			fmt.Fprintln(c.Stdout, "up")
			<-ctx.Done()
			fmt.Fprintln(c.Stdout, "ending")
			<-context.Background().Done() // it hangs
			return desk.ExitDone
		})
	}
	os.Exit(m.Run())
}

// TestSecondSignalKills: the first one asks a program to end, the second does not
// ask.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	for _, first := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for _, second := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, os.Args[0])
			c.Env = append(os.Environ(), asChild+"=1")
			stdout, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for _, step := range []struct {
				line   string
				signal syscall.Signal
			}{{"up", first}, {"ending", second}} {
				if !lines.Scan() || lines.Text() != step.line {
					t.Errorf("got the line %q, want %s", lines.Text(), step.line)
				}
				if err := c.Process.Signal(step.signal); err != nil {
					t.Error(err)
				}
			}
			_ = c.Wait() // its status is looked at below
			if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != second {
				t.Errorf("%v, then %v: got %v, want it killed by the second", first, second, c.ProcessState)
			}
		}
	}
}

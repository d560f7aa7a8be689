package boottime

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// namespace is the variable that tells the test below that it is the child.
const namespace = "BOOTTIME_TEST_NAMESPACE"

// TestTimeNamespace runs the tests of real time in a time namespace, whose
// boot clock is an hour ahead: as if the machine had been suspended.
func TestTimeNamespace(t *testing.T) {
	if os.Getenv(namespace) != "" {
		t.Logf("suspended: %v", Suspended())
		return
	}
	unshare := func(args ...string) *exec.Cmd {
		args = append([]string{"--time", "--boottime", "3600", "--monotonic", "-60"}, args...)
		cmd := exec.CommandContext(t.Context(), "unshare", args...)
		cmd.Env = append(os.Environ(), namespace+"=1")
		return cmd
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Go first: unshare would hand what the kernel cannot run, as under
	// qemu-user, to a shell.
	if out, err := exec.CommandContext(t.Context(), self, "-test.run", "^$").CombinedOutput(); err != nil {
		t.Skipf("the tests cannot run themselves here: %v: %s", err, out)
	}
	if out, err := unshare(self, "-test.run", "^$").CombinedOutput(); err != nil {
		t.Skipf("no time namespace is to be had here: %v: %s", err, out)
	}
	out, err := unshare(self, "-test.v", "-test.run", "^Test(TimeNamespace|SuspendedIsStable|Virtual|Fires|Clock|Bubble)$").CombinedOutput()
	if err != nil {
		t.Fatalf("the tests failed there: %v\n%s", err, out)
	}
	want := "suspended: " + (Suspended() + time.Hour + time.Minute).String() + "\n"
	if !strings.Contains(string(out), want) {
		t.Errorf("want %q in\n%s", want, out)
	}
}

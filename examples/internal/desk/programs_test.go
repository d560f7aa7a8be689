package desk_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

// TestSmallPrograms runs those that take nothing from the command line.
func TestSmallPrograms(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	programs := []string{"sas", "amqp", "module", "quickstart", "offline"}
	args := []string{"build", "-buildvcs=false", "-o", folder}
	for _, name := range programs {
		args = append(args, "../../"+name)
	}
	if text, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	run := func(name, connection string, args ...string) (code int, stderr string) {
		var errs bytes.Buffer
		c := exec.CommandContext(t.Context(), filepath.Join(folder, name), args...)
		c.Env = append(os.Environ(), desk.DeviceVariable+"="+connection)
		c.Stderr = &errs
		var ended *exec.ExitError
		if err := c.Run(); err != nil && !errors.As(err, &ended) {
			t.Fatal(err)
		}
		return c.ProcessState.ExitCode(), errs.String()
	}
	for _, tt := range []struct {
		name, connection string
		args             []string
		code             int
		names            string
	}{
		{"sas", "", nil, desk.ExitFailed, desk.DeviceVariable},
		{"sas", "HostName=h.example.org;SharedAccessKey=" + desktest.Key, nil, desk.ExitFailed, "DeviceId"},
		{"sas", "", []string{"-h"}, desk.ExitFailed, desk.DeviceVariable},
		{"amqp", "", nil, desk.ExitFailed, desk.DeviceVariable},
		{"amqp", "", []string{"-x"}, desk.ExitFailed, desk.DeviceVariable},
		{"module", "", nil, desk.ExitUsage, "EdgeHubConnectionString"},
		{"module", "", []string{"now"}, desk.ExitUsage, `"now"`},
		{"module", "", []string{"-x"}, desk.ExitUsage, `"-x"`},
		{"quickstart", "", []string{"now"}, desk.ExitUsage, `"now"`},
		{"quickstart", "", []string{"-fast"}, desk.ExitUsage, `"-fast"`},
		{"offline", "", []string{"now"}, desk.ExitUsage, `"now"`},
		{"offline", "", []string{"board", "now"}, desk.ExitUsage, `"board"`},
	} {
		code, stderr := run(tt.name, tt.connection, tt.args...)
		if code != tt.code || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.names) || strings.Contains(stderr, desktest.Key) {
			t.Errorf("%s %q: got status %d, stderr %q; want %d and one line with %s", tt.name, tt.args, code, stderr, tt.code, tt.names)
		}
	}
	for _, name := range programs[2:] {
		if code, stderr := run(name, "", "-h"); code != desk.ExitDone || !strings.HasPrefix(stderr, "Usage: "+name+"\n") {
			t.Errorf("%s -h: got status %d, stderr %q; want 0 and the usage", name, code, stderr)
		}
	}
}

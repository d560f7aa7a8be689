package main

import (
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// TestTransports asks for the twin in every way that the tool has.
func TestTransports(t *testing.T) {
	t.Parallel()
	d := newRig(t) // its port speaks whatever comes
	flags := d.flags
	for _, way := range []string{"mqtt", "mqtt-ws", "amqp", "amqp-ws", "auto"} {
		d.flags = append(append([]string{}, flags...), "-transport", way)
		if code, stdout, stderr := d.run(d.ctx, "get"); code != desk.ExitDone || !strings.HasPrefix(stdout, `{"desired":`) {
			t.Errorf("%s: got status %d, stdout %q, stderr %q; want 0 and the twin", way, code, stdout, stderr)
		}
	}
}

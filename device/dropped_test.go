package device_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// Deletions that are forgotten before the first GET, since too many wait, are
// logged with their number.
func TestForgottenDeletionsAreLogged(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		for i := range 30 {
			p := twin.Delete(fmt.Sprintf("%s-%d-0", strings.Repeat("k", 100), i))
			for j := range 30 {
				p = p.Delete(fmt.Sprintf("%s-%d-%d", strings.Repeat("k", 100), i, j))
			}
			if err := c.ReportLater(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		if log := w.log.String(); !strings.Contains(log, "deletions were forgotten") || !strings.Contains(log, "sum=") {
			t.Errorf("the log says %s", log)
		}
	})
}

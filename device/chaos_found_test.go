package device_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The tests of this file hold what TestChaos found, each with its seed.

// TestStoreOfAnOlderTwin (seed 1053): after the device was created anew, its
// versions count from 1 again. A store that misses a report since then does not
// take the hub's state for an older one at the next start, and deletes nothing.
func TestStoreOfAnOlderTwin(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		for i := range 5 {
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
		}
		createAnew(t, w)
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantReported("in the new twin", `{"n":4}`)
		st.broken(errors.New("bad block"))
		if _, err := c.UpdateReported(t.Context(), twin.Set("late", 1)); err != nil {
			t.Fatal(err)
		}
		left := st.powerCut()
		_ = c.Close()
		w.online(&device.Options{Store: left})
		time.Sleep(time.Minute)
		if got := w.reported(); !strings.Contains(got, `"late":1`) {
			t.Errorf("after the restart the hub has %s, want what was reported since, too", got)
		}
	})
}

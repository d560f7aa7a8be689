package device_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestLaneWithoutCreditHoldsUpNothing: telemetry that gets neither room nor an
// answer for ten minutes holds up no GET, patch or renewal, and ends no
// connection. It goes on once there is room.
func TestLaneWithoutCreditHoldsUpNothing(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 3 * time.Minute})
		line := transporttest.NewLane(w.dial(), 8)
		w.dialer = line
		c := w.client(nil)
		telemetry := c.AddTestLane()
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := w.hub.Device("dev1").Stats().Connects
		for i := range 60 { // ten minutes
			start := time.Now()
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.GetTwin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("a report and a GET took %v", took)
			}
			time.Sleep(10*time.Second - time.Since(start))
		}
		renewals := w.hub.Device("dev1").Stats().Connects - before
		if renewals > 5 {
			t.Errorf("%d connections in ten minutes, want those of renewals", renewals)
		}
		sent := telemetry.Sent()
		if sent < 8 {
			t.Errorf("%d frames had room, want a window of 8", sent)
		}
		line.Answer(8)
		synctest.Wait()
		if n := telemetry.Sent(); n != sent+8 {
			t.Errorf("after 8 answers %d frames more had room, want 8", n-sent)
		}
	})
}

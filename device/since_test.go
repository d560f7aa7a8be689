package device_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// TestStateSaysSince: a phase begins once, also where a feature that was left
// out comes back in it, and the fields of a State are those of its phase.
func TestStateSaysSince(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		remove := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Subscribe), hubtest.Fail(403004).Times(-1))
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 24 * time.Hour})
		before := time.Now()
		c := w.client(nil)
		if s := c.State(); s.Phase != device.NotStarted || !s.Since.Equal(before) || s.Err != nil || !s.RetryAt.IsZero() || s.Attempt != 0 {
			t.Errorf("a new client's state is %+v", s)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		online := c.State().Since
		if c.State().Missing == nil {
			t.Fatal("nothing is missing")
		}
		remove()
		time.Sleep(2 * time.Hour)
		if s := c.State(); s.Phase != device.Online || s.Missing != nil || !s.Since.Equal(online) {
			t.Errorf("once the feature is back the state is %+v, online since %v", s, online)
		}
		w.hub.Device("dev1").SetLine(false)
		synctest.Wait()
		if s := c.State(); s.Phase != device.Waiting || s.Err == nil || !s.RetryAt.After(s.Since) || s.Attempt != 1 || !s.Since.Equal(time.Now()) {
			t.Errorf("without a line the state is %+v", s)
		}
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(time.Minute)
		if s := c.State(); s.Phase != device.Online || s.Err != nil || !s.RetryAt.IsZero() || s.Attempt != 0 {
			t.Errorf("online the state is %+v", s)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if s := c.State(); s.Phase != device.Closed || s.Err != nil || !s.RetryAt.IsZero() || s.Attempt != 0 || !s.Since.Equal(time.Now()) {
			t.Errorf("after Close the state is %+v", s)
		}
	})
}

package device_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/twin"
)

func wantHalf(t *testing.T, what string, got device.Half, source device.Source, want string) {
	t.Helper()
	if got.Source != source || got.String() != want {
		t.Errorf("%s: %v from %v, want %s from %v", what, got.Properties, got.Source, want, source)
	}
}

func TestWhatTheClientKnows(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":{"b":1}}`)
		c := w.client(nil)
		wantHalf(t, "a new client", c.Desired(), device.SourceNone, `{}`)
		wantHalf(t, "a new client", c.Reported(), device.SourceNone, `{}`)
		if err := c.ReportLater(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		wantHalf(t, "reported before the start", c.Reported(), device.SourceNone, `{"n":1}`)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		gets := w.hub.Device("dev1").Stats().Gets
		wantHalf(t, "online", c.Desired(), device.SourceLive, `{"a":{"b":1},"$version":2}`)
		wantHalf(t, "online", c.Reported(), device.SourceLive, `{"n":1,"$version":2}`)
		w.setDesired(`{"a":null}`)
		synctest.Wait()
		wantHalf(t, "after a change", c.Desired(), device.SourceLive, `{"$version":3}`)
		w.hub.Device("dev1").SetLine(false)
		if err := c.ReportLater(t.Context(), twin.Set("m", 2)); err != nil {
			t.Fatal(err)
		}
		wantHalf(t, "without a line", c.Desired(), device.SourceLive, `{"$version":3}`)
		wantHalf(t, "without a line", c.Reported(), device.SourceLive, `{"m":2,"n":1,"$version":2}`)
		if got := w.hub.Device("dev1").Stats().Gets; got != gets {
			t.Errorf("%d round trips were made", got-gets)
		}
	})
}

// With a store the client knows both halves before the line is up.
func TestWhatTheStoreKnows(t *testing.T) {
	path := t.TempDir() + "/twin"
	story(t, func(t *testing.T, w *world) {
		st := openStore(t, path, w.dev.Identity, nil)
		w.setDesired(`{"a":{"b":1,"c":[1,2]}}`)
		c := w.online(&device.Options{Store: st})
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		w.setDesired(`{"a":{"b":2},"d":"é"}`)
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		w.hub.Device("dev1").SetLine(false)
		c = w.client(&device.Options{Store: st})
		_ = c.Connect(soon(t, time.Second))
		wantHalf(t, "before the line is up", c.Desired(), device.SourceStored, `{"a":{"b":2,"c":[1,2]},"d":"é","$version":3}`)
		wantHalf(t, "before the line is up", c.Reported(), device.SourceStored, `{"n":1}`)
		w.setDesired(`{"d":null}`)
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(time.Minute)
		wantHalf(t, "online", c.Desired(), device.SourceLive, `{"a":{"b":2,"c":[1,2]},"$version":4}`)
		if got := (*store.Store)(st).Damage(); got != nil {
			t.Error(got)
		}
	})
}

// Whenever the power goes, the store knows a version that there was, a second
// old at most, and the next client goes on from there.
func TestDesiredSurvivesAPowerCut(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.client(&device.Options{Store: st})
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		was := map[int64]string{1: `{"$version":1}`} // by version
		var version int64 = 1
		for i := range 60 {
			change := fmt.Sprintf(`{"n":%d,"k%d":{"x":[%d]},"k%d":null}`, i, i%7, i, (i+3)%7)
			if i%20 == 13 {
				createAnew(t, w)
				was, version = map[int64]string{1: `{"$version":1}`}, 1
				time.Sleep(5 * time.Minute)
			}
			w.setDesired(change)
			version++
			synctest.Wait()
			was[version] = c.Desired().String()
			time.Sleep(300 * time.Millisecond)
			if i%5 != 4 {
				continue
			}
			cut := st.powerCut()
			w.hub.Device("dev1").SetLine(false)
			if i%10 == 4 {
				time.Sleep(time.Second)
			}
			_ = c.Close()
			c = w.client(&device.Options{Store: cut})
			_ = c.Connect(soon(t, time.Millisecond))
			got := c.Desired()
			if v := got.Version(); got.Source != device.SourceStored || was[v] != got.String() || v < version-4 {
				t.Errorf("after change %d the store knows %v from %v, which at version %d was %s; the hub is at %d",
					i, got.Properties, got.Source, v, was[v], version)
			}
			w.hub.Device("dev1").SetLine(true)
			time.Sleep(5 * time.Minute)
			if got := c.Desired(); got.Source != device.SourceLive || got.String() != was[version] {
				t.Errorf("after change %d the client knows %v from %v", i, got.Properties, got.Source)
			}
			st = cut
		}
	})
}

// A burst of changes makes one write a second.
func TestDesiredIsWrittenOnceASecond(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		time.Sleep(time.Minute)
		before := st.writes()
		for i := range 1000 {
			w.setDesired(fmt.Sprintf(`{"n":%d}`, i))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if n := st.writes() - before; n > 12 || n < 5 {
			t.Errorf("1000 changes in 10 s made %d writes", n)
		}
		time.Sleep(time.Hour)
		before = st.writes()
		for range 10 {
			_ = w.hub.Device("dev1").Cut()
			time.Sleep(time.Minute)
		}
		if n := st.writes() - before; n != 0 {
			t.Errorf("ten reconnects without a change made %d writes", n)
		}
		cut := st.powerCut()
		_ = c.Close()
		w.hub.Device("dev1").SetLine(false)
		c = w.client(&device.Options{Store: cut})
		_ = c.Connect(soon(t, time.Second))
		wantHalf(t, "after the power cut", c.Desired(), device.SourceStored, `{"n":999,"$version":1001}`)
	})
}

// A difference whose base is missing is not taken for the whole.
func TestDesiredAfterAFailedWrite(t *testing.T) {
	for _, tc := range []struct {
		records []string
		source  device.Source
		want    string
	}{
		{[]string{`{"d":{"i":4,"v":3,"d":{"a":2}}}`}, device.SourceStored, `{"a":2,"b":1,"$version":3}`},
		{[]string{`{"d":{"i":5,"v":4,"d":{"a":2}}}`}, device.SourceNone, `{}`},
		{[]string{`{"d":{"i":5,"v":4,"d":{"a":2}}}`, `{"d":{"i":6,"v":5,"d":{"a":3}}}`}, device.SourceNone, `{}`},
		{[]string{`{"d":{"i":5,"v":4,"d":{"a":2}}}`, `{"d":{"i":6,"v":5,"j":{"a":3}}}`}, device.SourceStored, `{"a":3,"$version":5}`},
		{[]string{`{"d":{"i":4,"v":3,"d":[]}}`}, device.SourceNone, `{}`},
	} {
		story(t, func(t *testing.T, w *world) {
			w.hub.Device("dev1").SetLine(false)
			st := &memStore{snapshot: []byte(`{"n":1,"based":true,"wanted":{},"desired":{"i":3,"v":2,"j":{"a":1,"b":1}}}`)}
			for _, r := range tc.records {
				st.records = append(st.records, []byte(r))
			}
			c := w.client(&device.Options{Store: st})
			_ = c.Connect(soon(t, time.Second))
			wantHalf(t, fmt.Sprint(tc.records), c.Desired(), tc.source, tc.want)
		})
	}
}

func TestUnsyncedIsShown(t *testing.T) {
	path := t.TempDir() + "/twin"
	story(t, func(t *testing.T, w *world) {
		st := openStore(t, path, w.dev.Identity, &store.Options{SyncEvery: time.Hour})
		c := w.online(&device.Options{Store: st})
		synctest.Wait()
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		if s := c.Stats(); s.Unsynced == 0 || time.Since(s.UnsyncedSince) > time.Minute {
			t.Errorf("%d bytes unsynced since %v", s.Unsynced, s.UnsyncedSince)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if s := c.Stats(); s.Unsynced != 0 {
			t.Errorf("%d bytes unsynced after Close", s.Unsynced)
		}
	})
}

// Wherever a power cut ends the log, the store knows a version that there was,
// and a longer log knows no older one.
func TestDesiredOfEachPrefixOfTheLog(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		was := map[int64]string{}
		for i := range 40 {
			w.setDesired(fmt.Sprintf(`{"k%d":{"x":%d,"y":{"z":[%d]}},"k%d":{"x":null},"k%d":null}`, i%5, i, i, (i+1)%5, (i+2)%5))
			synctest.Wait()
			was[int64(i+2)] = c.Desired().String()
			time.Sleep(1100 * time.Millisecond)
		}
		whole := st.powerCut()
		if len(whole.records) < 20 {
			t.Fatalf("the log has %d records", len(whole.records))
		}
		_ = c.Close()
		w.hub.Device("dev1").SetLine(false)
		var last int64
		for n := range len(whole.records) + 1 {
			c := w.client(&device.Options{Store: &memStore{snapshot: whole.snapshot, records: whole.records[:n]}})
			_ = c.Connect(soon(t, time.Millisecond))
			got := c.Desired()
			if v := got.Version(); got.Source != device.SourceStored || v < last || v > 1 && was[v] != got.String() {
				t.Errorf("%d records make %v from %v; at that version it was %s", n, got.Properties, got.Source, was[v])
			}
			last = got.Version()
			_ = c.Close()
		}
		if last != 41 {
			t.Errorf("the whole log makes version %d", last)
		}
	})
}

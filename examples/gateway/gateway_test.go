package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/device/store"
)

// TestHundred holds a hundred devices on one connection: each hears a change and
// is heard, all come back after a cut, and leave at the end.
func TestHundred(t *testing.T) {
	for _, over := range []string{"amqp", "amqp-ws"} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			h := newHall(t, 100)
			g := h.start("-transport", over)
			h.waitOnline(h.ids()...)
			g.want(&g.stdout, " 100 of 100 online\n")
			h.wantConnections("with all online", 1)

			h.obey(2)
			h.wantConnections("after a change for each", 1)

			h.relay.cut()
			for _, id := range h.ids() {
				h.wait(id, "back", func(tw hubtest.Twin) bool { return tw.Connected && h.hub.Device(id).Stats().Connects == 2 })
			}
			h.obey(3)
			h.wantConnections("after a cut", 2)

			if got := g.end(); got != 0 {
				t.Errorf("got status %d, want 0; stderr:\n%s", got, g.stderr.String())
			}
			h.waitOffline(h.ids()...)
			h.wantConnections("at the end", 2)
			if all := h.hub.Stats(); all.Connects != 200 || all.Refused != 0 || all.Takeovers != 0 {
				t.Errorf("the hub saw %+v; want 200 logins, and none refused or taken over", all)
			}
			if got := g.stdout.String(); !strings.HasSuffix(got, "all 100 devices have ended\n") {
				t.Errorf("stdout does not tell the end:\n%s", got)
			}
		})
	}
}

// obey desires another interval of each device, and waits for its answer and for
// the reading that follows. It is the n-th version of what is desired.
func (h *hall) obey(version int) {
	h.Helper()
	for i, id := range h.ids() {
		h.setDesired(id, fmt.Sprintf(`{"interval":%d}`, 1000*version+i))
	}
	for i, id := range h.ids() {
		h.waitReported(id, "interval", fmt.Sprintf(`{"value":%d,"ac":200,"av":%d}`, 1000*version+i, version))
		h.waitReported(id, "sensor.readings", fmt.Sprint(version))
	}
}

// A device with another's key is told, and disturbs nobody.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	h := newHall(t, 3)
	good := h.devices[1].ConnectionString
	bad := strings.Replace(good, h.devices[1].PrimaryKey, h.devices[2].PrimaryKey, 1)
	h.write(h.devices[0].ConnectionString, bad, h.devices[2].ConnectionString)
	g := h.start()
	h.waitOnline("dev0", "dev2")
	g.want(&g.stdout, " 2 of 3 online\n  dev1: ")
	g.want(&g.stdout, "hub refused the identity")
	if got := h.hub.Device("dev1").Stats(); got.Connects != 0 || got.Refused == 0 {
		t.Errorf("dev1: the hub saw %+v; want it refused", got)
	}
	// With the right key it starts anew, and the others notice nothing.
	h.write(h.devices[0].ConnectionString, good, h.devices[2].ConnectionString)
	g.hangUp()
	h.waitOnline("dev1")
	g.want(&g.stdout, " 3 of 3 online\n")
	g.want(&g.stderr, "dev1 starts anew, with another key")
	for _, id := range []string{"dev0", "dev2"} {
		if got := h.hub.Device(id).Stats(); got.Connects != 1 || got.Gets != 1 {
			t.Errorf("%s: the hub saw %+v; want one login and one GET", id, got)
		}
	}
	h.wantConnections("with all online", 1)
}

// A device with another key starts once the one before has ended: else it would
// find its store locked, and take over its own place at the hub.
func TestKeyReplaced(t *testing.T) {
	t.Parallel()
	h := newHall(t, 2)
	g := h.start("-store", t.TempDir())
	h.waitOnline("dev0", "dev1")
	d := h.devices[0]
	h.write(strings.Replace(d.ConnectionString, d.PrimaryKey, d.SecondaryKey, 1), h.devices[1].ConnectionString)
	g.hangUp()
	h.wait("dev0", "back", func(tw hubtest.Twin) bool { return tw.Connected && h.hub.Device("dev0").Stats().Connects == 2 })
	if got := g.end(); got != 0 || strings.Contains(g.stderr.String(), "store") {
		t.Errorf("got status %d, stderr %q; want 0, and no word on a store", got, g.stderr.String())
	}
	if all := h.hub.Stats(); all.Connects != 3 || all.Takeovers != 0 {
		t.Errorf("the hub saw %+v; want 3 logins, and none taken over", all)
	}
	h.wantConnections("at the end", 1)
}

// Devices come and go with the list, while the others stay.
func TestListChanges(t *testing.T) {
	t.Parallel()
	h := newHall(t, 4)
	line := func(i int) string { return h.devices[i].ConnectionString }
	h.write(line(0), line(1))
	g := h.start()
	h.waitOnline("dev0", "dev1")

	h.write("# dev1 moved", "", line(0), line(2))
	g.hangUp()
	h.waitOnline("dev2")
	h.waitOffline("dev1")
	g.want(&g.stdout, "devices: 1 start, 1 end")

	h.write(line(2), line(3), "HostName=half;Dev")
	g.hangUp()
	h.waitOnline("dev3")
	g.want(&g.stderr, "line 3 is skipped: ")
	g.want(&g.stderr, "1 no longer listed, but kept: a line that was skipped might be theirs")

	if err := os.Remove(h.list); err != nil {
		t.Fatal(err)
	}
	g.hangUp()
	g.want(&g.stderr, "the devices stay as they are: -devices ")
	h.waitOnline("dev0", "dev2", "dev3")

	h.write(line(0), line(1)) // one of those that left
	g.hangUp()
	h.waitOffline("dev2", "dev3")
	h.waitOnline("dev1")
	g.want(&g.stdout, "devices: 1 start, 2 end")
	g.want(&g.stdout, " 2 of 2 online\n")
	for id, want := range map[string]int{"dev0": 1, "dev1": 2, "dev2": 1, "dev3": 1} {
		if got := h.hub.Device(id).Stats().Connects; got != want {
			t.Errorf("%s: got %d logins, want %d", id, got, want)
		}
	}
	h.wantConnections("with two online", 1)

	h.write()
	g.hangUp()
	h.waitOffline("dev0", "dev1")
	g.want(&g.stdout, " 0 of 0 online\n")
	if got := g.end(); got != 0 {
		t.Errorf("got status %d, want 0", got)
	}
}

// What is desired and makes no sense is answered with 400; what is desired no
// more leaves the usual interval.
func TestIntervals(t *testing.T) {
	t.Parallel()
	h := newHall(t, 1)
	h.start()
	h.waitOnline("dev0")
	readings, version := 1, 1
	for _, tt := range []struct {
		patch, ack string
		reads      bool
	}{
		{`{"interval":86400}`, `200`, true},
		{`{"interval":86401}`, `400`, false},
		{`{"interval":"soon"}`, `400`, false},
		{`{"interval":0}`, `400`, false},
		{`{"interval":1.5}`, `400`, false},
		{`{"interval":null}`, `400`, true}, // the answer to the last one stays
	} {
		h.setDesired("dev0", tt.patch)
		if version++; tt.patch != `{"interval":null}` {
			h.waitReported("dev0", "interval.av", fmt.Sprint(version))
		}
		if tt.reads {
			readings++
		}
		h.waitReported("dev0", "interval.ac", tt.ack)
		h.waitReported("dev0", "sensor.readings", fmt.Sprint(readings))
	}
	h.setDesired("dev0", `{"interval":1}`)
	h.waitReported("dev0", "sensor.readings", fmt.Sprint(readings+2)) // one at once, one in a second
}

// What a device reported comes back with its store, even to a hub that forgot it;
// a store that cannot be had costs its device nothing else.
func TestStore(t *testing.T) {
	t.Parallel()
	h := newHall(t, 2)
	folder := filepath.Join(t.TempDir(), "made")
	g := h.start("-store", folder)
	h.waitOnline(h.ids()...)
	h.obey(2)
	if got := g.end(); got != 0 {
		t.Fatalf("got status %d, want 0; stderr:\n%s", got, g.stderr.String())
	}
	h.waitOffline(h.ids()...)
	for _, d := range h.devices {
		id := d.Identity.DeviceID
		if err := h.hub.Device(id).Remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.hub.AddDevice(id); err != nil {
			t.Fatal(err)
		}
		if _, err := h.hub.Device(id).SetKeys(d.PrimaryKey, d.SecondaryKey); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := store.Open(filepath.Join(folder, entry{id: h.devices[1].Identity}.storeName()), h.devices[1].Identity, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	g = h.start("-store", folder)
	h.waitOnline(h.ids()...)
	h.waitReported("dev0", "interval.value", "2000")
	h.waitReported("dev1", "interval", "")
	g.want(&g.stderr, "dev1: it goes on without a store: ")
}

// A device that does not end holds the program up for a while, not for ever.
func TestEndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		hangs := &unit{done: make(chan struct{})}
		hangs.id.DeviceID = "dev7"
		g := &gateway{units: map[string]*unit{"": hangs}, out: log.New(&out, "", 0)}
		began := time.Now()
		err := g.close()
		if err == nil || !strings.Contains(err.Error(), "dev7") || time.Since(began) != closing {
			t.Errorf("got %v after %v; want dev7 named after %v", err, time.Since(began), closing)
		}
		close(hangs.done)
		if err := g.close(); err != nil {
			t.Errorf("with all ended: got %v, want nil", err)
		}
	})
}

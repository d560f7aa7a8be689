package device_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Endurance: .ci/endurance gives these flags.
var (
	enduranceHours   = flag.Int("endurance.hours", 3, "virtual hours of TestEndurance")
	enduranceGateway = flag.Int("endurance.gateway", 3, "devices behind the gateway of TestEndurance")
	enduranceReal    = flag.Duration("endurance.real", 0, "real time of TestEnduranceOnSockets, which is skipped at 0")
)

// A routine is what happens to a device over MQTT, with a store on a real file,
// and to a gateway whose devices share one pool, and how often. A report is made
// each minute. In real time a minute is shorter.
type routine struct {
	hub     *hubtest.Hub
	over    transport.Dialer // of the first
	pool    transport.Dialer // of the others
	gateway int
	minute  time.Duration
	life    time.Duration // of tokens
	minutes int           // at most
	lasts   time.Duration // in real time, 0 for as long as the minutes take
	calm    int           // cuts are rarer by this: a back-off takes its time, however short a minute
	settle  func()        // waits until nothing is under way
}

// A member is one device of a routine.
type member struct {
	id     string
	client *device.Client
	flash  func() int64 // bytes written so far
	heard  func() int
}

// A usage is what the process uses at the end of an hour, and what was written to
// flash in it.
type usage struct {
	heap       uint64
	goroutines int
	files      int
	flash      int64 // of the device with a file
	gateway    int64 // of all behind the gateway
}

// TestEndurance spends realistic hours, of virtual time: a report a minute, desired
// changes, cuts, renewals of tokens. Heap, goroutines, descriptors and the bytes
// written to flash in an hour stay flat.
func TestEndurance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "twin")
	storyAt(t, hubtest.Options{}, func(t *testing.T, w *world) {
		r := routine{hub: w.hub, over: mqtt.Dialer{Stream: w.hub.Stream}, pool: amqp.NewPool(amqp.Dialer{Stream: w.hub.Stream}, nil),
			gateway: *enduranceGateway, minute: time.Minute, life: time.Hour, minutes: 60 * *enduranceHours, calm: 1, settle: synctest.Wait}
		r.run(t, path)
	})
}

// TestEnduranceOnSockets is the same in real time over TLS on loopback, faster: a
// report each 100 ms, tokens of the shortest life.
func TestEnduranceOnSockets(t *testing.T) {
	if *enduranceReal == 0 {
		t.Skip("give -endurance.real, as .ci/endurance does")
	}
	hub := hubtest.New(t, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	line := onLoopback(t, hub)
	const minute = 100 * time.Millisecond
	r := routine{hub: hub, over: mqtt.Dialer{Stream: line}, pool: amqp.NewPool(amqp.Dialer{Stream: line}, nil), gateway: 20,
		minute: minute, life: time.Minute, minutes: int(*enduranceReal / minute), lasts: *enduranceReal, calm: 20, settle: func() { <-time.After(2 * time.Second) }}
	r.run(t, filepath.Join(t.TempDir(), "twin"))
}

// onLoopback opens streams to a port of the hub's own.
func onLoopback(t *testing.T, hub *hubtest.Hub) transport.StreamFunc {
	t.Helper()
	addr, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return transport.TLS(&transport.TLSOptions{Config: hubConfig(hub), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
	}})
}

// add makes one device of the hub a member.
func (r *routine) add(t *testing.T, id string, over transport.Dialer, opts *device.Options, flash func() int64) *member {
	t.Helper()
	dev, err := r.hub.AddDevice(id)
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.ParseKey(dev.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	c := device.New(dev.Identity, auth.SAS(key, &auth.SASOptions{Lifetime: r.life}), over, opts)
	heard := make(chan int, 1)
	heard <- 0
	if _, err := c.OnDesired("speed", twin.Typed(func(_ context.Context, rpm int, _ twin.Change) error {
		<-heard
		heard <- rpm
		return nil
	}), &device.ListenOptions{Acknowledge: true, Durable: "speed"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return &member{id, c, flash, func() int { n := <-heard; heard <- n; return n }}
}

func (r *routine) run(t *testing.T, path string) {
	st, err := store.Open(path, auth.Identity{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	members := []*member{r.add(t, "alone", r.over, &device.Options{Store: st}, func() int64 { return st.Stats().Bytes })}
	for i := range r.gateway {
		mem := &memStore{}
		members = append(members, r.add(t, fmt.Sprintf("gw%03d", i), r.pool, &device.Options{Store: mem}, func() int64 { return int64(mem.wrote()) }))
	}
	defer func() {
		for _, m := range members {
			if err := m.client.Close(); err != nil {
				t.Errorf("%s: Close: %v", m.id, err)
			}
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	var hours []usage
	rnd := rand.New(rand.NewPCG(1, 24))
	var flash, gateway int64
	ticker := time.NewTicker(r.minute)
	defer ticker.Stop()
	i, start := -1, time.Now()
	for i+1 < r.minutes && (r.lasts == 0 || time.Since(start) < r.lasts) {
		<-ticker.C
		i++
		r.happen(t, members, rnd, i)
		if i%60 != 59 {
			continue
		}
		r.settle()
		now := usage{heap: heap(), goroutines: runtime.NumGoroutine(), files: openFiles(t), flash: members[0].flash()}
		for _, m := range members[1:] {
			now.gateway += m.flash()
		}
		flash, now.flash = now.flash, now.flash-flash
		gateway, now.gateway = now.gateway, now.gateway-gateway
		hours = append(hours, now)
		t.Logf("hour %d: heap %d KB, %d goroutines, %d files; flash: %d B, and %d B for %d behind the gateway",
			len(hours), now.heap>>10, now.goroutines, now.files, now.flash, now.gateway, r.gateway)
	}
	r.minutes = i + 1 // a slow machine makes fewer
	r.hub.Device("alone").SetLine(true)
	for _, m := range members { // whatever it waits for
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		if err := errors.Join(m.client.Renew(), m.client.Connect(ctx)); err != nil {
			t.Errorf("%s: at the end: %v", m.id, err)
		}
		if _, err := m.client.UpdateReported(ctx, twin.Set("end", true)); err != nil {
			t.Errorf("%s: at the end: %v", m.id, err)
		}
		cancel()
	}
	r.settle()
	r.judge(t, members)
	flat(t, hours, r.gateway)
}

// happen is one minute of all.
func (r *routine) happen(t *testing.T, members []*member, rnd *rand.Rand, i int) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for k, m := range members {
		if err := m.client.ReportLater(ctx, twin.Set("minute", i).Set(fmt.Sprint("k", i%10), i/10)); err != nil {
			t.Errorf("%s: %v", m.id, err)
		}
		if i%60 < 50 && (i+k)%20 == 7 { // desired changes, three an hour
			if _, err := r.hub.Device(m.id).SetDesired(fmt.Sprintf(`{"speed":%d}`, i)); err != nil {
				t.Error(err)
			}
		}
	}
	if i%60 < 50 && rnd.IntN(15*r.calm) == 0 { // three cuts an hour, none before the look at the end
		if err := r.hub.Device(members[rnd.IntN(2)*rnd.IntN(len(members))].id).Cut(); err != nil && !errors.Is(err, hubtest.ErrOffline) {
			t.Error(err)
		}
	}
	switch i % (240 * r.calm) { // a line that is down for some minutes
	case 100:
		r.hub.Device("alone").SetLine(false)
	case 110:
		r.hub.Device("alone").SetLine(true)
	}
}

// judge asks whether everything that was said is there, on both sides.
func (r *routine) judge(t *testing.T, members []*member) {
	t.Helper()
	for k, m := range members {
		last := -1
		for i := range r.minutes {
			if i%60 < 50 && (i+k)%20 == 7 {
				last = i
			}
		}
		tw, err := r.hub.Device(m.id).Twin()
		if err != nil {
			t.Fatal(err)
		}
		got := string(tw.Reported.JSON)
		if want := fmt.Sprintf(`"minute":%d`, r.minutes-1); !strings.Contains(got, want) || m.client.Stats().Outstanding {
			t.Errorf("%s: the hub has %s, want %s in it", m.id, got, want)
		}
		if last >= 0 && (m.heard() != last || !strings.Contains(got, fmt.Sprintf(`"value":%d}`, last))) {
			t.Errorf("%s: heard %d last, the hub has %s; want %d heard and acknowledged", m.id, m.heard(), got, last)
		}
	}
}

// The bounds of what the hours may differ by, and of flash.
const (
	heapSlack      = 512 << 10 // and 10 KB for each device
	goroutineSlack = 12        // and one for each ten devices: a connection that is being made
	fileSlack      = 4
	flashHour      = 16 << 10 // bytes of a device with a report a minute
)

// flat compares the first hours, but for the very first, with the last.
func flat(t *testing.T, hours []usage, gateway int) {
	t.Helper()
	if len(hours) < 3 {
		t.Fatalf("%d hours show nothing; give 3 or more", len(hours))
	}
	part := max(1, (len(hours)-1)/3)
	early, late := hours[1:1+part], hours[len(hours)-part:]
	grows(t, "the heap", median(early, func(u usage) uint64 { return u.heap }), median(late, func(u usage) uint64 { return u.heap }), heapSlack+10<<10*uint64(gateway))
	grows(t, "goroutines", median(early, func(u usage) int { return u.goroutines }), median(late, func(u usage) int { return u.goroutines }), goroutineSlack+gateway/10)
	grows(t, "descriptors", median(early, func(u usage) int { return u.files }), median(late, func(u usage) int { return u.files }), fileSlack)
	for i, u := range hours[1:] {
		if u.flash > flashHour || u.gateway > flashHour*int64(gateway) {
			t.Errorf("hour %d: %d bytes of flash, and %d of %d behind the gateway; want %d for each at most", i+2, u.flash, u.gateway, gateway, flashHour)
		}
	}
	f := func(u usage) int64 { return u.flash + u.gateway }
	grows(t, "flash bytes an hour", median(early, f), median(late, f), median(early, f)/4)
}

func grows[N int | int64 | uint64](t *testing.T, what string, early, late, slack N) {
	t.Helper()
	t.Logf("%s: %d at first, %d at last", what, early, late)
	if late > early+slack {
		t.Errorf("%s: from %d to %d, want %d more at most", what, early, late, slack)
	}
}

func median[N cmp.Ordered](hours []usage, of func(usage) N) N {
	var all []N
	for _, u := range hours {
		all = append(all, of(u))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// openFiles counts the descriptors, where the system tells.
func openFiles(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Error(err)
	}
	return len(files)
}

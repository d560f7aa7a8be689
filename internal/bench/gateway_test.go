package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

var (
	gatewayDevices = flag.Int("gateway.devices", 50, "how many devices TestGateway's gateways hold")
	gatewayProfile = flag.String("gateway.profile", "", "a folder that is there, for a heap profile of each gateway; the RSS beside it is too high")
	gatewayChild   = flag.Bool("gateway.child", false, "internal: be a gateway, as told on the standard input")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !*gatewayChild {
		goleak.VerifyTestMain(m)
		return
	}
	if err := runGateway(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// gatewayLimit bounds the life of one gateway; at 500 devices it takes seconds.
const gatewayLimit = 2 * time.Minute

// The loose bounds of TestGateway: they are for what leaks, or is no longer
// shared.
const (
	maxGoroutines = 16        // per device, whatever the way
	maxHeap       = 512 << 10 // bytes per device, likewise
	maxSharing    = 1.1       // heap of devices that share a connection, to that of those that do not
	maxAnew       = 1.2       // what a device uses on its second connection, to its first
)

// TestGateway holds many devices in one process, in each of the ways to do so,
// and tells what a device costs there. The hub is in another process, and does
// not count. What holds a gateway's heap is told by
// go tool pprof -sample_index inuse_space, of a profile in -gateway.profile.
//
//	go test -run Gateway -v -gateway.devices 500
func TestGateway(t *testing.T) {
	n := *gatewayDevices
	heap := map[string]float64{}
	table := new(strings.Builder)
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			f := measureGateway(t, w, n)
			f.row(table, w)
			heap[w.name] = f.each(f.Online, heapOf)
			for _, c := range []struct {
				what string
				of   func(use) int64
				most float64
			}{{"goroutines", goroutinesOf, maxGoroutines}, {"bytes of heap", heapOf, maxHeap}} {
				online, anew := f.each(f.Online, c.of), f.each(f.Anew, c.of)
				if online > c.most {
					t.Errorf("got %.1f %s per device, want at most %.0f", online, c.what, c.most)
				}
				if anew > maxAnew*online {
					t.Errorf("got %.1f %s per device on its second connection, want at most %.1f of %.1f, those on its first",
						anew, c.what, maxAnew, online)
				}
			}
		})
	}
	t.Logf("%d devices, what each adds to the gateway's process:\n%s%s", n, tableHead, table)
	if alone, shared := heap[wayAMQP], heap[wayPool]; alone > 0 && shared > maxSharing*alone {
		t.Errorf("got %.0f bytes of heap per device on a shared AMQP connection, want at most %.1f of %.0f, those of one with a connection to itself",
			shared, maxSharing, alone)
	}
}

// BenchmarkGateway has TestGateway's figures for 500 devices. It times nothing:
// its metrics count.
//
//	go test -run '^$' -bench Gateway
func BenchmarkGateway(b *testing.B) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			f := measureGateway(b, w, 500)
			for b.Loop() {
				_ = f // there is nothing to time: what is held is the figure
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(f.each(f.Online, heapOf), "heap-B/device")
			b.ReportMetric(f.each(f.Online, stackOf), "stack-B/device")
			b.ReportMetric(f.each(f.Online, rssOf), "RSS-B/device")
			b.ReportMetric(f.each(f.Anew, rssOf), "RSS-anew-B/device")
			b.ReportMetric(f.each(f.Online, goroutinesOf), "goroutines/device")
			b.ReportMetric(f.each(f.Online, filesOf), "files/device")
			b.ReportMetric(f.Took.Seconds(), "s-online")
		})
	}
}

const tableHead = `
| connections | heap, KB | stacks, KB | RSS, KB | RSS once reconnected, KB | goroutines | open files | all online after, s |
|---|--:|--:|--:|--:|--:|--:|--:|
`

// row writes the figures as a line of Markdown.
func (f figures) row(out io.Writer, w way) {
	kb := func(u use, of func(use) int64) float64 { return f.each(u, of) / 1000 }
	_, _ = fmt.Fprintf(out, "| %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f |\n", w.what(f.Devices),
		kb(f.Online, heapOf), kb(f.Online, stackOf), kb(f.Online, rssOf), kb(f.Anew, rssOf),
		f.each(f.Online, goroutinesOf), f.each(f.Online, filesOf), f.Took.Seconds())
}

// measureGateway is the hub of a gateway in a process of its own, and returns
// what that tells of itself.
func measureGateway(tb testing.TB, w way, n int) figures {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), gatewayLimit)
	defer cancel()
	hub, err := hubtest.Start(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer hub.Close()
	o := order{Way: w.name, CA: hub.CAPEM()}
	if *gatewayProfile != "" {
		if o.Profile, err = filepath.Abs(filepath.Join(*gatewayProfile, w.name+".heap")); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range n {
		dev, err := hub.AddDevice(deviceName(i))
		if err == nil {
			_, err = hub.Device(deviceName(i)).SetDesired(smallTwin())
		}
		if err != nil {
			tb.Fatal(err)
		}
		o.Devices = append(o.Devices, dev.ConnectionString)
	}
	addr, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	o.Address = addr.String()

	f, err := converse(ctx, o, func() error {
		for i := range n {
			if _, err := hub.Device(deviceName(i)).WaitReported(ctx, "n", "1"); err != nil {
				return fmt.Errorf("the report of %s: %w", deviceName(i), err)
			}
			if _, err := hub.Device(deviceName(i)).SetDesired(`{"n":1}`); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if want := w.lines(n); f.Lines != want {
		tb.Errorf("got %d connections for %d devices, want %d", f.Lines, n, want)
	}
	return f
}

func deviceName(i int) string { return fmt.Sprintf("dev%03d", i) }

// smallTwin is what is desired of each device: some 1 KB.
func smallTwin() string {
	var p twin.Patch
	for g := range 4 {
		for k := range 5 {
			p = p.Set(fmt.Sprintf("group%d.key%d", g, k), strings.Repeat("v", 40))
		}
	}
	return p.String()
}

// converse starts a gateway, has it do what is ordered, makes the change that
// it waits for once it is online, and returns what it says of itself, and
// whether it ended well.
func converse(ctx context.Context, o order, change func() error) (f figures, err error) {
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	cmd := exec.CommandContext(ctx, os.Args[0], "-gateway.child")
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return f, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return f, err
	}
	if err := cmd.Start(); err != nil {
		return f, err
	}
	words := json.NewDecoder(out)
	var word string
	err = json.NewEncoder(in).Encode(o)
	if err == nil {
		err = words.Decode(&word)
	}
	if err == nil && word != wordOnline {
		err = fmt.Errorf("it said %q", word)
	}
	if err == nil {
		if err = change(); err != nil {
			kill() // it waits for what does not come
		}
	}
	if err == nil {
		err = words.Decode(&f)
	}
	_ = in.Close() // by which it ends
	if end := cmd.Wait(); err != nil || end != nil {
		err = fmt.Errorf("the gateway's process: %w\n%s", errors.Join(err, end), said.Bytes())
	}
	return f, err
}

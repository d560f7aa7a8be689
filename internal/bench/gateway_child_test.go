package bench

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A way is one to hold many devices in a process.
type way struct {
	name   string
	text   string // what the connections are
	shared bool
	dialer func(stream transport.StreamFunc) transport.Dialer
}

// Those that TestGateway compares.
const (
	wayPool = "amqp-pool"
	wayAMQP = "amqp"
)

func ways() []way {
	overWS := func(stream transport.StreamFunc) transport.StreamFunc {
		return ws.Stream(&ws.Options{Stream: stream})
	}
	return []way{
		{wayPool, "AMQP (`amqp.NewPool`)", true, func(s transport.StreamFunc) transport.Dialer {
			return amqp.NewPool(amqp.Dialer{Stream: s}, nil)
		}},
		{"amqp-ws-pool", "AMQP over WebSocket (`amqp.NewPool`)", true, func(s transport.StreamFunc) transport.Dialer {
			return amqp.NewPool(amqp.Dialer{Stream: overWS(s)}, nil)
		}},
		{wayAMQP, "AMQP", false, func(s transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: s} }},
		{"mqtt", "MQTT", false, func(s transport.StreamFunc) transport.Dialer { return mqtt.Dialer{Stream: s} }},
		{"mqtt-ws", "MQTT over WebSocket", false, func(s transport.StreamFunc) transport.Dialer {
			return mqtt.Dialer{Stream: overWS(s)}
		}},
	}
}

// lines is how many connections so many devices have; a pool's own limits are
// higher.
func (w way) lines(devices int) int {
	if w.shared {
		return 1
	}
	return devices
}

func (w way) what(devices int) string { return fmt.Sprintf("%d, %s", w.lines(devices), w.text) }

// An order is what a gateway is told on its standard input; the end of that
// ends it.
type order struct {
	Way     string
	Address string // of the hub
	CA      []byte
	Devices []string // connection strings, of a hub that ends with its test
	Profile string   // a file; empty for none
}

// wordOnline is what a gateway says first: its devices are online, and have
// reported. Then it says its figures.
const wordOnline = "online"

// The figures of a gateway, on its standard output.
type figures struct {
	Devices int
	Before  use // the first device.New
	Online  use // once each device is online, has reported, and has heard a change
	Anew    use // once each has made a second connection

	Lines int           // connections made by then, those of Anew aside
	Took  time.Duration // from the first device.New until the last Connect has returned
}

// A use is what a process uses at one moment.
type use struct {
	Heap       int64 // bytes that are reachable
	Stack      int64 // bytes of spans that hold stacks
	RSS        int64 // bytes, after the runtime has given back what is free; 0 where it is not told
	Goroutines int64
	Files      int64 // open ones, sockets included; 0 where it is not told
}

// each is what one device adds.
func (f figures) each(u use, of func(use) int64) float64 {
	return float64(of(u)-of(f.Before)) / float64(f.Devices)
}

func heapOf(u use) int64       { return u.Heap }
func stackOf(u use) int64      { return u.Stack }
func rssOf(u use) int64        { return u.RSS }
func goroutinesOf(u use) int64 { return u.Goroutines }
func filesOf(u use) int64      { return u.Files }

// runGateway is the process that holds the devices.
func runGateway(in io.Reader, out io.Writer) error {
	orders, words := json.NewDecoder(in), json.NewEncoder(out)
	var o order
	if err := orders.Decode(&o); err != nil {
		return err
	}
	if o.Profile != "" {
		runtime.MemProfileRate = 1 // before the first of what it is to show
	}
	ctx, cancel := context.WithTimeout(context.Background(), gatewayLimit)
	defer cancel()
	g, err := newGateway(o)
	if err != nil {
		return err
	}
	f := figures{Devices: len(o.Devices), Before: usage()}
	f.Took, err = g.start(ctx, o.Devices)
	if err == nil {
		err = words.Encode(wordOnline)
	}
	if err == nil {
		err = g.hearAll(ctx)
	}
	if err == nil {
		f.Online, f.Lines = usage(), int(g.lines.Load())
		err = errors.Join(profile(o.Profile), g.renewAll(ctx))
	}
	if err == nil {
		f.Anew = usage()
		err = words.Encode(f)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in) // until the hub has seen enough
	}
	g.close()
	return errors.Join(err, goleak.Find())
}

// usage is what this process uses now.
func usage() (u use) {
	runtime.GC()
	runtime.GC() // what the first one's pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Heap, u.Stack = int64(m.HeapAlloc), int64(m.StackInuse)
	u.Goroutines = int64(runtime.NumGoroutine())
	debug.FreeOSMemory() // the runtime does so by and by
	u.RSS = residentBytes()
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.Files = int64(len(files))
	}
	return u
}

// residentBytes is the process's memory as Linux counts it; 0 elsewhere.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}

// profile writes what holds the heap.
func profile(name string) error {
	if name == "" {
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(file, 0), file.Close())
}

// A gateway holds devices.
type gateway struct {
	dialer  transport.Dialer
	lines   atomic.Int64 // connections made
	clients []*device.Client
	heard   chan struct{} // each device's change
}

func newGateway(o order) (*gateway, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.CA) {
		return nil, errors.New("the hub's CA is none")
	}
	g := &gateway{heard: make(chan struct{}, len(o.Devices))}
	stream := transport.TLS(&transport.TLSOptions{
		RootCAs: roots, Address: o.Address,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			g.lines.Add(1)
			d := net.Dialer{KeepAlive: -1} // as the default has it
			return d.DialContext(ctx, network, address)
		},
	})
	for _, w := range ways() {
		if w.name == o.Way {
			g.dialer = w.dialer(stream)
			return g, nil
		}
	}
	return nil, fmt.Errorf("there is no way called %q", o.Way)
}

// start makes a client of each device, all at once, and returns when each is
// online and has reported, with the time that the first took.
func (g *gateway) start(ctx context.Context, devices []string) (online time.Duration, err error) {
	begun := time.Now()
	errs := make([]error, len(devices))
	for i, text := range devices {
		errs[i] = g.add(text)
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	each := func(do func(*device.Client) error) error {
		var all sync.WaitGroup
		for i, c := range g.clients {
			all.Go(func() { errs[i] = do(c) })
		}
		all.Wait()
		return errors.Join(errs...)
	}
	if err := each(func(c *device.Client) error { return c.Connect(ctx) }); err != nil {
		return 0, err
	}
	online = time.Since(begun)
	return online, each(func(c *device.Client) error {
		_, err := c.UpdateReported(ctx, twin.Set("n", 1))
		return err
	})
}

// add makes a client that tells of the first change.
func (g *gateway) add(connectionString string) error {
	id, cred, err := auth.ParseConnectionString(connectionString)
	if err != nil {
		return err
	}
	c := device.New(id, cred, g.dialer, nil)
	g.clients = append(g.clients, c)
	once := sync.OnceFunc(func() { g.heard <- struct{}{} })
	_, err = c.OnDesired("n", func(_ context.Context, ch twin.Change) error {
		if ch.Value.Exists() {
			once()
		}
		return nil
	}, nil)
	return err
}

// hearAll waits until each device has heard its change.
func (g *gateway) hearAll(ctx context.Context) error {
	for i := range g.clients {
		select {
		case <-g.heard:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d devices have heard their change: %w", i, len(g.clients), ctx.Err())
		}
	}
	return nil
}

// renewAll has each client make a second connection, all at once, and returns
// when all are online again.
func (g *gateway) renewAll(ctx context.Context) error {
	for _, c := range g.clients {
		if err := c.Renew(); err != nil {
			return err
		}
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for i, c := range g.clients {
		for c.Stats().Connects < 2 || c.State().Phase != device.Online {
			select {
			case <-poll.C:
			case <-ctx.Done():
				return fmt.Errorf("%d of %d devices have connected anew: %w", i, len(g.clients), ctx.Err())
			}
		}
	}
	return nil
}

// close ends the clients, all at once, and waits for them.
func (g *gateway) close() {
	for _, c := range g.clients {
		c.Stop()
	}
	for _, c := range g.clients {
		_ = c.Close() // no configuration was wrong: each was online
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

const (
	// settling is for how long changes gather before they are told: when a line
	// is lost, all devices change at once.
	settling = 500 * time.Millisecond
	// pace is between the starts of two devices: a hub of tier S1 takes 100 new
	// connections and reads 100 twins in a second.
	pace = 10 * time.Millisecond
	// closing bounds the end of all devices, which takes a second if the line is
	// dead, and longer if the flash is slow.
	closing = 10 * time.Second
)

// A gateway holds devices. All of it belongs to the goroutine that runs it, but
// for changed, and what never changes.
type gateway struct {
	list    list
	dialer  transport.Dialer // a pool: what makes of many devices one connection
	store   string
	out     *log.Logger // how the devices are
	told    string      // what was new last
	err     *log.Logger // all else
	log     *slog.Logger
	units   map[string]*unit // by key of entry; those that are leaving, too
	changed chan struct{}    // a device's state is another
}

func newGateway(s *settings, stdout, stderr io.Writer) *gateway {
	g := &gateway{
		list: s.list, dialer: amqp.NewPool(s.dialer, nil), store: s.store,
		out: log.New(stdout, "", log.Ltime), err: log.New(stderr, "gateway: ", log.Lmsgprefix|log.Ltime),
		log:   slog.New(slog.DiscardHandler),
		units: map[string]*unit{}, changed: make(chan struct{}, 1),
	}
	if s.verbose {
		g.log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return g
}

// run holds the devices until ctx ends.
func (g *gateway) run(ctx context.Context, hangups <-chan os.Signal) error {
	settled := time.NewTimer(settling)
	defer settled.Stop()
	waiting := true
	for {
		select {
		case <-ctx.Done():
			return g.close()
		case <-hangups:
			entries, wrong, err := g.list.read()
			if err != nil {
				g.err.Printf("the devices stay as they are: %v", err)
				continue
			}
			g.apply(ctx, entries, wrong)
		case <-g.changed:
			if !waiting {
				settled.Reset(settling)
				waiting = true
			}
		case <-settled.C:
			waiting = false
			g.tell()
		}
	}
}

// poke says that a device's state changed; it never waits.
func (g *gateway) poke() {
	select {
	case g.changed <- struct{}{}:
	default: // it is said already
	}
}

// apply starts and ends devices, until those of the list are there.
func (g *gateway) apply(ctx context.Context, entries []entry, wrong []error) {
	for _, err := range wrong {
		g.err.Print(err)
	}
	listed := map[string]bool{}
	started, ended := 0, 0
	for _, e := range entries {
		listed[e.key()] = true
		before := g.units[e.key()]
		if before != nil && !before.leaving && before.sum == e.sum {
			continue
		}
		if before != nil && !before.leaving {
			g.err.Printf("%s starts anew, with another key", e.name())
			before.leave()
		}
		g.units[e.key()] = g.start(ctx, e, before, time.Duration(started)*pace)
		started++
	}
	spared := 0
	for key, u := range g.units {
		switch {
		case listed[key]:
		case !u.leaving && len(wrong) > 0:
			spared++
		case !u.leaving:
			u.leave()
			ended++
		case u.hasEnded():
			delete(g.units, key)
		}
	}
	if spared > 0 {
		g.err.Printf("%d no longer listed, but kept: a line that was skipped might be theirs", spared)
	}
	g.out.Printf("devices: %d start, %d end", started, ended)
	g.poke()
}

// close waits for the end of all devices, whose context has ended.
func (g *gateway) close() error {
	late := time.After(closing)
	held := 0
	for _, u := range g.byName() {
		select {
		case <-u.done:
		case <-late:
			return fmt.Errorf("%s did not end within %v, and perhaps others", u.name(), closing)
		}
		if !u.leaving {
			held++
		}
	}
	g.out.Printf("all %d devices have ended", held)
	return nil
}

// byName gives the units in an order that stays.
func (g *gateway) byName() []*unit {
	var all []*unit
	for _, key := range slices.Sorted(maps.Keys(g.units)) {
		all = append(all, g.units[key])
	}
	return all
}

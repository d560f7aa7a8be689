package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/files"
)

// savePause is how long changes are gathered before they are written: a power
// cut takes as much.
const savePause = time.Second

// restore reads the -state file into the hub, if it is there.
func restore(hub *hubtest.Hub, name string) error {
	text, err := readIfThere(name)
	if err != nil || text == nil {
		return err
	}
	if err := hub.Restore(text); err != nil {
		return fmt.Errorf("-state %s: %w (remove the file to begin with none)", name, err)
	}
	return nil
}

// A saver keeps the -state file up to date. One goroutine writes it. Close waits
// for its end, and writes what changed last.
type saver struct {
	hub    *hubtest.Hub
	name   string
	log    *slog.Logger
	saved  uint64 // the revision in the file
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// startSaver writes the file once, so that a place that cannot be written is
// found at the start.
func startSaver(hub *hubtest.Hub, name string, log *slog.Logger) (*saver, error) {
	s := &saver{hub: hub, name: name, log: log}
	if err := s.save(); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.done.Go(func() { s.run(ctx) })
	return s, nil
}

func (s *saver) run(ctx context.Context) {
	t := time.NewTicker(savePause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if s.hub.Revision() == s.saved {
			continue
		}
		if err := s.save(); err != nil {
			s.log.Error("the state is not saved", "err", err)
		}
	}
}

// save writes the state as it is now. A change meanwhile is saved next time.
func (s *saver) save() error {
	revision := s.hub.Revision()
	if err := files.Write(s.name, s.hub.State(), 0o600); err != nil {
		return fmt.Errorf("-state: %w", err)
	}
	s.saved = revision
	return nil
}

// close ends it, times and models included.
func (s *saver) close() error {
	s.cancel()
	s.done.Wait()
	return s.save()
}

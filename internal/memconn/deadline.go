package memconn

import (
	"sync"
	"time"
)

// A deadline is a channel that is closed once a time has passed.
type deadline struct {
	mu    sync.Mutex // guards the rest; nothing waits while it is held
	timer *time.Timer
	sets  int           // counts set, so that a timer that was stopped too late does nothing
	over  chan struct{} // closed when the time has passed
}

func newDeadline() *deadline { return &deadline{over: make(chan struct{})} }

// passed returns the channel to wait on, until the next wake-up.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

// set moves the deadline, for those who wait already too; zero means never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sets++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if isClosed(d.over) {
		d.over = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		close(d.over)
		return
	}
	set := d.sets
	d.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.sets == set {
			close(d.over)
		}
	})
}

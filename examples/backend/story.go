package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

var (
	// errSilent says that the device did not answer in the time that -wait gives.
	errSilent = errors.New("the device has reported nothing since")
	// errInterrupted says that a signal ended it.
	errInterrupted = errors.New("interrupted")
)

// The pauses between two looks at the hub, doubling: short at a desk, and no
// burden for a hub that serves others.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// responseTimeout is how long the device has to answer a direct method.
const responseTimeout = 30 * time.Second

// A story tells one job as it goes on.
type story struct {
	*job
	out io.Writer
	err error // of the first write that failed
}

func (s *story) tell(format string, args ...any) {
	if s.err == nil {
		if _, err := fmt.Fprintf(s.out, format+"\n", args...); err != nil {
			s.err = fmt.Errorf("write the story: %w", err)
		}
	}
}

// run does the job, and closes the client.
func (j *job) run(ctx context.Context, stdout io.Writer) error {
	s := &story{job: j, out: stdout}
	err := s.play(ctx)
	if closing := j.hub.Close(); err == nil {
		err = closing
	}
	return err
}

func (s *story) play(ctx context.Context) error {
	if err := s.within(ctx, s.timeout, s.known); err != nil {
		return err
	}
	var t registry.Twin
	err := s.within(ctx, s.timeout, func(ctx context.Context) (err error) {
		t, err = s.write(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if s.wait > 0 {
		if t, err = s.answer(ctx, t); err != nil {
			return err
		}
	}
	s.tell("\nThe twin of %s:\n  tags      %v\n  desired   %v\n  reported  %v", s.device, t.Tags, t.Desired, t.Reported)

	const cellular = "cellular"
	plant := "SELECT * FROM devices WHERE tags.location.plant = " + registry.Quote(s.plant)
	for _, q := range []struct {
		text string
		fits bool // the device, as its twin is
	}{
		{plant, true},
		{plant + " AND properties.reported.connectivity.type = " + registry.Quote(cellular), t.Reported.At("connectivity.type").String() == cellular},
	} {
		s.tell("\n%s", q.text)
		if err := s.within(ctx, s.timeout, func(ctx context.Context) error { return s.find(ctx, q.text, q.fits) }); err != nil {
			return err
		}
	}
	if s.method == "" {
		return nil
	}
	return s.within(ctx, s.timeout+responseTimeout, s.call)
}

// within bounds a step, and says which bound it was that ended it.
func (s *story) within(ctx context.Context, limit time.Duration, step func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := step(limited)
	switch {
	case s.err != nil:
		return s.err
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", errInterrupted, err)
	case limited.Err() != nil:
		return fmt.Errorf("not done within %v (-timeout): %w", limit, err)
	}
	return err
}

// known sees to it that the hub knows the device.
func (s *story) known(ctx context.Context) error {
	_, err := s.hub.Twin(ctx, s.device)
	if !errors.Is(err, transport.ErrNotFound) {
		return err
	}
	if !s.create {
		return fmt.Errorf("%w; -create registers the device", err)
	}
	i, err := s.hub.CreateRegistration(ctx, s.device, registry.Registration{})
	if errors.Is(err, registry.ErrExists) { // by somebody else, since
		return nil
	}
	if err != nil {
		return err
	}
	login := i.ConnectionString()
	if login.IsEmpty() {
		s.tell("%s is registered. No connection string can hold its id: give it id and key apart\n", s.device)
		return nil
	}
	s.tell("%s is registered. It logs in with\n  %s\n", s.device, login.Reveal())
	return nil
}

// write changes tags and desired properties. What is written does not depend on
// what is there, so where somebody else wrote in between, the change is the same.
func (s *story) write(ctx context.Context) (registry.Twin, error) {
	first := true
	t, err := s.hub.ModifyTwin(ctx, s.device, func(registry.Twin) (registry.Change, error) {
		if !first {
			s.tell("The twin of %s has changed since it was read: read again.", s.device)
		}
		first = false
		return s.change, nil
	})
	if errors.Is(err, transport.ErrPrecondition) {
		return t, fmt.Errorf("others changed the twin of %s again and again, each time before it could be written: try again later: %w", s.device, err)
	}
	if err == nil {
		s.tell("Written to %s, as version %d of what is desired:\n  tags      %v\n  desired   %v",
			s.device, t.Desired.Version(), s.change.Tags, s.change.Desired)
	}
	return t, err
}

// answer waits until the device has reported something since the write: the
// version of the reported half says so, whoever looks, and however late.
func (s *story) answer(ctx context.Context, written registry.Twin) (registry.Twin, error) {
	connected := "it is connected"
	if !written.Connected {
		connected = "it is not connected"
	}
	s.tell("\nWaiting for %s to report (%s) …", s.device, connected)
	began := time.Now()
	t := written
	for pause := firstPause; t.Reported.Version() <= written.Reported.Version(); pause = min(2*pause, lastPause) {
		left := s.wait - time.Since(began)
		if left <= 0 {
			return t, silent(t, s.wait)
		}
		if err := sleep(ctx, min(pause, left)); err != nil {
			return t, fmt.Errorf("%w while it waited for %s: %w", errInterrupted, s.device, err)
		}
		err := s.within(ctx, s.timeout, func(ctx context.Context) (err error) {
			t, err = s.hub.Twin(ctx, s.device)
			return err
		})
		if err != nil {
			return t, err
		}
	}
	said := fmt.Sprintf("version %d of what is reported", t.Reported.Version())
	for name := range s.change.Desired.At("").All() {
		if ack := acknowledged(t, name, written.Desired.Version()); ack != "" {
			said += ", which acknowledges " + name + " with " + ack
			break // one is enough to know that the device obeys
		}
	}
	s.tell("It answered after %v: %s.", time.Since(began).Round(10*time.Millisecond), said)
	return t, nil
}

// silent says that the device did not answer, and what can be known of why.
func silent(t registry.Twin, wait time.Duration) error {
	hint := "it is connected: does it listen to desired properties, and acknowledge them?"
	if !t.Connected {
		hint = "it is not connected: start it"
	}
	return fmt.Errorf("waited %v (-wait) for %s: %w; %s", wait, t.ID, errSilent, hint)
}

// acknowledged is the code by which a Plug and Play device acknowledged a
// property at a version; empty where it did not.
func acknowledged(t registry.Twin, name string, version int64) string {
	var ack struct {
		AC int   `json:"ac"`
		AV int64 `json:"av"`
	}
	if err := t.Reported.At(name).Decode(&ack); err != nil || ack.AV < version { // there is none
		return ""
	}
	return fmt.Sprint(ack.AC)
}

// sleep waits, or fails with the context.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

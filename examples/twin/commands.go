package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// run makes the client, has the command use it, and waits for its end.
func (t *tool) run(ctx context.Context, stdout, stderr io.Writer) error {
	opts := &device.Options{OnState: reporter(stderr)}
	if t.verbose {
		opts.OnState = nil // the log has it
		opts.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	dev := device.New(t.id, t.cred, t.dialer, opts)
	out := json.NewEncoder(stdout)
	out.SetEscapeHTML(false) // "<" in a twin stays "<"

	var err error
	if t.command == "watch" {
		err = t.watch(ctx, dev, out)
	} else {
		err = t.once(ctx, dev, out)
	}
	// Close says goodbye to the hub and waits; what it could tell, Connect told.
	if closing := dev.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.command, err)
	}
	return nil
}

// reporter prints for a person why nothing happens. What ended a connection is printed
// when the next one is tried: what is not tried again is the command's error. A
// connection that is lost again may be a device that takes its place back.
func reporter(stderr io.Writer) func(device.State) {
	down, lost := false, 0
	return func(s device.State) {
		switch {
		case s.Phase == device.Connecting && s.Err != nil:
			fmt.Fprintf(stderr, "twin: offline, trying again: %v\n", s.Err)
			if !down && errors.Is(s.Err, transport.ErrLost) {
				lost++
			}
			if !down && lost == 2 {
				fmt.Fprintln(stderr, "twin: is the device itself running? A hub lets the newest connection win, so the two push each other off")
			}
			down = true
		case s.Phase == device.Online && down:
			fmt.Fprintln(stderr, "twin: online")
			down = false
		}
	}
}

// once is get, set, report or send: one question, one answer, within the time-out.
func (t *tool) once(ctx context.Context, dev *device.Client, out *json.Encoder) error {
	late := fmt.Errorf("not done within %v (-timeout): %w", t.timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, t.timeout, late)
	defer cancel()
	if err := dev.Connect(ctx); err != nil {
		if now := dev.State(); ctx.Err() != nil && now.Phase == device.Connecting && now.Err == nil {
			err = fmt.Errorf("%w; the hub has not accepted the connection: is it the port of -transport?", err)
		}
		return err
	}
	switch t.command {
	case "get":
		return t.get(ctx, dev, out)
	case "send":
		return t.send(ctx, dev, out)
	}
	version, err := dev.UpdateReported(ctx, t.patch)
	if errors.Is(err, device.ErrStillWanted) {
		// Wanted it is, but this process ends now.
		return fmt.Errorf("the hub did not confirm the patch; it may have it or not; check with get: %w", context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	return emit(out, struct {
		Version int64 `json:"version"`
	}{version})
}

// get prints the twin, or a part of it.
func (t *tool) get(ctx context.Context, dev *device.Client, out *json.Encoder) error {
	doc, err := dev.GetTwin(ctx)
	if err != nil {
		return err
	}
	if t.path == "" {
		return emit(out, doc)
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return err
	}
	part, err := pick(text, t.path)
	if err != nil {
		return fmt.Errorf("%s: %w", desk.Quote(t.path), err)
	}
	return emit(out, json.RawMessage(part))
}

// A line is what watch prints of a change.
type line struct {
	Path    string     `json:"path"`
	Version int64      `json:"version"`
	Cause   string     `json:"cause"`
	Value   twin.Value `json:"value"` // numbers keep their text
	Removed []string   `json:"removed"`
}

// watch prints changes until ctx ends, which is no error.
func (t *tool) watch(ctx context.Context, dev *device.Client, out *json.Encoder) error {
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	_, err := dev.OnDesired(t.path, func(_ context.Context, c twin.Change) error {
		err := emit(out, line{c.Path, c.Version, c.Cause.String(), c.Value, append([]string{}, c.Removed()...)})
		if err != nil {
			stop(err) // nobody listens any more
		}
		return err
	}, &device.ListenOptions{Acknowledge: t.ack})
	if err != nil {
		return desk.Usagef("%s: %w", desk.Quote(t.path), err)
	}
	// Connect reports what waiting will not mend. Run waits.
	if err := dev.Connect(run); err != nil && run.Err() == nil {
		return err
	}
	if err := dev.Run(run); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(run)
}

// emit writes one document as one line.
func emit(out *json.Encoder, v any) error {
	if err := out.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

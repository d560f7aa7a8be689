package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// rounds does the job once, or until ctx ends, which is no error then.
func (j *job) rounds(ctx context.Context, hub *registry.Client, stdout io.Writer) error {
	out := json.NewEncoder(stdout)
	out.SetEscapeHTML(false) // "<" in a twin stays "<"
	for {
		err := j.round(ctx, hub, out)
		switch {
		case j.every == 0:
			return err
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-time.After(j.every):
		case <-ctx.Done():
			return nil
		}
	}
}

// round does the job once, within its time.
func (j *job) round(ctx context.Context, hub *registry.Client, out *json.Encoder) error {
	limited, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	err := j.once(limited, hub, out)
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && limited.Err() != nil:
		return fmt.Errorf("not done within %v (-timeout): %w", j.timeout, err)
	case errors.Is(err, transport.ErrUnauthorized):
		return fmt.Errorf("%w; Entra gave a token, so look at the principal's role on this hub: IoT Hub Twin Contributor reads, writes and queries twins, and a new assignment takes some minutes", err)
	}
	return err
}

func (j *job) once(ctx context.Context, hub *registry.Client, out *json.Encoder) error {
	if j.device != "" {
		t, err := j.update(ctx, hub)
		if err != nil {
			return err
		}
		if err := emit(out, line{t.ID, t.ETag, t.Connected, t.Tags, t.Desired, t.Reported}); err != nil {
			return err
		}
	}
	if j.query != "" {
		for row, err := range hub.QueryJSON(ctx, j.query, nil) {
			if err != nil {
				return err
			}
			if err := emit(out, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// update reads the twin and, where it is not yet as wanted, changes it if it is
// still what was read.
func (j *job) update(ctx context.Context, hub *registry.Client) (registry.Twin, error) {
	return hub.ModifyTwin(ctx, j.device, func(t registry.Twin) (registry.Change, error) {
		if j.satisfiedBy(t) {
			return registry.Change{}, nil
		}
		return registry.Change{Tags: j.tags, Desired: j.desired}, nil
	})
}

// satisfiedBy reports whether the change would change nothing: a write would
// only wake the device.
func (j *job) satisfiedBy(t registry.Twin) bool {
	return twin.Apply(t.Tags, j.tags).Equal(t.Tags) && twin.Apply(t.Desired, j.desired).Equal(t.Desired)
}

// A line is what is printed of a twin.
type line struct {
	ID        string          `json:"id"`
	ETag      registry.ETag   `json:"etag"`
	Connected bool            `json:"connected"`
	Tags      twin.Properties `json:"tags"`
	Desired   twin.Properties `json:"desired"`
	Reported  twin.Properties `json:"reported"`
}

// emit writes one document as one line.
func emit(out *json.Encoder, v any) error {
	if err := out.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

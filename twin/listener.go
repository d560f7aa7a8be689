package twin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// Cause says why a listener hears of a change.
type Cause uint8

// The causes.
const (
	// CauseStart: the client started, or the listener was added: this is the
	// value as it stands.
	CauseStart Cause = iota + 1
	// CausePatch: the back end changed it, and the hub said so.
	CausePatch
	// CauseReconnect: it changed while the line was down.
	CauseReconnect
	// CauseGap: it changed while connected, but the hub's word was lost; a
	// full GET found it.
	CauseGap
	// CauseNewTwin: the device was created again at the hub, so this is another
	// twin, and its versions count from 1 again.
	CauseNewTwin
)

// String names the cause.
func (c Cause) String() string {
	switch c {
	case CauseStart:
		return "start"
	case CausePatch:
		return "patch"
	case CauseReconnect:
		return "reconnect"
	case CauseGap:
		return "gap"
	case CauseNewTwin:
		return "another twin"
	}
	return "cause " + strconv.Itoa(int(c))
}

// A Listener hears of changes of the desired properties at its path. The client
// calls listeners one at a time, in version order, on a goroutine of its own and
// with no lock held. A listener may call any method of the client but Run, and may
// remove itself. Close and Shutdown wait for listeners: called by one, they return
// device.ErrListenerRuns after 5 s, so call Stop instead. ctx ends when the client
// closes.
//
// The client passes an error to its logger and to OnListenerError. The change
// counts as delivered, and the listener is called again at the next one. A panic
// is recovered and reported the same way.
type Listener func(ctx context.Context, c Change) error

// A Change is what a listener hears. It is a value: keep it, pass it on.
type Change struct {
	// Path is the listener's own.
	Path string
	// Value is what stands at Path now. It is missing (see Value.Exists) when
	// nothing stands there, or no more.
	Value Value
	// Old is what this listener heard last; missing at the start.
	Old Value
	// Version is the one of the desired properties that Value was read from, or 0
	// where the hub names none, as IoT Edge may. A slow listener may skip
	// versions. The version never goes back, except where Cause is
	// CauseNewTwin.
	Version int64
	// Cause is why it is told now.
	Cause Cause
	// Desired is the whole desired half at Version, for a look at neighbours.
	Desired Properties

	path  []string
	named *tree.Node // what patches named below path since the last delivery
}

// keys is Path taken apart, also of a Change that was made by hand, as a test
// of a listener does.
func (c Change) keys() []string {
	if c.path == nil && c.Path != "" {
		return strings.Split(c.Path, ".")
	}
	return c.path
}

// String is the change on one line, for a log: its path, both values as JSON, of
// which long ones are cut, version and cause.
func (c Change) String() string {
	return fmt.Sprintf("%q is %s, was %s (version %d, %v)", c.Path, short(c.Value), short(c.Old), c.Version, c.Cause)
}

// short is a value as JSON, cut.
func short(v Value) string {
	if !v.Exists() {
		return Missing.String()
	}
	return clip(string(v.JSON()))
}

// Patch is the change as a merge patch from the root: what differs between Old
// and Value, with null for what was removed, and what the back end named
// again with the value it had.
func (c Change) Patch() Patch {
	diff := tree.Diff(c.Old.n, c.Value.n)
	if c.Value.n == nil {
		if c.Old.n == nil || len(c.keys()) == 0 {
			return Patch{}
		}
		diff = tree.NewNull()
	}
	return patchOf(tree.Wrap(c.keys(), tree.Overlay(diff, c.named)))
}

// Removed lists what was removed, as full paths, in order: where a whole
// object went, the object.
func (c Change) Removed() []string {
	if c.Value.n == nil && c.Old.n != nil {
		return []string{c.Path}
	}
	var paths []string
	tree.Nulls(tree.Diff(c.Old.n, c.Value.n), slices.Clone(c.keys()), &paths)
	return paths
}

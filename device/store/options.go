package store

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// defaultMaxSize is 1 MiB. A twin's two halves are 64 KB at most, so there is
// room for many records beside a snapshot of them; and a file of that size is
// read at start in milliseconds, from any flash and into any memory.
const defaultMaxSize = 1 << 20

// The bounds of Options.MaxSize: one page of flash, and what a 32-bit program
// can hold in memory four times.
const (
	minMaxSize = 4 << 10
	maxMaxSize = 256 << 20
)

// Options shape a store; nil means all defaults. Open copies them.
type Options struct {
	// SyncEvery is how long an acknowledged record may stay in the kernel's
	// memory. 0, the default, means not at all: Append returns when fsync has,
	// and Appends that wait at the same time share one fsync. Above 0, Append
	// returns when the kernel has the record, and an fsync follows within
	// SyncEvery, or once 64 KiB wait for it: fewer writes to the flash, but a
	// power cut loses what was appended since the last fsync. Stats reports
	// since when something is not on flash, and how much. The end of the
	// process alone, kill -9 included, loses nothing while the disk is well.
	//
	// If an fsync fails, the store keeps what it has acknowledged in memory and
	// fails further Appends with ErrBroken. It has everything on flash within
	// SyncEvery of the disk's recovery, by itself, or when Compact succeeds. On
	// a slow disk each of these times is longer by what its operations take.
	SyncEvery time.Duration
	// MaxSize bounds the file, in bytes. What would pass it is refused with
	// ErrFull until Compact makes room; NeedsCompaction asks for that in good
	// time. While Compact runs there are two files, each within this bound.
	// 0 means 1 MiB; from 4 KiB to 256 MiB.
	MaxSize int64
	// Logger is told of damage found by Open, and of a store that breaks and
	// is mended; never of what the records hold. nil means silence.
	Logger *slog.Logger

	seam // the disk, for tests
}

// withDefaults is a copy with the zeros filled in, or says what is wrong.
func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.MaxSize == 0 {
		out.MaxSize = defaultMaxSize
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.SyncEvery < 0 {
		return out, fmt.Errorf("store: %w: Options.SyncEvery is %v; it must not be negative", errtext.Bare("auth", auth.ErrInvalid), out.SyncEvery)
	}
	if out.MaxSize < minMaxSize || out.MaxSize > maxMaxSize {
		return out, fmt.Errorf("store: %w: Options.MaxSize is %d; from %d to %d", errtext.Bare("auth", auth.ErrInvalid), out.MaxSize, minMaxSize, maxMaxSize)
	}
	return out, nil
}

package device

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// The bound of a client's log: of warnings and errors with the same message, as
// of changes that cannot be read, so many are logged in so long. The next line
// counts the ones that were left out.
const (
	maxLines  = 20
	linesTime = time.Minute
)

// A boundLog is a handler that keeps that bound, and names the device in each
// line. Those that With makes of it count together.
type boundLog struct {
	slog.Handler
	device string
	*lineCounts
}

type lineCounts struct {
	mu    sync.Mutex
	lines map[string]*lineCount // by message. The messages are constants
}

type lineCount struct {
	since   time.Time
	logged  int
	omitted int
}

func newBoundLog(h slog.Handler, device string) *boundLog {
	return &boundLog{h, device, &lineCounts{lines: map[string]*lineCount{}}}
}

// Handle implements slog.Handler.
func (b *boundLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		omitted, ok := b.count(r.Message, r.Time)
		if !ok {
			return nil
		}
		if omitted > 0 {
			r.Message += " (" + strconv.Itoa(omitted) + " lines like this were left out before)"
		}
	}
	line := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	line.Add("device", b.device)
	r.Attrs(func(a slog.Attr) bool {
		line.Add(a)
		return true
	})
	return b.Handler.Handle(ctx, line)
}

// count counts a line, and reports whether it is to be logged, and how many
// before it were not.
func (l *lineCounts) count(message string, now time.Time) (omitted int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.lines[message]
	if n == nil {
		n = &lineCount{since: now}
		l.lines[message] = n
	}
	if now.Sub(n.since) >= linesTime {
		omitted = n.omitted
		*n = lineCount{since: now}
	}
	if n.logged++; n.logged > maxLines {
		n.omitted++
		return 0, false
	}
	return omitted, true
}

// WithAttrs implements slog.Handler.
func (b *boundLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &boundLog{b.Handler.WithAttrs(attrs), b.device, b.lineCounts}
}

// WithGroup implements slog.Handler.
func (b *boundLog) WithGroup(name string) slog.Handler {
	return &boundLog{b.Handler.WithGroup(name), b.device, b.lineCounts}
}

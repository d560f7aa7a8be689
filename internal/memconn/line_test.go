package memconn_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/memconn"
)

// TestLine: what a slow line carries takes its time, both ways, and a writer waits
// only for room.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe("a", "b")
		defer a.Close()
		defer b.Close()
		memconn.Shape(a, memconn.Line{Rate: 64 << 10, Delay: 150 * time.Millisecond, Buffer: 16 << 10})
		for name, way := range map[string][2]io.ReadWriter{"up": {a, b}, "down": {b, a}} {
			start := time.Now()
			written := make(chan time.Duration, 1)
			go func() {
				if _, err := way[0].Write(make([]byte, 256<<10)); err != nil {
					t.Error(err)
				}
				written <- time.Since(start)
			}()
			one := make([]byte, 1)
			if _, err := io.ReadFull(way[1], one); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < 150*time.Millisecond || took > 200*time.Millisecond {
				t.Errorf("%s: the first byte took %v, want 150 ms and what a packet takes", name, took)
			}
			if _, err := io.ReadFull(way[1], make([]byte, 256<<10-1)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < 4100*time.Millisecond || took > 4200*time.Millisecond {
				t.Errorf("%s: 256 KB took %v, want 4.15 s", name, took)
			}
			if took := <-written; took < 3700*time.Millisecond || took > 3800*time.Millisecond {
				t.Errorf("%s: Write took %v, want 3.75 s: all but a buffer has left", name, took)
			}
		}
	})
}

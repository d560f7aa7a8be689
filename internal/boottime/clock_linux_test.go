package boottime

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSuspendedIsStable(t *testing.T) {
	first := Suspended()
	if first < 0 {
		t.Errorf("got %v, want none below 0", first)
	}
	for i := range 100_000 {
		if got := Suspended(); got != first {
			t.Fatalf("call %d: got %v, want %v as before; was the machine suspended?", i, got, first)
		}
	}
}

// A bench is a machine whose clocks go on by chance with each reading.
type bench struct {
	awake, slept time.Duration
	jitter       func() time.Duration
	broken       bool
}

func (b *bench) read(clock uintptr) (time.Duration, bool) {
	b.awake += b.jitter()
	if clock == clockBoottime {
		return b.awake + b.slept, !b.broken
	}
	return b.awake, !b.broken
}

// quiet is the jitter of a machine that has nothing else to do.
func quiet() time.Duration { return time.Duration(rand.Int64N(300)) }

// loaded is that of one that takes the processor away at each fifth reading.
func loaded() func() time.Duration {
	readings := 0
	return func() time.Duration {
		if readings++; readings%5 == 0 {
			return time.Duration(rand.Int64N(int64(time.Second)))
		}
		return quiet()
	}
}

func TestJitterDoesNotShow(t *testing.T) {
	for range 1000 {
		slept := time.Duration(rand.Int64N(int64(1000 * time.Hour)))
		if turn := (slept + granularity/2) % granularity; turn < time.Microsecond || turn > granularity-time.Microsecond {
			continue // there it may show
		}
		for _, jitter := range []func() time.Duration{quiet, loaded()} {
			b := &bench{slept: slept, jitter: jitter}
			for range 10 {
				if got, want := suspendedBy(b.read), slept.Round(granularity); got != want {
					t.Fatalf("%v suspended: got %v, want %v", slept, got, want)
				}
			}
		}
	}
}

func TestWhereRoundingTurns(t *testing.T) {
	const turn = 15 * time.Millisecond
	for _, slept := range []time.Duration{turn - 1, turn, turn + 1} {
		b := &bench{slept: slept, jitter: loaded()}
		for range 1000 {
			if got := suspendedBy(b.read); got != 10*time.Millisecond && got != 20*time.Millisecond {
				t.Fatalf("%v suspended: got %v", slept, got)
			}
		}
	}
}

func TestBrokenClocks(t *testing.T) {
	b := &bench{awake: time.Hour, slept: time.Hour, jitter: func() time.Duration { return 0 }, broken: true}
	if got := suspendedBy(b.read); got != 0 {
		t.Errorf("Suspended: got %v, want 0", got)
	}
	if virtualBy(time.Now, b.read) {
		t.Error("Virtual: got true, want false where nothing can be known")
	}
}

// TestCoarseClocks: with a clock that moves every 10 ms, real time is still
// real, and time that stands still is still found.
func TestCoarseClocks(t *testing.T) {
	var fine time.Duration
	coarse := func(uintptr) (time.Duration, bool) {
		fine += 70 * time.Microsecond
		return fine.Truncate(10 * time.Millisecond), true
	}
	epoch := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 1000 {
		if virtualBy(func() time.Time { d, _ := coarse(0); return epoch.Add(d) }, coarse) {
			t.Fatal("real time was taken for virtual")
		}
	}
	if !virtualBy(func() time.Time { return epoch }, coarse) {
		t.Error("virtual time was taken for real")
	}
}

func TestVirtual(t *testing.T) {
	everywhere := func(t *testing.T, want bool) {
		t.Helper()
		var all sync.WaitGroup
		defer all.Wait()
		for range 8 { // more than there are processors
			all.Go(func() {
				for range 2000 {
					if got := Virtual(); got != want {
						t.Errorf("got %v, want %v", got, want)
						return
					}
				}
			})
		}
	}
	t.Run("in real time", func(t *testing.T) { everywhere(t, false) })
	t.Run("in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { everywhere(t, true) })
	})
	t.Run("in a bubble that shows the real date", func(t *testing.T) {
		now := time.Now()
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(now))
			everywhere(t, true)
			if NewTimer().alarm != nil {
				t.Error("got a Timer with a goroutine, want an inert one")
			}
		})
	})
	t.Run("in a bubble where others wait for time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			done := make(chan struct{})
			var ticking sync.WaitGroup
			ticking.Go(func() {
				for tick := time.NewTicker(1); ; {
					select {
					case <-tick.C:
					case <-done:
						return
					}
				}
			})
			everywhere(t, true)
			close(done)
			ticking.Wait()
		})
	})
}

func BenchmarkSuspended(b *testing.B) {
	for b.Loop() {
		Suspended()
	}
}

func BenchmarkVirtual(b *testing.B) {
	for b.Loop() {
		Virtual()
	}
}

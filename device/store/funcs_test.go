package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// TestNilStore: the methods of a nil *Store return an error or nothing.
func TestNilStore(t *testing.T) {
	var s *Store
	_, err := s.Claim(t.Context(), dev1())
	wantErr(t, "claim", err, errNoStore, errors.ErrUnsupported)
	wantErr(t, "append", s.Append(t.Context(), nil), errNoStore)
	wantErr(t, "compact", s.Compact(t.Context(), nil), errNoStore)
	wantErr(t, "begin an append", s.BeginAppend(nil).Wait(t.Context()), errNoStore)
	wantErr(t, "begin a compaction", s.BeginCompact(nil).Wait(t.Context()), errNoStore)
	never := func(error) { t.Error("done was called") }
	wantErr(t, "append with a func", s.AppendFunc(never, nil), errNoStore)
	wantErr(t, "compact with a func", s.CompactFunc(never, nil), errNoStore)
	wantLoad(t, s, "")
	if s.NeedsCompaction() || s.Size() != 0 || s.Stats() != (Stats{}) || s.Damage() != nil {
		t.Error("a nil store has something")
	}
	mustClose(t, s)
}

// TestFuncs: done is called once for each, in the order of the log, without a
// lock, when what was begun is durable or has failed.
func TestFuncs(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, &Options{MaxSize: minMaxSize})
	var mu sync.Mutex // a client's
	var order []string
	var wg sync.WaitGroup
	begin := func(what string, size int) {
		done := func(err error) {
			mu.Lock() // held by those who begin
			defer mu.Unlock()
			order = append(order, fmt.Sprint(what, " ", errors.Is(err, ErrFull)))
			if what == "first" {
				wg.Add(1)
				if err := s.AppendFunc(func(error) { wg.Done() }, nil); err != nil {
					t.Error(err)
				}
			}
			wg.Done()
		}
		wg.Add(1)
		mu.Lock()
		defer mu.Unlock()
		var err error
		if what == "compaction" {
			err = s.CompactFunc(done, make([]byte, size))
		} else {
			err = s.AppendFunc(done, make([]byte, size))
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	d.mu.Lock()
	begin("first", 100)
	begin("large", 4000)
	begin("compaction", 10)
	begin("last", 3900)
	d.mu.Unlock()
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"first false", "large true", "compaction false", "last false"}; !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
	// What is refused while the flash hangs is never answered, however much of the
	// rest the store has taken up by then.
	never := func(error) { t.Error("done was called for what was refused") }
	var answers sync.Mutex
	var answered [20]bool
	d.mu.Lock()
	var err error
	refused := 0
	for i := 0; err == nil && i < len(answered); i++ {
		refused = i
		err = s.AppendFunc(func(error) {
			answers.Lock()
			defer answers.Unlock()
			answered[i] = true
		}, make([]byte, 4000))
	}
	wantErr(t, "append to flash that hangs", err, ErrFull)
	d.mu.Unlock()
	mustClose(t, s)
	answers.Lock()
	defer answers.Unlock()
	if refused == 0 || answered[refused] || !answered[refused-1] {
		t.Errorf("of %d writes, the last refused, %v were answered", refused+1, answered)
	}
	wantErr(t, "append after Close", s.AppendFunc(never, nil), errClosed)
	wantErr(t, "compact after Close", s.CompactFunc(never, nil), errClosed)
}

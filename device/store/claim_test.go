package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

func mustClaim(t testing.TB, s *Store, id auth.Identity) (release func()) {
	t.Helper()
	f, err := s.Claim(t.Context(), id)
	if err != nil {
		t.Fatalf("claim for %v: %v", id, err)
	}
	return func() {
		t.Helper()
		if err := f(context.Background()); err != nil {
			t.Errorf("release by %v: %v", id, err)
		}
	}
}

// others are identities that don't share dev1's store.
func others() []auth.Identity {
	return []auth.Identity{{DeviceID: "dev2"}, {DeviceID: "Dev1"}, {DeviceID: "dev1", ModuleID: "m"}, {DeviceID: "dev", ModuleID: "1"}}
}

// TestClaim: one user at a time, and only of the store's device.
func TestClaim(t *testing.T) {
	for _, opened := range []auth.Identity{dev1(), {}} {
		t.Run(fmt.Sprintf("opened for %q", opened.DeviceID), func(t *testing.T) {
			d := newDisk(nil)
			s, err := openFor(d, opened, nil)
			if err != nil {
				t.Fatal(err)
			}
			release := mustClaim(t, s, dev1())
			mustAppend(t, s, "mine")
			steps := d.steps()
			_, err = s.Claim(t.Context(), dev1())
			wantErr(t, "a second claim", err, ErrInUse)
			for _, id := range others() {
				_, err = s.Claim(t.Context(), id)
				wantErr(t, "a second claim by another", err, ErrInUse, ErrForeign)
			}
			release()
			for _, id := range others() {
				_, err = s.Claim(t.Context(), id)
				wantErr(t, "a claim by another", err, ErrForeign)
				if errors.Is(err, ErrInUse) {
					t.Errorf("got %v after release", err)
				}
			}
			for _, id := range []auth.Identity{{}, {Host: "h"}, {ModuleID: "m"}, {DeviceID: string(make([]byte, 256))}} {
				_, err = s.Claim(t.Context(), id)
				wantErr(t, "a claim by nobody", err, auth.ErrInvalid)
			}
			if d.steps() != steps {
				t.Errorf("refused claims changed the disk: %v", d.ops[steps:])
			}
			moved := dev1()
			moved.Host, moved.Gateway = "other.example.net", "edge"
			last := mustClaim(t, s, moved)
			release() // of a claim that has ended
			_, err = s.Claim(t.Context(), dev1())
			wantErr(t, "a claim after a release that was called twice", err, ErrInUse)
			wantLoad(t, s, "|mine")
			last()
			mustClose(t, s)
			_, err = s.Claim(t.Context(), dev1())
			wantErr(t, "a claim after Close", err, errClosed)
			for _, id := range others() {
				_, err := openFor(d, id, nil)
				wantErr(t, "open for another", err, ErrForeign)
			}
		})
	}
}

// TestNextUserSeesAll: each user of a store that stays open loads what all
// before have appended and compacted, whether they loaded or not.
func TestNextUserSeesAll(t *testing.T) {
	for _, every := range []time.Duration{0, time.Hour} {
		d := newDisk(nil)
		s := mustOpen(t, d, &Options{SyncEvery: every})
		want := ""
		for i := range 8 {
			release := mustClaim(t, s, dev1())
			if i%3 != 1 {
				wantLoad(t, s, want)
			}
			if i == 5 {
				want = "five"
				mustCompact(t, s, want)
			}
			r := fmt.Sprint("r", i)
			if i%2 == 0 {
				mustAppend(t, s, r)
			} else {
				s.BeginAppend([]byte(r)) // the next one sees it all the same
			}
			if want += "|" + r; i == 0 {
				want = "|r0"
			}
			release()
			for _, dead := range d.cut() {
				wantLoad(t, mustOpen(t, dead, nil), want)
			}
		}
		wantLoad(t, s, want) // without a claim, too
		mustAppend(t, s, "more")
		wantLoad(t, s, want+"|more")
	}
}

// TestLoadKeepsNothing: the store holds no copy of what it holds on flash,
// after Load or after the first write.
func TestLoadKeepsNothing(t *testing.T) {
	d := diskWith(image(dev1(), salt, "snap", "one"))
	s := mustOpen(t, d, nil)
	if s.log.found == nil {
		t.Error("the first Load would read the file again")
	}
	mustAppend(t, s, "two")
	if s.log.found != nil {
		t.Error("what Open found is kept, and is old")
	}
	mustClaim(t, s, dev1())
	d.setFault(failing(syscall.EIO, opOpen)) // no I/O
	wantLoad(t, s, "snap|one|two")
	if s.log.found != nil {
		t.Error("what was loaded is kept")
	}
	d.setFault(nil)
}

// TestUnreadable: where the contents cannot be read back Claim says so, and
// Load makes the store refuse what would overwrite them.
func TestUnreadable(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, nil)
	mustAppend(t, s, "a")
	for _, fault := range []error{syscall.EIO, nil} {
		if fault != nil {
			d.setFault(failing(fault, opOpen))
		} else {
			d.setFault(nil)
			d.mu.Lock()
			d.names["twin"].data[len(d.names["twin"].data)-1] ^= 1
			d.mu.Unlock()
		}
		_, err := s.Claim(t.Context(), dev1())
		if err == nil || fault != nil && !errors.Is(err, fault) {
			t.Errorf("claim: got %v, want %v", err, fault)
		}
		if snapshot, records := s.Load(); snapshot != nil || records != nil {
			t.Errorf("load: got %q and %q", snapshot, records)
		}
		for what, do := range map[string]func(context.Context) error{
			"append":  func(ctx context.Context) error { return s.Append(ctx, []byte("b")) },
			"compact": func(ctx context.Context) error { return s.Compact(ctx, []byte("b")) },
		} {
			if err := do(t.Context()); err == nil || fault != nil && !errors.Is(err, fault) {
				t.Errorf("%s: got %v, want %v", what, err, fault)
			}
		}
	}
	d.mu.Lock()
	d.names["twin"].data[len(d.names["twin"].data)-1] ^= 1
	d.mu.Unlock()
	mustClaim(t, s, dev1()) // the claims that failed hold nothing
	wantLoad(t, s, "|a")
	mustAppend(t, s, "b")
}

// TestClaimOnSlowFlash: ctx bounds Claim and release. A claim that was given
// up leaves the store free, and its ids count if they were written.
func TestClaimOnSlowFlash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openFor(d, auth.Identity{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var w atomic.Pointer[weather]
		w.Store(&weather{slow: time.Minute})
		exposed(d, &w)
		brief := func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), time.Second) }
		ctx, cancel := brief()
		defer cancel()
		_, err = s.Claim(ctx, dev1())
		wantErr(t, "claim", err, context.DeadlineExceeded)
		_, err = s.Claim(t.Context(), auth.Identity{DeviceID: "dev2"})
		wantErr(t, "claim by another after that", err, ErrForeign)
		release, err := s.Claim(t.Context(), dev1())
		if err != nil {
			t.Fatal(err)
		}
		p := s.BeginAppend([]byte("a"))
		ctx, cancel = brief()
		defer cancel()
		begun := time.Now()
		wantErr(t, "release", release(ctx), context.DeadlineExceeded)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("release took %v", took)
		}
		_, err = s.Claim(ctx, dev1())
		wantErr(t, "claim in a context that has ended", err, context.DeadlineExceeded)
		again, err := s.Claim(t.Context(), dev1())
		if err != nil {
			t.Fatal(err)
		}
		wantLoad(t, s, "|a")
		if err := errors.Join(p.Wait(t.Context()), again(t.Context())); err != nil {
			t.Error(err)
		}
		mustClose(t, s)
	})
}

// TestReleaseSyncs: nil means that all is on flash, with SyncEvery, too.
func TestReleaseSyncs(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, &Options{SyncEvery: time.Hour})
	release, err := s.Claim(t.Context(), dev1())
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "a")
	d.setFault(failing(syscall.EIO, opSync))
	wantErr(t, "release", release(t.Context()), ErrBroken, syscall.EIO)
	d.setFault(nil)
	release, err = s.Claim(t.Context(), dev1())
	if err != nil {
		t.Fatal(err)
	}
	if err := release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, dead := range d.cut() {
		wantLoad(t, mustOpen(t, dead, nil), "|a")
	}
}

// TestManyClaims: of many that want the store at once one has it.
func TestManyClaims(t *testing.T) {
	s, _ := tempStore(t, nil)
	var wg sync.WaitGroup
	var holders, turns, refused atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			for turns.Load() < 40 {
				release, err := s.Claim(t.Context(), dev1())
				if err != nil {
					wantErr(t, "claim", err, ErrInUse)
					refused.Add(1)
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two hold the store")
				}
				n := int(turns.Add(1))
				if _, records := s.Load(); len(records) != n-1 {
					t.Errorf("user %d found %d records", n, len(records))
				}
				err = s.Append(t.Context(), fmt.Append(nil, i))
				holders.Add(-1)
				if err = errors.Join(err, release(t.Context())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d turns, %d refused", turns.Load(), refused.Load())
}

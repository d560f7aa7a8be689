package owner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/owner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errAbsent = errors.New("there is no device")
	errBroken = errors.New("the device broke")
	errNo     = errors.New("the device says no")
)

// A bench is a device that notes what is done to it. Only its owner touches it.
type bench struct {
	absent bool
	log    []string
	opened int
}

func (b *bench) device() owner.Device[int] {
	return owner.Device[int]{
		Open: func() (int, error) {
			if b.absent {
				return 0, errAbsent
			}
			b.opened++
			b.log = append(b.log, fmt.Sprint("open ", b.opened))
			return b.opened, nil
		},
		Close:  func(n int) { b.log = append(b.log, fmt.Sprint("close ", n)) },
		Broken: func(err error) bool { return errors.Is(err, errBroken) },
	}
}

func (b *bench) want(t *testing.T, log ...string) {
	t.Helper()
	if !slices.Equal(b.log, log) {
		t.Errorf("the device saw %q, want %q", b.log, log)
	}
}

// call uses the device and returns what its number was.
func call(ctx context.Context, o *owner.Owner[int], err error) (int, error) {
	return owner.Do(ctx, o, func(n int) (int, error) { return n, err })
}

func TestDeviceIsOpenedWhenItIsNeeded(t *testing.T) {
	b := &bench{}
	o := owner.New(b.device())
	defer o.Close()
	tests := []struct {
		desc   string
		absent bool
		fails  error // of the call
		want   error
		number int
	}{
		{"there is none", true, nil, errAbsent, 0},
		{"it was plugged in", false, nil, nil, 1},
		{"it stays open", false, nil, nil, 1},
		{"a refusal does not close it", false, errNo, errNo, 1},
		{"nor did it", false, nil, nil, 1},
		{"it breaks", false, errBroken, errBroken, 1},
		{"it is opened anew", false, nil, nil, 2},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			b.absent = tt.absent
			n, err := call(t.Context(), o, tt.fails)
			if n != tt.number || !errors.Is(err, tt.want) {
				t.Errorf("got device %d and error %v, want %d and %v", n, err, tt.number, tt.want)
			}
		})
	}
	o.Close()
	o.Close() // again: nothing happens
	b.want(t, "open 1", "close 1", "open 2", "close 2")
	if _, err := call(t.Context(), o, nil); !errors.Is(err, owner.ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, owner.ErrClosed)
	}
}

func TestOneCallAtATime(t *testing.T) {
	o := owner.New((&bench{}).device())
	defer o.Close()
	inside, calls := 0, 0 // no lock: the race detector is the judge
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 100 {
				_, err := owner.Do(t.Context(), o, func(int) (int, error) {
					inside++
					calls++
					if inside != 1 {
						t.Errorf("%d callers were inside at once", inside)
					}
					inside--
					return 0, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	if calls != 800 {
		t.Errorf("got %d calls, want 800", calls)
	}
}

func TestContextEndsTheWaiting(t *testing.T) { synctest.Test(t, testContextEndsTheWaiting) }

func testContextEndsTheWaiting(t *testing.T) {
	o := owner.New((&bench{}).device())
	slow := func(int) (int, error) {
		time.Sleep(time.Hour) // as a device may, which knows of no context
		return 0, nil
	}
	wait := func(d time.Duration, use func(int) (int, error)) error {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		_, err := owner.Do(ctx, o, use)
		return err
	}
	began := time.Now()
	if err := wait(time.Minute, slow); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call that takes an hour: got %v, want the deadline", err)
	}
	if err := wait(time.Minute, slow); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call behind it: got %v, want the deadline", err)
	}
	if got := time.Since(began); got != 2*time.Minute {
		t.Errorf("the two waited for %v, want 2 minutes", got)
	}
	if err := wait(0, slow); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that had ended: got %v, want the deadline", err)
	}
	if err := wait(2*time.Hour, func(int) (int, error) { return 0, nil }); err != nil {
		t.Errorf("a call that has the time: %v", err)
	}
	if got := time.Since(began); got != time.Hour {
		t.Errorf("the device was free after %v, want an hour", got)
	}
	_ = wait(time.Minute, slow)
	o.Close()
	if got := time.Since(began); got != 2*time.Hour {
		t.Errorf("Close returned after %v, want 2 hours: it waits for the call under way", got)
	}
}

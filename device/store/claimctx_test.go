package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A Claim that fails, also because its context ends while the disk hangs, leaves
// the store free: one opened with the zero Identity does not take its ids.
func TestClaimWhoseContextEndedTakesNoStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openFor(d, auth.Identity{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		recovers := make(chan struct{})
		d.setFault(func(op) (int, error) { <-recovers; return 0, nil })
		// The writer is busy with something else when the claim comes.
		busy := &pending{do: func() error { <-recovers; return nil }}
		busy.refuse(s.log.begin(busy, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = s.Claim(ctx, dev1()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a claim while the disk hangs: %v", err)
		}
		close(recovers)
		synctest.Wait()
		if d.steps() != 0 {
			t.Errorf("the claim that failed wrote: %v", d.ops)
		}
		release, err := s.Claim(t.Context(), auth.Identity{DeviceID: "dev2"})
		if err != nil {
			t.Fatalf("the store is not free after a claim that failed: %v", err)
		}
		_ = release(t.Context())
		mustClose(t, s)
	})
}

package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
)

// FuzzOpen opens a file of any bytes: it is refused and left alone, or gives
// a store that holds parts of the file, goes on, and is whole the next time.
func FuzzOpen(f *testing.F) {
	good := image(dev1(), salt, "snapshot", "one", "", "three")
	f.Add([]byte{})
	f.Add(good)
	f.Add(good[:len(good)-2])
	f.Add(good[:40])
	f.Add(flip(good, 50))
	f.Add(flip(good, len(good)-20))
	f.Add(slices.Concat(good, make([]byte, 64)))
	f.Add(slices.Concat(good, good[34:]))
	f.Add(versioned(good, 2))
	f.Add(versioned(good, 0))
	f.Add([]byte("SQLite format 3\x00"))
	f.Add(slices.Concat(good, []byte{0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 1, 2, 3, 4, 5}))
	f.Add(image(auth.Identity{}, salt, "of no device"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzUnclaimed(t, data)
		d := diskWith(data)
		s, err := openOn(d, &Options{MaxSize: minMaxSize})
		if err != nil {
			tooLarge := len(data) > 4*minMaxSize
			if !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) && !tooLarge {
				t.Errorf("refused: %v", err)
			}
			if len(d.ops) != 0 {
				t.Errorf("refused (%v), but changed: %v", err, d.ops)
			}
			return
		}
		snapshot, records := s.Load()
		total := -frameLen
		for _, r := range slices.Concat([][]byte{snapshot}, records) {
			if !bytes.Contains(data, r) {
				t.Errorf("loaded %q, which is not in the file", r)
			}
			total += len(r) + frameLen
		}
		if total > len(data) {
			t.Errorf("loaded %d bytes from a file of %d", total, len(data))
		}
		err = s.Append(t.Context(), []byte("more"))
		if errors.Is(err, ErrFull) { // the file was larger than MaxSize
			err = s.Compact(t.Context(), nil)
			records = nil
		} else {
			records = append(records, []byte("more"))
		}
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		again, err := openOn(d, nil)
		if err != nil {
			t.Fatalf("the next time: %v", err)
		}
		defer again.Close()
		if err := again.Damage(); err != nil {
			t.Errorf("the next time: %v", err)
		}
		if _, got := again.Load(); !slices.EqualFunc(got, records, bytes.Equal) {
			t.Errorf("the next time: got %q, want %q", got, records)
		}
	})
}

// fuzzUnclaimed opens the file for whatever device it is of: what it finds is
// what that device finds, and a file of no device takes nothing before a claim.
func fuzzUnclaimed(t *testing.T, data []byte) {
	d := diskWith(data)
	s, err := openFor(d, auth.Identity{}, &Options{MaxSize: minMaxSize})
	if err != nil {
		if len(d.ops) != 0 {
			t.Errorf("refused (%v), but changed: %v", err, d.ops)
		}
		return
	}
	owner := s.log.owner
	if owner.DeviceID == "" {
		wantErr(t, "append", s.Append(t.Context(), nil), errUnclaimed)
		if !bytes.Equal(d.data("twin"), data) {
			t.Error("a file without an owner was changed before the first claim")
		}
		owner = dev1()
	}
	if _, err := s.Claim(t.Context(), owner); err != nil {
		t.Fatalf("claim for %+v: %v", owner, err)
	}
	snapshot, records := s.Load()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openFor(d, owner, &Options{MaxSize: minMaxSize})
	if err != nil {
		t.Fatalf("the next time, for its own device: %v", err)
	}
	defer again.Close()
	snapshot2, records2 := again.Load()
	if !bytes.Equal(snapshot, snapshot2) || !slices.EqualFunc(records, records2, bytes.Equal) || again.Damage() != nil {
		t.Errorf("got %q and %q, and the next time %q and %q, damage: %v", snapshot, records, snapshot2, records2, again.Damage())
	}
}

// FuzzFrame: a frame is what appendFrame makes of its record, or no frame.
func FuzzFrame(f *testing.F) {
	f.Add(uint32(7), image(dev1(), salt, "snapshot", "one")[34:])
	f.Add(uint32(0), make([]byte, 12))
	f.Fuzz(func(t *testing.T, seed uint32, b []byte) {
		payload, seq, n, err := consumeFrame(b, tag(seed))
		if err != nil {
			framed := append(appendFrame(nil, tag(seed), 1, b), b...)
			if payload, _, n, err = consumeFrame(framed, tag(seed)); err != nil || n != len(framed) || !bytes.Equal(payload, b) {
				t.Errorf("framed %q: got %q, %d, %v", b, payload, n, err)
			}
			return
		}
		if again := append(appendFrame(nil, tag(seed), seq, payload), payload...); !bytes.Equal(again, b[:n]) {
			t.Errorf("got %q for frame %q", again, b[:n])
		}
	})
}

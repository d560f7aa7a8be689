package store

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
)

// TestUnclaimed: a store opened with the zero Identity makes no file and takes
// no records before its first claim, and has ids from then on.
func TestUnclaimed(t *testing.T) {
	for _, file := range [][]byte{nil, {}} {
		d := newDisk(nil)
		if file != nil {
			d = diskWith(file)
		}
		for range 2 {
			s, err := openFor(d, auth.Identity{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantLoad(t, s, "")
			wantErr(t, "append", s.Append(t.Context(), []byte("a")), errUnclaimed)
			wantErr(t, "compact", s.Compact(t.Context(), []byte("a")), errUnclaimed)
			if s.NeedsCompaction() || s.Size() != 0 || s.Damage() != nil {
				t.Errorf("got size %d, damage %v, or a compaction due", s.Size(), s.Damage())
			}
			mustClose(t, s)
		}
		if d.steps() != 0 {
			t.Errorf("the disk was changed: %v", d.ops)
		}
		s, err := openFor(d, auth.Identity{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.setFault(failing(syscall.ENOSPC, opWrite))
		_, err = s.Claim(t.Context(), dev1())
		wantErr(t, "claim on a full disk", err, ErrFull, syscall.ENOSPC)
		d.setFault(nil)
		release := mustClaim(t, s, auth.Identity{DeviceID: "dev2", ModuleID: "m"}) // the first that succeeds
		mustAppend(t, s, "a")
		release()
		mustClose(t, s)
		s, err = openFor(d, auth.Identity{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Claim(t.Context(), dev1())
		wantErr(t, "claim by another", err, ErrForeign)
		mustClaim(t, s, auth.Identity{DeviceID: "dev2", ModuleID: "m"})
		wantLoad(t, s, "|a")
		mustClose(t, s)
	}
}

// TestUnclaimedFiles: what Open with the zero Identity makes of files.
func TestUnclaimedFiles(t *testing.T) {
	good := image(dev1(), salt, "snap", "one")
	for _, tt := range []struct {
		desc    string
		file    []byte
		want    error
		owner   string
		loaded  string
		damaged bool
	}{
		{"a device's", good, nil, "dev1", "snap|one", false},
		{"a device's, torn", good[:len(good)-1], nil, "dev1", "snap", true},
		{"a device's, with a damaged snapshot", flip(good, 46), nil, "dev1", "", true},
		{"with a damaged header", flip(good, 27), nil, "", "", true},
		{"of no device", image(auth.Identity{}, salt, ""), ErrForeign, "", "", false},
		{"text", []byte("root:x:0:0:root:/root:/bin/sh\n"), ErrForeign, "", "", false},
		{"newer", versioned(good, 2), ErrNewer, "", "", false},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			d := diskWith(tt.file)
			s, err := openFor(d, auth.Identity{}, nil)
			if tt.want != nil {
				wantErr(t, "open", err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (s.Damage() != nil) != tt.damaged || s.log.owner.DeviceID != tt.owner {
				t.Errorf("got damage %v and owner %q, want %v and %q", s.Damage(), s.log.owner.DeviceID, tt.damaged, tt.owner)
			}
			if tt.owner != "" {
				_, err = s.Claim(t.Context(), auth.Identity{DeviceID: "dev2"})
				wantErr(t, "claim by another", err, ErrForeign)
			}
			mustClaim(t, s, dev1())
			wantLoad(t, s, tt.loaded)
			mustAppend(t, s, "more")
			mustClose(t, s)
			wantLoad(t, mustOpen(t, d, nil), tt.loaded+"|more")
		})
	}
}

// TestFirstClaimPowerCut cuts the power at every moment of a first claim: the
// store has no device then, or the right one, and the right one for good once
// Claim has returned.
func TestFirstClaimPowerCut(t *testing.T) {
	damaged := flip(image(dev1(), salt, "snap", "one"), 27)
	for _, files := range []map[string][]byte{nil, {"twin": {}}, {"twin": damaged}} {
		d := newDisk(files)
		s, err := openFor(d, auth.Identity{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustClaim(t, s, dev1())
		claimed := d.steps()
		mustAppend(t, s, "a")
		appended := d.steps()
		mustClose(t, s)
		cuts := 0
		for k := range d.steps() + 1 {
			for what, files := range d.crashAt(k).images() {
				cuts++
				s, err := openFor(newDisk(files), auth.Identity{}, nil)
				if err != nil {
					t.Fatalf("cut after %d changes, %s: %v", k, what, err)
				}
				if owner := s.log.owner.DeviceID; owner != "dev1" && (owner != "" || k >= claimed) {
					t.Errorf("cut after %d changes, %s: the store is %q's", k, what, owner)
				}
				mustClaim(t, s, dev1())
				if _, records := s.Load(); len(records) == 0 && k >= appended {
					t.Errorf("cut after %d changes, %s: the record is lost", k, what)
				}
				mustClose(t, s)
			}
		}
		if cuts < 20 {
			t.Errorf("only %d cuts; the model does not bite", cuts)
		}
	}
}

// TestFirstClaimBreaks: where the file may have the ids or not, they count.
func TestFirstClaimBreaks(t *testing.T) {
	d := newDisk(nil)
	s, err := openFor(d, auth.Identity{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d.setFault(failing(syscall.EIO, opSyncDir))
	_, err = s.Claim(t.Context(), dev1())
	wantErr(t, "claim", err, ErrBroken, syscall.EIO)
	d.setFault(nil)
	_, err = s.Claim(t.Context(), auth.Identity{DeviceID: "dev2"})
	wantErr(t, "claim by another", err, ErrForeign)
	mustClaim(t, s, dev1())
	wantErr(t, "append", s.Append(t.Context(), nil), ErrBroken)
	mustCompact(t, s, "mended")
	mustAppend(t, s, "a")
	wantLoad(t, s, "mended|a")
}

// TestUnclaimedOnAFile is the life of a device that is provisioned late.
func TestUnclaimedOnAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "twin")
	s, err := Open(path, auth.Identity{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, auth.Identity{}, nil)
	wantErr(t, "second open", err, ErrLocked)
	mustClaim(t, s, dev1())
	mustAppend(t, s, "a")
	mustClose(t, s)
	_, err = Open(path, others()[0], nil)
	wantErr(t, "open for another", err, ErrForeign)
	for _, id := range []auth.Identity{{}, dev1()} {
		s, err = Open(path, id, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustClaim(t, s, dev1())
		wantLoad(t, s, "|a")
		mustClose(t, s)
	}
}

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
)

const salt = 0x1122334455667788

// TestFormat holds the bytes that doc.go tells of.
func TestFormat(t *testing.T) {
	id := auth.Identity{Host: "h", DeviceID: "dev1", ModuleID: "m"}
	got := image(id, salt, "snap", "", "r2")
	want := "\x89DTwin\r\n" + "\x01\x00\x00\x00" + "\x4b\x9a\x06\x57" + // magic, version, checksum
		"\x88\x77\x66\x55\x44\x33\x22\x11" + "\x04\x01" + "dev1" + "m" // salt, lengths, ids
	if crc(want[:12]) != want[12:16] {
		t.Error("the first checksum is not of the bytes before it")
	}
	want += crc(want[16:])
	for i, r := range []string{"snap", "", "r2"} {
		head := string([]byte{byte(len(r)), 0, 0, 0, byte(i), 0, 0, 0})
		want += head + crc(want[16:24]+head+r) + r
	}
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// crc is CRC-32C as four bytes, bit by bit from its definition.
func crc(s string) string {
	sum := ^uint32(0)
	for _, c := range []byte(s) {
		sum ^= uint32(c)
		for range 8 {
			sum = sum>>1 ^ 0x82f63b78*(sum&1)
		}
	}
	return string(binary.LittleEndian.AppendUint32(nil, ^sum))
}

// TestBrokenFiles is a table of what may be found in place of a good file.
func TestBrokenFiles(t *testing.T) {
	good := image(dev1(), salt, "snap", "one", "two", "three")
	const header, frame = headerLen + 4, frameLen
	one := header + frame + 4
	two, three := one+frame+3, one+2*(frame+3)
	tests := []struct {
		desc   string
		file   []byte
		want   string // loaded
		damage string // a part of it; empty for none
		torn   bool
	}{
		{"whole", good, "snap|one|two|three", "", false},
		{"empty", []byte{}, "", "", false},
		{"cut in the last record", good[:len(good)-1], "snap|one|two", "longer than the rest", true},
		{"cut in the last frame", good[:three+5], "snap|one|two", "frame is cut off", true},
		{"cut in a record before it", good[:two+frame], "snap|one", "longer than the rest", true},
		{"cut in the snapshot", good[:one-1], "", "longer than the rest", false},
		{"cut behind the header", good[:header], "", "the snapshot is missing", false},
		{"cut in the header", good[:header-1], "", "cut off", false},
		{"cut in the preamble", good[:9], "", "does not begin as a store", false},
		{"zeros behind", slices.Concat(good, make([]byte, 500)), "snap|one|two|three", "checksum", true},
		{"an erased page behind", slices.Concat(good, bytes.Repeat([]byte{0xff}, 500)), "snap|one|two|three", "longer", true},
		{"text behind", append(slices.Clone(good), "syslogd: started\n"...), "snap|one|two|three", "longer", true},
		{"a bit in the last payload", flip(good, len(good)-1), "snap|one|two", "checksum", true},
		{"a bit in the last number", flip(good, three+4), "snap|one|two", "checksum", true},
		{"a bit in the last checksum", flip(good, three+8), "snap|one|two", "checksum", true},
		{"a bit in a payload in the middle", flip(good, two+frame), "snap|one", "checksum", false},
		{"a bit in a length in the middle", flip(good, two), "snap|one", "checksum", false},
		{"a high bit in a length in the middle", flip(good, two+3), "snap|one", "longer", false},
		{"a bit in the first record", flip(good, one+frame), "snap", "checksum", false},
		{"a bit in the snapshot", flip(good, header+frame), "", "checksum", false},
		{"a bit in the device's id", flip(good, header-6), "", "header", false},
		{"a bit in the salt", flip(good, 16), "", "header", false},
		{"a bit in the version", flip(good, 8), "", "header", false},
		{"a bit in the magic", flip(good, 0), "", "header", false},
		{"a version that never was", versioned(good, 0), "", "no format 0", false},
		{"a page of zeros at the start", slices.Concat(make([]byte, 64), good[64:]), "", "header", false},
		{"an erased page at the start", slices.Concat(bytes.Repeat([]byte{0xff}, 64), good[64:]), "", "header", false},
		{"a lost page in the middle", slices.Concat(good[:two-2], make([]byte, 8), good[two+6:]), "snap", "checksum", false},
		{"a record twice", slices.Concat(good[:three], good[two:]), "snap|one|two", "record 2 stands where record 3 is due", false},
		{"a record missing", slices.Concat(good[:two], good[three:]), "snap|one", "record 3 stands where record 2 is due", false},
		{"two records exchanged", slices.Concat(good[:one], good[two:three], good[one:two], good[three:]), "snap", "record 2 stands", false},
		{"the same again", slices.Concat(good, good[header:]), "snap|one|two|three", "record 0 stands where record 4", false},
		{"blocks of an earlier file behind", slices.Concat(good, image(dev1(), salt+1, "snap", "one", "two", "three", "four", "five")[three+frame+5:]),
			"snap|one|two|three", "checksum", true},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			d := newDisk(map[string][]byte{"twin": tt.file, "twin.new": []byte("leftover")})
			s := mustOpen(t, d, nil)
			checkDamage(t, d, s.Damage(), tt.file, tt.damage, tt.torn)
			wantLoad(t, s, tt.want)
			if d.data("twin.new") != nil {
				t.Error("the leftover of a compaction is still there")
			}
			mustAppend(t, s, "more")
			mustClose(t, s)
			s = mustOpen(t, d, nil)
			if err := s.Damage(); err != nil {
				t.Errorf("damage at the next Open: got %v, want none", err)
			}
			wantLoad(t, s, tt.want+"|more")
		})
	}
}

func checkDamage(t *testing.T, d *fakeDisk, err error, found []byte, want string, torn bool) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("damage: got %v, want none", err)
		}
		return
	}
	var damage *DamageError
	if !errors.As(err, &damage) {
		t.Fatalf("damage: got %v, want a DamageError", err)
	}
	if !strings.Contains(err.Error(), want) || damage.Torn != torn || damage.Path != "twin" {
		t.Errorf("damage: got %+v, want one that says %q, torn: %v", damage, want, torn)
	}
	if damage.Offset+damage.Dropped != int64(len(found)) {
		t.Errorf("damage: %d bytes dropped at %d, want all to the end, %d", damage.Dropped, damage.Offset, len(found))
	}
	kept := d.data("twin.corrupt")
	if torn && (kept != nil || damage.Kept != "") {
		t.Errorf("a torn file was set aside, as %q", damage.Kept)
	}
	if !torn && (!bytes.Equal(kept, found) || damage.Kept != "twin.corrupt") {
		t.Errorf("set aside as %q: got %q, want %q", damage.Kept, kept, found)
	}
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

// versioned is a file with another version, and the right checksum of it.
func versioned(b []byte, v uint32) []byte {
	b = slices.Clone(b)
	binary.LittleEndian.PutUint32(b[8:], v)
	copy(b[12:], crc(string(b[:12])))
	return b
}

// TestEveryPrefix: a good file cut anywhere is damaged or whole, and what is
// before the cut is found.
func TestEveryPrefix(t *testing.T) {
	records := numbered(12)
	whole := image(dev1(), salt, "snapshot", records...)
	for n := range len(whole) {
		d := diskWith(whole[:n])
		got, s, err := loadAll(d)
		if err != nil {
			if n < 8 && errors.Is(err, ErrForeign) {
				continue
			}
			t.Fatalf("cut at %d: %v", n, err)
		}
		if want := strings.Join(append([]string{"snapshot"}, records...), "|"); !strings.HasPrefix(want, got) {
			t.Errorf("cut at %d: got %q, want a beginning of %q", n, got, want)
		}
		mustClose(t, s)
	}
}

// TestRefused: a file that isn't ours is not touched.
func TestRefused(t *testing.T) {
	good := image(dev1(), salt, "snap", "one")
	tests := []struct {
		desc string
		file []byte
		want error
		says string
	}{
		{"another device", image(auth.Identity{DeviceID: "dev2"}, salt, "snap"), ErrForeign, `"dev2"`},
		{"a device in other letters", image(auth.Identity{DeviceID: "Dev1"}, salt, "snap"), ErrForeign, `"Dev1"`},
		{"a module of this device", image(auth.Identity{DeviceID: "dev1", ModuleID: "m"}, salt, "snap"), ErrForeign, `"m"`},
		{"another device, torn", image(auth.Identity{DeviceID: "dev2"}, salt, "snap")[:45], ErrForeign, `"dev2"`},
		{"text", []byte("root:x:0:0:root:/root:/bin/sh\n"), ErrForeign, "is the path right"},
		{"one byte", []byte("x"), ErrForeign, "is the path right"},
		{"an SQLite database", []byte("SQLite format 3\x00\x10\x00\x01\x01"), ErrForeign, "is the path right"},
		{"a newer version", versioned(good, 2), ErrNewer, "format is 2"},
		{"a newer version of which nothing else is known", versioned(good, 1000)[:16], ErrNewer, "format is 1000"},
		{"too large", make([]byte, 4*minMaxSize+1), nil, "raise that"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			d := newDisk(map[string][]byte{"twin": tt.file, "twin.new": []byte("perhaps not ours")})
			_, err := openOn(d, &Options{MaxSize: minMaxSize})
			if err == nil {
				t.Fatal("got no error")
			}
			if tt.want != nil {
				wantErr(t, "open", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, want one that says %q", err, tt.says)
			}
			if len(d.ops) != 0 {
				t.Errorf("the disk was changed: %v", d.ops)
			}
		})
	}
}

// TestHostMayChange: a device that moves to another hub keeps its store.
func TestHostMayChange(t *testing.T) {
	s, path := tempStore(t, nil)
	mustAppend(t, s, "a")
	mustClose(t, s)
	id := dev1()
	id.Host, id.Gateway = "other.example.net", "edge"
	s, err := Open(path, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLoad(t, s, "|a")
	mustClose(t, s)
}

// TestCorruptIsBounded: there is one file with the last damage.
func TestCorruptIsBounded(t *testing.T) {
	d := newDisk(map[string][]byte{"twin": image(dev1(), salt, "x")[:40], "twin.corrupt": []byte("an older one")})
	s := mustOpen(t, d, nil)
	if len(d.names) != 2 || len(d.data("twin.corrupt")) != 40 {
		t.Errorf("got files %v and %q set aside", d.names, d.data("twin.corrupt"))
	}
	mustClose(t, s)
}

// TestRealFiles: modes, links, folders and paths.
func TestRealFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "twin")
	s, err := Open(path, dev1(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "a")
	mustCompact(t, s, "b")
	mustClose(t, s)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode: got %v, %v, want 0600", info.Mode(), err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err == nil { // Windows may refuse
		s, err = Open(link, dev1(), nil)
		if err != nil {
			t.Fatal(err)
		}
		mustCompact(t, s, "through a link")
		mustClose(t, s)
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("the link is a link no more: %v, %v", info, err)
		}
	}
	_, err = Open(filepath.Join(dir, "no", "twin"), dev1(), nil)
	wantErr(t, "no folder", err, fs.ErrNotExist)
	if _, err = Open(dir, dev1(), nil); err == nil {
		t.Error("a folder was opened as a store")
	}
	if _, err = Open("", dev1(), nil); err == nil {
		t.Error("an empty path was opened as a store")
	}
	_, err = Open(path, auth.Identity{Host: "h"}, nil)
	wantErr(t, "no device id", err, auth.ErrInvalid)
	for _, o := range []Options{{SyncEvery: -1}, {MaxSize: -1}, {MaxSize: 100}, {MaxSize: maxMaxSize + 1}} {
		if _, err := Open(path, dev1(), &o); err == nil {
			t.Errorf("options %+v: got no error", o)
		}
	}
}

// TestPathStaysRight when the program changes its folder.
func TestPathStaysRight(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s, err := Open("twin", dev1(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	mustCompact(t, s, "moved")
	mustClose(t, s)
	s, err = Open(filepath.Join(dir, "twin"), dev1(), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLoad(t, s, "moved")
	mustClose(t, s)
}

// TestLocked: a store is open once, in this process too.
func TestLocked(t *testing.T) {
	s, path := tempStore(t, nil)
	_, err := Open(path, dev1(), nil)
	wantErr(t, "second open", err, ErrLocked)
	mustAppend(t, s, "a")
	mustCompact(t, s, "b") // a new file, and locked still
	_, err = Open(path, dev1(), nil)
	wantErr(t, "second open after a compaction", err, ErrLocked)
	mustClose(t, s)
	_, err = Open(path, auth.Identity{DeviceID: "dev2"}, nil)
	wantErr(t, "foreign", err, ErrForeign)
	s, err = Open(path, dev1(), nil) // the one refused holds no lock
	if err != nil {
		t.Fatal(err)
	}
	wantLoad(t, s, "b")
	mustClose(t, s)
}

package store

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/auth"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !runChild() {
		goleak.VerifyTestMain(m)
	}
}

// dev1 is the identity of most tests.
func dev1() auth.Identity { return auth.Identity{Host: "hub.example.net", DeviceID: "dev1"} }

// mustOpen opens a store on a fake disk; the test closes it at its end, and
// checks that it can be opened again.
func mustOpen(t testing.TB, d *fakeDisk, opts *Options) *Store {
	t.Helper()
	s, err := openOn(d, opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		_ = s.Close() // a second time for most
		d.setFault(nil)
		again, err := openOn(d, nil)
		if err != nil {
			t.Fatalf("opening again after the test: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Errorf("closing again after the test: %v", err)
		}
	})
	return s
}

func openOn(d disk, opts *Options) (*Store, error) { return openFor(d, dev1(), opts) }

func openFor(d disk, id auth.Identity, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	return wrapped(open(d, "twin", id, o))
}

// tempStore is a store in a real file.
func tempStore(t testing.TB, opts *Options) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "twin")
	s, err := Open(path, dev1(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, path
}

func mustAppend(t testing.TB, s *Store, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := s.Append(context.Background(), []byte(r)); err != nil {
			t.Fatalf("append %q: %v", r, err)
		}
	}
}

func mustCompact(t testing.TB, s *Store, snapshot string) {
	t.Helper()
	if err := s.Compact(context.Background(), []byte(snapshot)); err != nil {
		t.Fatalf("compact: %v", err)
	}
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// wantLoad checks what a store found, written as "snapshot|record|record".
func wantLoad(t testing.TB, s *Store, want string) {
	t.Helper()
	snapshot, records := s.Load()
	got := string(bytes.Join(append([][]byte{snapshot}, records...), []byte("|")))
	if got != want {
		t.Errorf("loaded: got %q, want %q", got, want)
	}
}

func wantErr(t testing.TB, what string, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%s: got %v, want an error that matches %v", what, err, target)
		}
	}
}

// image is a good file: a snapshot and records, with a salt of its own.
func image(id auth.Identity, salt uint64, snapshot string, records ...string) []byte {
	b, t := appendHeader(nil, id, salt)
	for i, r := range slices.Concat([]string{snapshot}, records) {
		b = appendFrame(b, t, uint32(i), []byte(r))
		b = append(b, r...)
	}
	return b
}

// numbered is n records.
func numbered(n int) []string {
	var records []string
	for i := range n {
		records = append(records, fmt.Sprintf("r%d%s", i, strings.Repeat(".", i%7)))
	}
	return records
}

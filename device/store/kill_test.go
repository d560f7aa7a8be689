//go:build !windows

package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	kills     = flag.Int("kills", 60, "how often TestKill kills a process")
	killsTime = flag.Duration("kills.time", 20*time.Second, "when TestKill stops earlier")
	childPath = flag.String("child", "", "internal: append to this store until killed; with -child.hold, only lock it")
	childHold = flag.Bool("child.hold", false, "internal")
)

// runChild is the process that is killed: it appends numbered records, some
// of them together, compacts now and then, and tells each number on its
// output once it is durable. It reports whether this process is such a one.
func runChild() bool {
	if *childPath == "" {
		return false
	}
	if err := appendForever(*childPath, *childHold); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func appendForever(path string, hold bool) error {
	s, err := Open(path, dev1(), &Options{MaxSize: 16 << 10})
	if err != nil {
		return err
	}
	tell := func(n uint64) error {
		_, err := os.Stdout.Write(binary.LittleEndian.AppendUint64(nil, n))
		return err
	}
	snapshot, records := s.Load()
	n, err := countNumbered(snapshot, records)
	if err == nil {
		err = tell(n)
	}
	for err == nil && !hold {
		var batch []*pending
		first := n
		for range 1 + rand.IntN(4) {
			batch = append(batch, s.BeginAppend(numberedRecord(n)))
			n++
		}
		if s.NeedsCompaction() || rand.IntN(10) == 0 {
			batch = append(batch, s.BeginCompact(numberedRecord(n)))
		}
		for i, p := range batch {
			if err == nil {
				err = p.Wait(context.Background())
			}
			if err == nil && first+uint64(i) < n {
				err = tell(first + uint64(i) + 1)
			}
		}
	}
	if hold {
		_, err = io.ReadAll(os.Stdin)
	}
	return err
}

// numberedRecord is a record of some length, and a snapshot that covers the
// records before it.
func numberedRecord(n uint64) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), strings.Repeat("x", int(n*37%400))...)
}

// countNumbered checks what was found, and returns the next number.
func countNumbered(snapshot []byte, records [][]byte) (n uint64, err error) {
	if snapshot != nil {
		n = binary.LittleEndian.Uint64(snapshot)
		if string(snapshot) != string(numberedRecord(n)) {
			return n, fmt.Errorf("the snapshot is not that of %d", n)
		}
	}
	for _, r := range records {
		if string(r) != string(numberedRecord(n)) {
			return n, fmt.Errorf("record %d is %.20q", n, r)
		}
		n++
	}
	return n, nil
}

// child starts this test's program as a child on a store.
func child(t *testing.T, path string, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-child", path}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil && len(args) > 0 {
		_, err = cmd.StdinPipe() // never written to; it ends with us
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // again, for most
		_ = cmd.Wait()
	})
	return cmd, bufio.NewReader(out)
}

// TestKill kills a process with SIGKILL at random moments, again and again,
// on one file: what it said to be durable is there, in order, and the rest is
// what it may have been about to say.
//
//	go test ./device/store -run TestKill -kills 500 -kills.time 5m
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "twin")
	end := time.Now().Add(*killsTime)
	var told, torn uint64
	done := 0
	for ; done < *kills && time.Now().Before(end); done++ {
		last, err := killOnce(t, path)
		if err != nil {
			t.Fatal(err)
		}
		told = max(told, last)
		s, err := Open(path, dev1(), nil)
		if err != nil {
			t.Fatalf("after %d kills: %v", done+1, err)
		}
		if s.Damage() != nil {
			torn++
		}
		n, err := countNumbered(s.Load())
		if err != nil || n < told || n > told+4 {
			t.Fatalf("after %d kills: found %d records, told %d were durable (%v)", done+1, n, told, err)
		}
		told = n
		mustClose(t, s)
	}
	t.Logf("%d kills, %d records, %d times a torn end", done, told, torn)
	if done < min(*kills, 10) {
		t.Errorf("got %d kills in %v, want 10 or more", done, *killsTime)
	}
}

// killOnce lets a child live for a moment, and returns the last number that
// it told.
func killOnce(t *testing.T, path string) (last uint64, err error) {
	cmd, out := child(t, path)
	life := time.NewTimer(time.Hour)
	defer life.Stop()
	numbers := make(chan uint64)
	go func() {
		defer close(numbers)
		var b [8]byte
		for {
			if _, err := io.ReadFull(out, b[:]); err != nil {
				return // it was killed
			}
			numbers <- binary.LittleEndian.Uint64(b[:])
		}
	}()
	told := 0
	for {
		select {
		case n, ok := <-numbers:
			if !ok {
				err := cmd.Wait() // so that its lock is free
				if told == 0 {
					return 0, fmt.Errorf("the child ended by itself: %v", err)
				}
				return last, nil
			}
			last = n
			if told++; told == 1 { // it has opened the store
				life.Reset(rand.N(20 * time.Millisecond))
			}
		case <-life.C:
			_ = cmd.Process.Kill() // then its output ends
		}
	}
}

// TestLockedByAnotherProcess, and free again when that is killed.
func TestLockedByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "twin")
	cmd, out := child(t, path, "-child.hold")
	var b [8]byte
	if _, err := io.ReadFull(out, b[:]); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, dev1(), nil)
	wantErr(t, "open", err, ErrLocked)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	s, err := Open(path, dev1(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

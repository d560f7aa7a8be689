package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// typical is a record of a reported change: 60 bytes.
func typical() []byte {
	return []byte(`{"r":{"climate":{"temperature":21.5,"humidity":40}},"v":1234}`)[:60]
}

// report tells what a benchmark wrote: bytes and pages of 4 KiB that a flash
// sees for each record, and fsyncs. Each fsync writes at least the last page
// again; what the file system notes for itself comes on top.
func report(b *testing.B, before, after Stats) {
	n := float64(after.Records - before.Records)
	b.ReportMetric(float64(after.Bytes-before.Bytes)/n, "written-B/op")
	b.ReportMetric(float64(after.Syncs-before.Syncs)/n, "fsyncs/op")
}

// appendOrCompact is a client's whole use of the store.
func appendOrCompact(b *testing.B, s *Store, record, snapshot []byte) {
	err := s.Append(b.Context(), record)
	if err != nil || s.NeedsCompaction() {
		err = s.Compact(b.Context(), snapshot)
	}
	if err != nil {
		b.Error(err)
	}
}

// BenchmarkAppend is a record of 60 bytes, on a real file, with the
// compactions to a snapshot of 2 KB that it brings about.
func BenchmarkAppend(b *testing.B) {
	for _, every := range []time.Duration{0, time.Second} {
		b.Run(fmt.Sprintf("SyncEvery=%v", every), func(b *testing.B) {
			s, _ := tempStore(b, &Options{SyncEvery: every})
			r, snapshot := typical(), make([]byte, 2<<10)
			b.ReportAllocs()
			before := s.Stats()
			for b.Loop() {
				appendOrCompact(b, s, r, snapshot)
			}
			report(b, before, s.Stats())
		})
	}
}

// BenchmarkAppendTogether is as many goroutines as share an fsync.
func BenchmarkAppendTogether(b *testing.B) {
	for _, n := range []int{4, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, _ := tempStore(b, nil)
			r, snapshot := typical(), make([]byte, 2<<10)
			before := s.Stats()
			var wg sync.WaitGroup
			for g := range n {
				wg.Go(func() {
					for i := g; i < b.N; i += n {
						appendOrCompact(b, s, r, snapshot)
					}
				})
			}
			wg.Wait()
			report(b, before, s.Stats())
		})
	}
}

// BenchmarkAppendCPU is the same without a disk.
func BenchmarkAppendCPU(b *testing.B) {
	d := newDisk(nil)
	d.fault = func(op) (int, error) { d.ops = d.ops[:0]; return 0, nil }
	s, err := openOn(d, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r, snapshot := typical(), make([]byte, 2<<10)
	b.ReportAllocs()
	before := s.Stats()
	for b.Loop() {
		appendOrCompact(b, s, r, snapshot)
	}
	report(b, before, s.Stats())
}

func BenchmarkCompact(b *testing.B) {
	for _, size := range []int{2 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			s, _ := tempStore(b, nil)
			snapshot := []byte(strings.Repeat("s", size))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Compact(b.Context(), snapshot); err != nil {
					b.Fatal(err)
				}
			}
			st := s.Stats()
			b.ReportMetric(float64(st.Bytes)/float64(st.Compactions), "written-B/op")
			b.ReportMetric(float64(st.Syncs)/float64(st.Compactions), "fsyncs/op")
		})
	}
}

// BenchmarkOpen is a file of almost 1 MiB, in records of 60 bytes.
func BenchmarkOpen(b *testing.B) {
	d := newDisk(nil)
	s, err := openOn(d, nil)
	if err != nil {
		b.Fatal(err)
	}
	var last *pending
	for range 14_000 {
		last = s.BeginAppend(typical())
	}
	if err := errors.Join(last.Wait(b.Context()), s.Close()); err != nil {
		b.Fatal(err)
	}
	file := d.data("twin")
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		d := diskWith(file)
		if s, err = openOn(d, nil); err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}

// BenchmarkOpenReal is the same with a real file of 64 KB.
func BenchmarkOpenReal(b *testing.B) {
	path := filepath.Join(b.TempDir(), "twin")
	for b.Loop() {
		s, err := Open(path, dev1(), nil)
		if err != nil {
			b.Fatal(err)
		}
		if s.Size() < 64<<10 {
			_ = s.Append(b.Context(), make([]byte, 64<<10))
		}
		_ = s.Close()
	}
}

package device_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A memStore is a store in memory: what it holds is what a power cut
// would leave. Writes that wait while one is under way share the next.
type memStore struct {
	mu       sync.Mutex
	claimed  bool
	snapshot []byte
	records  [][]byte
	delay    time.Duration // of each write
	fail     error         // of each write
	hangs    bool          // nothing is ever written
	appends  int
	compacts int
	failed   int
	bytes    int // written
	queue    []memWrite
	busy     bool // a goroutine writes the queue
}

type memWrite struct {
	records  [][]byte
	snapshot []byte
	compact  bool
	done     func(error)
}

var errMemInUse = errors.New("the store is in use")

func (m *memStore) ForClient(own.Key) keep.Store { return m }

func (m *memStore) Unsynced() (int64, time.Time) { return 0, time.Time{} }

func (m *memStore) Claim(_ context.Context, id auth.Identity) (func(context.Context) error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claimed {
		return nil, fmt.Errorf("%w by another than %v", errMemInUse, id)
	}
	m.claimed = true
	return m.release, nil
}

func (m *memStore) release(ctx context.Context) error {
	written := make(chan struct{})
	_ = m.begin(memWrite{done: func(error) { close(written) }})
	var err error
	select {
	case <-written:
	case <-ctx.Done():
		err = ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claimed = false
	return err
}

func (m *memStore) Load() ([]byte, [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snapshot, slices.Clone(m.records)
}

func (m *memStore) AppendFunc(done func(error), records ...[]byte) error {
	return m.begin(memWrite{done: done, records: records})
}

func (m *memStore) CompactFunc(done func(error), snapshot []byte) error {
	return m.begin(memWrite{done: done, snapshot: snapshot, compact: true})
}

func (m *memStore) begin(w memWrite) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, w)
	if !m.busy && !m.hangs {
		m.busy = true
		go m.run()
	}
	return nil
}

// run writes the queue, and ends.
func (m *memStore) run() {
	for {
		m.mu.Lock()
		n := slices.IndexFunc(m.queue, func(w memWrite) bool { return w.compact })
		switch n {
		case -1:
			n = len(m.queue)
		case 0:
			n = 1
		}
		batch := m.queue[:n:n]
		m.queue = m.queue[n:]
		delay := m.delay
		if len(batch) == 0 {
			m.busy = false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		barrier := slices.IndexFunc(batch, func(w memWrite) bool { return w.compact || len(w.records) > 0 }) < 0
		if !barrier {
			time.Sleep(delay)
		}
		m.mu.Lock()
		err := m.fail
		switch {
		case barrier:
			err = nil
		case err == nil:
			m.write(batch)
		default:
			m.failed++
		}
		m.mu.Unlock()
		for _, w := range batch {
			w.done(err)
		}
	}
}

func (m *memStore) write(batch []memWrite) {
	if batch[0].compact {
		m.compacts++
		m.bytes += len(batch[0].snapshot)
		m.snapshot, m.records = slices.Clone(batch[0].snapshot), nil
		return
	}
	for _, w := range batch {
		for _, r := range w.records {
			m.bytes += len(r)
			m.records = append(m.records, slices.Clone(r))
		}
	}
	m.appends++
}

func (m *memStore) NeedsCompaction() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records) > 50
}

// powerCut is the store as the next start finds it.
func (m *memStore) powerCut() *memStore {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memStore{snapshot: slices.Clone(m.snapshot), records: slices.Clone(m.records), delay: m.delay}
}

func (m *memStore) broken(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memStore) snapshots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.compacts
}

func (m *memStore) tries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

func (m *memStore) wrote() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

func (m *memStore) writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.appends + m.compacts
}

package store

import "time"

// Unsynced returns how many bytes are acknowledged and not durable yet, and
// since when, as Stats does. Both are zero where Options.SyncEvery is.
func (s *logStore) Unsynced() (bytes int64, since time.Time) {
	stats := s.Stats()
	return stats.Unsynced, stats.UnsyncedSince
}

//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package store

import (
	"errors"
	"fmt"
	"io"
	"runtime"
)

// lockFile fails: a store without a lock is not worth having.
func lockFile(name string) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: %w on %s", name, errors.ErrUnsupported, runtime.GOOS)
}

func syncDir(string) error { return nil }

func isFull(error) bool { return false }

//go:build unix

package files

import (
	"errors"
	"os"
)

// syncFolder makes a rename outlive a power cut.
func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

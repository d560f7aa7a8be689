package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/store"
)

// device1 is whose store it is.
func device1() auth.Identity {
	return auth.Identity{Host: "myhub.azure-devices.net", DeviceID: "dev1"}
}

// tempFile stands for a file such as /data/twin.
func tempFile() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "twin"), func() { _ = os.RemoveAll(dir) }
}

// A store is opened with what a device can go on without in mind.
func ExampleOpen() {
	path, remove := tempFile()
	defer remove()
	s, err := store.Open(path, device1(), nil)
	switch {
	case errors.Is(err, store.ErrNewer):
		fmt.Println("rolled back: run without a store, and leave the file alone")
		return
	case err != nil:
		fmt.Println("run without a store:", err)
		return
	}
	defer s.Close()
	if err := s.Damage(); err != nil {
		fmt.Println("worth a look:", err)
	}

	_, err = store.Open(path, device1(), nil)
	fmt.Println(errors.Is(err, store.ErrLocked))
	// Output: true
}

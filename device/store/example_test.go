package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

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

// What Append has returned for is there after a power cut.
func ExampleStore_Append() {
	ctx := context.Background()
	path, remove := tempFile()
	defer remove()
	s, err := store.Open(path, device1(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Append(ctx, []byte("battery 87")))
	fmt.Println(s.Append(ctx, []byte("battery 86")))
	_ = s.Close()

	s, err = store.Open(path, device1(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	_, records := s.Load()
	for _, r := range records {
		fmt.Printf("%s\n", r)
	}
	// Output:
	// <nil>
	// <nil>
	// battery 87
	// battery 86
}

// A snapshot takes the place of the records that it amounts to.
func ExampleStore_Compact() {
	ctx := context.Background()
	path, remove := tempFile()
	defer remove()
	s, err := store.Open(path, device1(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	for range 100 {
		_ = s.Append(ctx, []byte("one more"))
	}
	before := s.Size()
	fmt.Println(s.Compact(ctx, []byte("one hundred")), s.Size() < before/10)
	// Output: <nil> true
}

// A program applies the snapshot first and then the records.
func ExampleStore_Load() {
	ctx := context.Background()
	path, remove := tempFile()
	defer remove()
	s, err := store.Open(path, device1(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = s.Append(ctx, []byte("+1"))
	_ = s.Append(ctx, []byte("+1"))
	_ = s.Compact(ctx, []byte("2"))
	_ = s.Append(ctx, []byte("+1"))
	_ = s.Close()

	s, err = store.Open(path, device1(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	snapshot, records := s.Load()
	fmt.Printf("%s %s\n", snapshot, records)
	// Output: 2 [+1]
}

// A store is of one client at a time. One that was opened before the device
// was provisioned gets its device from the first claim.
func ExampleStore_Claim() {
	ctx := context.Background()
	path, remove := tempFile()
	defer remove()
	s, err := store.Open(path, auth.Identity{}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	release, err := s.Claim(ctx, device1())
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = s.Claim(ctx, device1())
	fmt.Println("in use:", errors.Is(err, store.ErrInUse))
	_ = s.Append(ctx, []byte("battery 87"))
	fmt.Println("all durable:", release(ctx) == nil)

	_, err = s.Claim(ctx, auth.Identity{DeviceID: "dev2"})
	fmt.Println("foreign:", errors.Is(err, store.ErrForeign))
	if release, err = s.Claim(ctx, device1()); err != nil {
		fmt.Println(err)
		return
	}
	defer release(ctx)
	_, records := s.Load()
	fmt.Printf("%s\n", records)
	// Output:
	// in use: true
	// all durable: true
	// foreign: true
	// [battery 87]
}

// A program without a goroutine of its own for the store is called when a
// record is durable.
func ExampleStore_AppendFunc() {
	path, remove := tempFile()
	defer remove()
	s, err := store.Open(path, device1(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = s.AppendFunc(func(err error) { fmt.Println("durable:", err == nil) }, []byte("battery 87"))
	if err != nil {
		fmt.Println(err) // refused: the store is closed, or its disk hangs
	}
	_ = s.Close() // finishes what was begun
	// Output: durable: true
}

// A record gets its place under the lock that orders the changes, and is
// waited for without it. So a snapshot taken under the lock covers exactly
// the records begun before it, and it also mends what an Append failed at.
func ExampleStore_BeginCompact() {
	ctx := context.Background()
	path, remove := tempFile()
	defer remove()
	s, err := store.Open(path, device1(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	var mu sync.Mutex
	counter := 0
	count := func() error {
		mu.Lock()
		counter++
		record := s.BeginAppend([]byte("+1"))
		mu.Unlock()
		err := record.Wait(ctx)
		if err != nil || s.NeedsCompaction() { // ErrFull and ErrBroken end with it
			mu.Lock()
			snapshot := s.BeginCompact(fmt.Append(nil, counter))
			mu.Unlock()
			err = snapshot.Wait(ctx) // covers the record
		}
		return err
	}
	for range 6000 {
		if err := count(); err != nil {
			fmt.Println(err)
			return
		}
	}
	st := s.Stats()
	fmt.Println(counter, st.Compactions, s.Size() < 64<<10)
	// Output: 6000 1 true
}

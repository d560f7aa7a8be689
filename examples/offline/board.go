package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// What the board finds in its environment. Only the first two are for a real
// hub: its name leads to it, and the system knows its CA.
const (
	envIdentity = "IOTHUB_DEVICE_CONNECTION_STRING" // a secret
	envStore    = "BOARD_STORE"                     // the path of its store
	envAddress  = "BOARD_HUB_ADDRESS"
	envCA       = "BOARD_HUB_CA" // the path of a PEM file
)

// patience is how long the board waits for the hub before it begins to work
// without.
const patience = 5 * time.Second

// A board has a fan and a heater, whose drives keep their setting without
// power; a lamp, which does not; and a battery, which a sensor measures.
type board struct {
	say func(format string, args ...any) // a line on its serial console
	dev *device.Client
}

// firmware is all that the board does from its boot to the end of its sensor.
// Nothing in it is about lines that die, and nothing about power cuts, but for
// the store.
func firmware(ctx context.Context, sensor io.Reader, console io.Writer) (err error) {
	id, cred, err := auth.ParseConnectionString(os.Getenv(envIdentity))
	if err != nil {
		return err
	}
	dial, err := dialer(os.Getenv(envAddress), os.Getenv(envCA))
	if err != nil {
		return err
	}
	st, err := store.Open(os.Getenv(envStore), id, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }() // once the client is closed

	b := &board{say: log.New(console, "", 0).Printf}
	b.say("boots, with %d bytes on its store", st.Size())
	b.dev = device.New(id, cred, dial, &device.Options{Store: st, OnState: b.notice})
	defer b.dev.Close()
	if err := b.listen(); err != nil {
		return err
	}
	return b.work(ctx, sensor)
}

func dialer(address, ca string) (transport.Dialer, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots, err := auth.ParseRoots(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ca, err)
	}
	return mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{
		RootCAs: roots,
		Address: address,
	})}, nil
}

// listen says which desired properties the board obeys. A durable listener is
// told at a boot only what changed since it last returned; any other is told
// what stands.
func (b *board) listen() error {
	_, err1 := b.dev.OnDesired("fan.rpm", b.obey, &device.ListenOptions{Acknowledge: true, Durable: "fan"})
	_, err2 := b.dev.OnDesired("heater.celsius", b.obey, &device.ListenOptions{Acknowledge: true, Durable: "heater"})
	_, err3 := b.dev.OnDesired("lamp", b.obey, nil)
	return errors.Join(err1, err2, err3)
}

// obey sets the drive or the lamp. A value that cannot be put into effect is
// an error here, which Acknowledge then tells to the hub.
func (b *board) obey(_ context.Context, c twin.Change) error {
	b.say("sets %s = %v (desired version %d, cause %q)", c.Path, c.Value, c.Version, c.Cause)
	return nil
}

// notice is told of every state of the client; it has nothing to do about it.
func (b *board) notice(now device.State) {
	switch {
	case now.Phase == device.Online:
		b.say("is online")
	case now.Phase == device.Waiting && now.Attempt == 1:
		b.say("has no line: %v", now.Err)
	}
}

// work reports what the board is, and then each measurement of its sensor,
// whether there is a line or not.
func (b *board) work(ctx context.Context, sensor io.Reader) error {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.dev.Connect(short); err != nil {
		b.say("begins without the hub: %v", err) // the client goes on trying
	}
	if err := b.dev.ReportLater(ctx, twin.Set("serial", "F7-0042").Set("firmware", "2.1")); err != nil {
		return err
	}
	b.say("reports what it is")
	measured := bufio.NewScanner(sensor)
	for measured.Scan() {
		battery, err := strconv.Atoi(measured.Text())
		if err != nil {
			return err
		}
		b.say("measures battery = %d", battery)
		if err := b.dev.ReportLater(ctx, twin.Set("battery", battery)); err != nil {
			return err // after device.ErrNotStored alone, a real board might go on
		}
		b.say("has battery = %d safe on its store", battery)
	}
	return measured.Err()
}

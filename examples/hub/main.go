// Command hub is an IoT Hub on your desk: the hub in the box as a program, for
// devices and back ends in any language. What it knows ends with it, unless it is
// given a place to keep it.
//
//	hub -device dev1 -x509-device dev2
//	hub -devices 100
//	hub -dir desk -state desk/state.json -device dev1
//
// It prints what to paste: connection strings, the CA to trust, certificates
// and keys. Ports below 1024 may need root: -https 0 takes any that is free, and
// so for the others; clients then need that port. The -info file tells the same
// to scripts; it appears, with mode 0600, once every port is open. What clients
// do is logged to stderr. Ctrl-C or SIGTERM ends it, with status 0; status 1 says
// that it could not start or went wrong, 2 that the command line is.
//
// With -dir the CA, the certificates and the keys of a start are those of the
// next: a board that trusts ca.pem needs no other. With -state identities and
// twins come back, too, those that a back end created and those of -device. The
// file is written within a second of a change, as a whole or not at all.
//
// The -config file is JSON, all of it optional; keys that it does not give are
// those in the -dir folder, or made up:
//
//	{"devices":  [{"id": "dev1", "primaryKey": "…base64…"},
//	              {"id": "dev1/module1"},
//	              {"id": "dev2", "auth": "certificateAuthority"},
//	              {"id": "dev3", "auth": "selfSigned"}],
//	 "policies": [{"name": "dashboard", "permissions": ["RegistryRead", "ServiceConnect"]}]}
//
// On the -control socket one command a line plays tricks on a device's line,
// and is answered "ok" or "error: …":
//
//	cut dev1     end its connection; it may connect again at once
//	down dev1    … and keep it from connecting; without a device, everyone
//	up dev1      let it connect again; without a device, everyone
//
//	echo 'cut dev1' | nc -U -N hub.sock
//
// With -events the hub serves telemetry over HTTP, without a token: the messages
// of a device that it has kept, and each one that comes, as a line of JSON. A
// request with follow=0 ends after those that are there. With -v each message is
// logged.
//
//	hub -device dev1 -events 127.0.0.1:8080
//	curl -N http://127.0.0.1:8080/devices/dev1/messages/events
//	curl http://127.0.0.1:8080/devices/dev1/modules/module1/messages/events?follow=0
//
// A line has the names of the files that IoT Hub writes to storage. As there, the
// body is JSON if the message has the content type application/json and the
// content encoding utf-8, and else base64:
//
//	{"EnqueuedTimeUtc":"2026-11-29T23:00:00Z","SequenceNumber":1,
//	 "SystemProperties":{"message-id":"m-1","iothub-connection-device-id":"dev1",…},
//	 "Properties":{"alert":"true"},"Body":{"temperature":21}}
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

func main() { desk.Main(run) }

// run is the whole program, and returns its exit status. Nothing that it
// started runs after it.
func run(ctx context.Context, args []string, c desk.Console) int {
	s, err := parse(args, c.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return desk.ExitDone
	case err != nil:
		desk.Explain(c.Stderr, "hub", err)
		return desk.ExitUsage
	}
	level := slog.LevelInfo
	if s.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(c.Stderr, &slog.HandlerOptions{Level: level}))
	if err := serve(ctx, s, log, c.Stdout); err != nil {
		desk.Explain(c.Stderr, "hub", err)
		return desk.ExitFailed
	}
	return desk.ExitDone
}

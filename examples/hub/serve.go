package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// serve runs the hub until ctx ends.
func serve(ctx context.Context, s *settings, log *slog.Logger, stdout io.Writer) (err error) {
	folder := s.folder
	if folder == "" {
		if folder, err = os.MkdirTemp("", "hub-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	} else if err = os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("-dir %s: %w", desk.Quote(folder), desk.Nameless(err))
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	d, err := openDrawer(folder)
	if err != nil {
		return err
	}
	hub, err := hubtest.Start(&hubtest.Options{Host: s.hostname, Logger: log, CA: d.ca, DeviceCA: d.device})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hub.Close()) }()

	told, err := prepare(hub, s, d)
	if err != nil {
		return err
	}
	if s.state != "" {
		saves, failed := startSaver(hub, s.state, log)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, saves.close()) }()
	}
	if s.control != "" {
		c, failed := listenControl(s.control, hub, log)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, c.close()) }()
	}
	if s.events != "" {
		e, failed := listenEvents(s.events, hub, log)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, e.close()) }()
		told.Events = e.url
	}
	if s.info != "" {
		saved, failed := told.save(s.info)
		if failed != nil {
			return fmt.Errorf("-info %s: %w", desk.Quote(s.info), desk.Nameless(failed))
		}
		// A script that finds the file may connect: not so once it ended.
		defer func() { err = errors.Join(err, removeOwn(s.info, saved)) }()
	}
	if err = told.print(stdout); err != nil {
		return err
	}
	<-ctx.Done()
	log.Info("the hub ends")
	return nil
}

// prepare makes identities and policies, and then opens the ports: who can
// connect finds everything there.
func prepare(hub *hubtest.Hub, s *settings, d *drawer) (*info, error) {
	told := &info{Info: desk.Info{Hostname: s.hostname, Bind: s.bind, Ports: map[string]int{}, Devices: map[string]desk.DeviceInfo{}}}
	told.CA = filepath.Join(d.folder, "ca.pem")
	if err := d.restorePolicies(hub); err != nil {
		return nil, err
	}
	if s.state != "" {
		if err := restore(hub, s.state); err != nil {
			return nil, err
		}
	}
	if _, err := hub.DeviceCA(); err != nil { // known before a device comes with its certificate
		return nil, err
	}
	owner, _ := hub.Policy("iothubowner") // each hub has it
	told.Service.ConnectionString = owner.ConnectionString
	for _, p := range s.registry.Policies {
		made, err := hub.AddPolicy(d.policy(hub, p))
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", orConfig(p.from), p.Name, err)
		}
		told.addPolicy(made.Name, made.ConnectionString)
	}
	for _, spec := range s.registry.Devices {
		made, cert, key, err := d.add(hub, spec)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", spec.from, spec.ID, err)
		}
		if made.ConnectionString == "" { // a client would have none to paste
			return nil, fmt.Errorf("%s %q: no connection string can hold this id; give one without ';'", spec.from, spec.ID)
		}
		told.addDevice(spec.ID, made, cert, key)
	}
	for _, id := range hub.Devices() { // the others of the state
		if _, known := told.Devices[id]; known {
			continue
		}
		told.addDevice(id, hub.Device(id), "", "")
	}
	if err := d.keep(hub, told); err != nil {
		return nil, err
	}
	for _, p := range ports() {
		at, err := hub.Listen(net.JoinHostPort(s.bind, strconv.Itoa(s.ports[p.name])), p.protocol)
		if err != nil {
			return nil, fmt.Errorf("-%s %d: %w%s", p.name, s.ports[p.name], err, hint(p.name, s.ports[p.name], err))
		}
		_, text, _ := net.SplitHostPort(at.String())
		if told.Ports[p.name], err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("-%s: %w", p.name, err)
		}
	}
	return told, nil
}

// orConfig is what asks for a policy: a flag, or else the file.
func orConfig(from string) string {
	if from == "" {
		return fromConfig
	}
	return from
}

// hint says what helps where a port is another's, or the system's alone.
func hint(name string, port int, err error) string {
	if port == 0 || !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) {
		return ""
	}
	return fmt.Sprintf(" (-%s 0 takes any port that is free)", name)
}

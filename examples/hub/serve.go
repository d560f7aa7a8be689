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
	"strings"
	"syscall"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/files"
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
	hub, err := hubtest.Start(&hubtest.Options{Host: s.hostname, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hub.Close()) }()

	told, err := prepare(hub, s, folder)
	if err != nil {
		return err
	}
	if s.control != "" {
		c, failed := listenControl(s.control, hub, log)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, c.close()) }()
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
func prepare(hub *hubtest.Hub, s *settings, folder string) (*info, error) {
	told := &info{Info: desk.Info{Hostname: s.hostname, Bind: s.bind, Ports: map[string]int{}, Devices: map[string]desk.DeviceInfo{}}}
	told.CA = filepath.Join(folder, "ca.pem")
	if err := files.Write(told.CA, hub.CAPEM(), 0o644); err != nil {
		return nil, err
	}
	owner, _ := hub.Policy("iothubowner") // each hub has it
	told.Service.ConnectionString = owner.ConnectionString
	for _, p := range s.registry.Policies {
		made, err := hub.AddPolicy(hubtest.Policy{
			Name: p.Name, PrimaryKey: p.PrimaryKey, SecondaryKey: p.SecondaryKey, Permissions: p.Permissions,
		})
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", orConfig(p.from), p.Name, err)
		}
		told.addPolicy(made.Name, made.ConnectionString)
	}
	for _, d := range s.registry.Devices {
		made, err := add(hub, d)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", d.from, d.ID, err)
		}
		if made.ConnectionString == "" { // a client would have none to paste
			_, err := auth.FormatConnectionString(made.Identity, made.PrimaryKey)
			return nil, fmt.Errorf("%s %q: %w", d.from, d.ID, err)
		}
		if err := told.addDevice(d, made, folder); err != nil {
			return nil, fmt.Errorf("%s %q: %w", d.from, d.ID, err)
		}
		told.order = append(told.order, d.ID)
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

// add registers a device or module.
func add(hub *hubtest.Hub, d deviceSpec) (hubtest.Device, error) {
	device, module, isModule := strings.Cut(d.ID, "/")
	if d.Auth != authSAS {
		opts := &hubtest.X509Options{SelfSigned: d.Auth == authSelfSigned}
		if isModule {
			return hub.AddX509Module(device, module, opts)
		}
		return hub.AddX509Device(device, opts)
	}
	var made hubtest.Device
	var err error
	if isModule {
		made, err = hub.AddModule(device, module)
	} else {
		made, err = hub.AddDevice(device)
	}
	if err == nil && d.PrimaryKey+d.SecondaryKey != "" {
		made, err = hub.SetKeys(d.ID, d.PrimaryKey, d.SecondaryKey)
	}
	return made, err
}

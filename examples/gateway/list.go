package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/files"
)

// maxDevices bounds what one process holds: at a dozen goroutines for each, and
// some 995 on a connection.
const maxDevices = 5000

// A list is the file in which the devices stand: one of the two.
type list struct {
	devices, info string
}

// An entry is a device of the list.
type entry struct {
	id   auth.Identity
	cred auth.Credential
	sum  [sha256.Size]byte // of its connection string: with another, it starts anew
}

// name is the device's, for people.
func (e entry) name() string {
	if e.id.ModuleID != "" {
		return e.id.DeviceID + "/" + e.id.ModuleID
	}
	return e.id.DeviceID
}

// key is the same for the same device at the same hub, whose name has no case.
func (e entry) key() string {
	id := e.id
	id.Host = strings.ToLower(id.Host)
	return id.Audience()
}

// storeName is the name of the device's file below -store: one for each device of
// each hub.
func (e entry) storeName() string { return files.Unique(e.name(), e.key()) + ".store" }

// read reads the list as it is now. What is wrong in it costs no other device,
// and is told without a part of any secret.
func (l list) read() (entries []entry, wrong []error, err error) {
	var r reading
	if l.info != "" {
		i, err := desk.ReadInfo(l.info)
		if err != nil {
			return nil, nil, err
		}
		r.takeInfo(i)
	} else {
		text, err := desk.ReadFile(l.devices)
		if err != nil {
			return nil, nil, desk.Usagef("-devices %s: %w", desk.Quote(l.devices), err)
		}
		r.takeLines(text)
	}
	return r.entries, r.wrong, nil
}

// A reading gathers what stands in a list.
type reading struct {
	entries []entry
	wrong   []error
	seen    map[string]string // where each device stood first
}

// takeLines takes a connection string a line.
func (r *reading) takeLines(text []byte) {
	n := 0
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // which Windows puts there
	for line := range bytes.Lines(text) {
		n++
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			r.take(fmt.Sprintf("line %d", n), string(line))
		}
	}
}

func (r *reading) takeInfo(i *desk.Info) {
	for _, id := range slices.Sorted(maps.Keys(i.Devices)) {
		r.take(id, i.Devices[id].ConnectionString)
	}
}

func (r *reading) take(where, connection string) {
	id, cred, err := auth.ParseConnectionString(connection)
	e := entry{id, cred, sha256.Sum256([]byte(connection))}
	switch first := r.seen[e.key()]; {
	case errors.Is(err, auth.ErrWantsCertificate):
		err = errors.New("this device proves itself by a certificate, which belongs to a connection of its own; run examples/x509 for it")
	case err != nil:
	case first != "":
		err = fmt.Errorf("%s stands there already, at %s", e.name(), first)
	case len(r.entries) == maxDevices:
		err = fmt.Errorf("there are %d devices before; hold the others by another gateway", maxDevices)
	}
	if err != nil {
		r.wrong = append(r.wrong, fmt.Errorf("%s is skipped: %w", where, err))
		return
	}
	if r.seen == nil {
		r.seen = map[string]string{}
	}
	r.seen[e.key()] = where
	r.entries = append(r.entries, e)
}

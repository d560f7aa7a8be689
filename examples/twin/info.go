package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// info is what a device needs of the file that examples/hub -info writes.
type info struct {
	Bind    string           `json:"bind"`
	Ports   map[string]int   `json:"ports"`
	CA      string           `json:"ca"`
	Devices map[string]known `json:"devices"`
}

type known struct {
	ConnectionString string `json:"connectionString"`
	Cert             string `json:"cert"`
	Key              string `json:"key"`
}

// fromInfo takes identity and place from the file of a hub.
func (w *who) fromInfo(file string, hub *place) error {
	if w.connection+w.hostname+w.cert+w.key+w.pfx+w.pass+hub.ca+hub.endpoint != "" {
		return usagef("-info stands in place of -c, -hostname, -cert, -key, -pfx, -pass, -ca and -endpoint; leave it, or them")
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return noFile(file)
	}
	if err != nil {
		return usagef("-info: the file cannot be read: %w", nameless(err))
	}
	var i info
	if err := json.Unmarshal(text, &i); err != nil || i.Bind == "" || i.CA == "" {
		return usagef("-info: the file is none that examples/hub -info wrote")
	}
	ids := slices.Sorted(maps.Keys(i.Devices))
	if w.device == "" && len(ids) == 1 {
		w.device = ids[0]
	}
	d, ok := i.Devices[w.device]
	switch {
	case ok:
	case len(ids) == 0:
		return usagef("there is no device: the hub began with none; start it with -device")
	case w.device == "":
		return usagef("say by -device which one; the hub began with: %s", some(ids))
	default: // whatever it is, it is not to be quoted
		return usagef("-device is none of the hub's; the hub began with: %s", some(ids))
	}
	*w = who{connection: d.ConnectionString, cert: d.Cert, key: d.Key}
	*hub = place{ca: i.CA, bind: i.Bind, ports: i.Ports}
	return nil
}

// noFile says what -info waits for. It names the file only where that looks like
// one of a hub: else it might be a secret in the wrong place.
func noFile(name string) error {
	if !strings.HasSuffix(name, ".json") {
		name = "of that name"
	}
	return usagef("-info: there is no file %s; the hub writes it when it is up, and removes it at its end", name)
}

// some are the first few of the ids, and how many more there are: a hub may have
// thousands.
func some(ids []string) string {
	const few = 5
	if len(ids) <= few {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s … and %d more", strings.Join(ids[:few], ", "), len(ids)-few)
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/files"
)

// info is what a user needs to know of a running hub: printed for people, and
// as JSON for scripts. It holds secrets.
type info struct {
	desk.Info

	order []string // of the devices, as the user named them
}

// policies are the names of those that the user added.
func (i *info) policies() []string { return slices.Sorted(maps.Keys(i.Service.Policies)) }

func (i *info) addPolicy(name, connectionString string) {
	if i.Service.Policies == nil {
		i.Service.Policies = map[string]string{}
	}
	i.Service.Policies[name] = connectionString
}

// addDevice describes a device, and of its files, if it has some.
func (i *info) addDevice(id string, made hubtest.Device, cert, key string) {
	i.Devices[id] = desk.DeviceInfo{
		DeviceID: made.Identity.DeviceID, ModuleID: made.Identity.ModuleID, Auth: made.Auth,
		ConnectionString: made.ConnectionString, PrimaryKey: made.PrimaryKey, Cert: cert, Key: key,
	}
	i.order = append(i.order, id)
}

// save writes the file as a whole or not at all: whoever finds it can read it
// to its end. It returns what stands in the file.
func (i *info) save(name string) ([]byte, error) {
	text, err := json.MarshalIndent(i.Info, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	return text, files.Write(name, text, 0o600)
}

// removeOwn removes the file if it is still what was saved: a hub that began
// since may have written its own in its place.
func removeOwn(name string, saved []byte) error {
	text, err := os.ReadFile(name)
	if err == nil && bytes.Equal(text, saved) {
		err = os.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) { // somebody removed it
		return nil
	}
	return err
}

// print tells a person what to paste.
func (i *info) print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "The hub %s listens on %s:", i.Hostname, i.Bind)
	for _, p := range ports() {
		fmt.Fprintf(&b, " %v %d", p.protocol, i.Ports[p.name])
		if i.Ports[p.name] != int(p.protocol) {
			fmt.Fprintf(&b, " (not %d: tell clients)", p.protocol)
		}
	}
	fmt.Fprintf(&b, "\n\nits CA, for clients to trust\n  %s\n", i.CA)
	fmt.Fprintf(&b, "back end (iothubowner)\n  %s\n", i.Service.ConnectionString)
	for _, name := range i.policies() {
		fmt.Fprintf(&b, "back end (%s)\n  %s\n", name, i.Service.Policies[name])
	}
	for _, id := range i.order {
		d := i.Devices[id]
		fmt.Fprintf(&b, "device %s (%s)\n  %s\n", id, d.Auth, d.ConnectionString)
		if d.Cert != "" {
			fmt.Fprintf(&b, "  %s\n  %s\n", d.Cert, d.Key)
		}
	}
	if i.Events != "" {
		id := "ID"
		if len(i.order) > 0 {
			id = url.PathEscape(i.Devices[i.order[0]].DeviceID)
		}
		fmt.Fprintf(&b, "telemetry\n  curl -N %s/devices/%s/messages/events\n", i.Events, id)
	}
	if len(i.order) == 0 {
		b.WriteString("no device yet: start the hub with -device ID, or have the back end create one\n")
	}
	b.WriteString("\nCtrl-C ends it.\n")
	_, err := w.Write(b.Bytes())
	return err
}

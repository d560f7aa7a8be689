package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
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

func (i *info) addPolicy(name, connectionString string) {
	if i.Service.Policies == nil {
		i.Service.Policies = map[string]string{}
	}
	i.Service.Policies[name] = connectionString
}

// addDevice tells of a device, and writes its certificate and key.
func (i *info) addDevice(spec deviceSpec, made hubtest.Device, folder string) error {
	d := desk.DeviceInfo{
		DeviceID: made.Identity.DeviceID, ModuleID: made.Identity.ModuleID, Auth: spec.Auth,
		ConnectionString: made.ConnectionString, PrimaryKey: made.PrimaryKey,
	}
	if spec.Auth != authSAS {
		name := filepath.Join(folder, files.Name(spec.ID))
		d.Cert, d.Key = name+"-cert.pem", name+"-key.pem"
		err := errors.Join(
			files.Write(d.Cert, made.CertificatePEM, 0o644),
			files.Write(d.Key, made.KeyPEM, 0o600),
		)
		if err != nil {
			return err
		}
	}
	i.Devices[spec.ID] = d
	return nil
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
	for _, name := range slices.Sorted(maps.Keys(i.Service.Policies)) {
		fmt.Fprintf(&b, "back end (%s)\n  %s\n", name, i.Service.Policies[name])
	}
	for _, id := range i.order {
		d := i.Devices[id]
		fmt.Fprintf(&b, "device %s (%s)\n  %s\n", id, d.Auth, d.ConnectionString)
		if d.Cert != "" {
			fmt.Fprintf(&b, "  %s\n  %s\n", d.Cert, d.Key)
		}
	}
	b.WriteString("\nCtrl-C ends it.\n")
	_, err := w.Write(b.Bytes())
	return err
}

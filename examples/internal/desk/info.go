package desk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxInfo bounds the files that are read whole, in bytes: a list of 5,000 devices
// has a third of that.
const maxInfo = 4 << 20

// Info is the file that examples/hub -info writes. It holds secrets.
type Info struct {
	Hostname string                `json:"hostname"`
	Bind     string                `json:"bind"`
	Ports    map[string]int        `json:"ports"`            // by protocol: mqtt, amqp, https
	CA       string                `json:"ca"`               // a PEM file
	Events   string                `json:"events,omitempty"` // where -events serves telemetry: a URL
	Service  ServiceInfo           `json:"service"`
	Devices  map[string]DeviceInfo `json:"devices"` // by "device" or "device/module"
}

// ServiceInfo is what a back end needs to sign in.
type ServiceInfo struct {
	// ConnectionString is of the policy iothubowner, which may do everything.
	ConnectionString string `json:"connectionString"`
	// Policies are the connection strings of those that the user added.
	Policies map[string]string `json:"policies,omitempty"`
}

// DeviceInfo is what a device needs to sign in.
type DeviceInfo struct {
	DeviceID         string `json:"deviceId"`
	ModuleID         string `json:"moduleId,omitempty"`
	Auth             string `json:"auth"`
	ConnectionString string `json:"connectionString"`
	PrimaryKey       string `json:"primaryKey,omitempty"` // of sas
	Cert             string `json:"cert,omitempty"`       // PEM files, of the others
	Key              string `json:"key,omitempty"`
}

// ReadInfo reads the file of a running hub, which -info names.
func ReadInfo(name string) (*Info, error) {
	text, err := ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Usagef("-info %s: no such file; the hub writes it once it is up, and removes it at its end", Quote(name))
	}
	if err != nil {
		return nil, Usagef("-info %s: %w", Quote(name), err)
	}
	var i Info
	if err := json.Unmarshal(text, &i); err != nil || i.Bind == "" || i.CA == "" {
		return nil, Usagef("-info %s: not a file that examples/hub -info wrote", Quote(name))
	}
	return &i, nil
}

// Pick returns the id of a device of the hub: the one that is asked for by
// -device, or the only one if none is.
func (i *Info) Pick(device string) (string, error) {
	ids := slices.Sorted(maps.Keys(i.Devices))
	_, known := i.Devices[device]
	switch {
	case known:
		return device, nil
	case len(ids) == 0:
		return "", Usagef("-info: the hub began without a device; start it with -device ID")
	case device != "":
		return "", Usagef("-device %s: unknown in the -info file; the hub began with: %s", Quote(device), some(ids))
	case len(ids) == 1:
		return ids[0], nil
	}
	return "", Usagef("missing -device; the hub began with: %s", some(ids))
}

// some lists the first few ids and how many more there are: a hub may have
// thousands.
func some(ids []string) string {
	const few = 5
	if len(ids) <= few {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s … and %d more", strings.Join(ids[:few], ", "), len(ids)-few)
}

// ReadFile reads a file of bounded size. Its errors do not name the file.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, Nameless(err)
	}
	defer f.Close()
	return ReadAll(f)
}

// ReadAll reads a file or stdin of bounded size to its end.
func ReadAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInfo+1))
	if err == nil && len(text) > maxInfo {
		err = fmt.Errorf("longer than %d bytes", maxInfo)
	}
	return text, Nameless(err)
}

// Nameless returns an error of package os without the file's name, which might be
// a secret in the wrong place: Quote adds it where it is not.
func Nameless(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// A port is one that the hub listens on.
type port struct {
	name     string // of its flag, and in the -info file
	protocol hubtest.Protocol
}

// ports are all of them: each has its flag, its listener and its place in what
// is printed from its row here.
func ports() []port {
	return []port{
		{"mqtt", hubtest.MQTT},
		{"amqp", hubtest.AMQP},
		{"https", hubtest.HTTPS},
	}
}

// How a device proves itself, in the words of a hub's registry.
const (
	authSAS        = "sas"
	authCA         = "certificateAuthority"
	authSelfSigned = "selfSigned"
)

// fromConfig is what errors call an entry of the file.
const fromConfig = "-config: entry"

// maxDevices bounds -devices: some connections of an AMQP gateway, which takes
// 995 on each.
const maxDevices = 5000

// A deviceSpec is a device that the hub is to know.
type deviceSpec struct {
	ID           string `json:"id"` // "device" or "device/module"
	Auth         string `json:"auth"`
	PrimaryKey   string `json:"primaryKey"` // base64; empty means made up
	SecondaryKey string `json:"secondaryKey"`

	from string // what asks for it, as errors call that
}

// A policySpec is a shared access policy that the hub is to have.
type policySpec struct {
	Name         string   `json:"name"`
	PrimaryKey   string   `json:"primaryKey"`
	SecondaryKey string   `json:"secondaryKey"`
	Permissions  []string `json:"permissions"`

	from string
}

// A registry is what the hub is to know from its start: the -config file.
type registry struct {
	Devices  []deviceSpec `json:"devices"`
	Policies []policySpec `json:"policies"`
}

// settings are what the command line, and the file that it names, ask for.
type settings struct {
	bind, hostname string
	ports          map[string]int
	folder         string // empty means a new one, for this run alone
	info, control  string // empty means none
	events         string // likewise
	state          string // likewise
	verbose        bool
	registry       registry // the file's, then the flags'
}

// about is what -h prints before the flags.
const about = `Usage: hub [flags]

An IoT Hub on your desk, for devices and back ends in any language:

  hub -device dev1 -mqtt 0 -amqp 0 -https 0 -info hub.json

It prints connection strings and the CA to trust, and runs until Ctrl-C or SIGTERM.
Exit status: 0 ended by a signal, 1 could not start or went wrong, 2 wrong usage.

Flags:
`

// parse reads the command line. For -h it prints the usage on stderr.
func parse(args []string, stderr io.Writer) (*settings, error) {
	s := &settings{ports: map[string]int{}}
	var flags registry
	fs := flag.NewFlagSet("hub", flag.ContinueOnError)
	fs.StringVar(&s.bind, "bind", "127.0.0.1", "listen on this `address`")
	fs.StringVar(&s.hostname, "hostname", "", "the hub's `name` in connection strings and its certificate; the -bind address unless given")
	for _, p := range ports() {
		fs.Func(p.name, fmt.Sprintf("listen for %v on this `port`; 0 means any that is free (default %d)", p.protocol, p.protocol), func(text string) error {
			n, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return errors.New("want a port, from 0 to 65535")
			}
			s.ports[p.name] = int(n)
			return nil
		})
		s.ports[p.name] = int(p.protocol)
	}
	fs.StringVar(&s.folder, "dir", "", "keep CAs, certificates and keys in this `folder`, and use those that are there; without it they are new at each start")
	fs.StringVar(&s.state, "state", "", "keep identities and twins in this `file` over restarts; it holds keys")
	fs.StringVar(&s.info, "info", "", "write what is printed to this `file`, as JSON")
	fs.StringVar(&s.control, "control", "", "listen for commands on this Unix `socket`")
	fs.StringVar(&s.events, "events", "", "serve telemetry over HTTP at this `address`, such as 127.0.0.1:8080, to whoever reaches it")
	config := fs.String("config", "", "read devices and policies from this JSON `file`")
	fs.BoolVar(&s.verbose, "v", false, "log every message")
	for _, f := range []struct{ name, auth, has string }{
		{"device", authSAS, "keys"},
		{"x509-device", authCA, "a certificate of the hub's own device CA"},
		{"thumbprint-device", authSelfSigned, "a self-signed certificate"},
	} {
		fs.Func(f.name, "add a device with "+f.has+" by its `id`, \"device\" or \"device/module\"; repeatable", func(id string) error {
			flags.Devices = append(flags.Devices, deviceSpec{ID: id, Auth: f.auth, from: "-" + f.name})
			return checkID(id)
		})
	}
	fs.Func("devices", "add this `number` of devices with keys, device-001 and so on: a gateway's", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n > maxDevices {
			return fmt.Errorf("want a number up to %d", maxDevices)
		}
		for i := range n {
			flags.Devices = append(flags.Devices, deviceSpec{ID: fmt.Sprintf("device-%03d", i+1), Auth: authSAS, from: "-devices"})
		}
		return nil
	})
	fs.Func("policy", "add a policy, as `name=permission,…`, such as dash=RegistryRead,ServiceConnect; repeatable", func(text string) error {
		p, err := parsePolicy(text)
		flags.Policies = append(flags.Policies, p)
		return err
	})
	if err := desk.Parse(fs, args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			desk.Help(stderr, about, fs)
		}
		return nil, err
	}
	if err := desk.NoWords(fs); err != nil {
		return nil, err
	}
	if *config != "" {
		if err := s.registry.read(*config); err != nil {
			return nil, err
		}
	}
	s.registry.Devices = append(s.registry.Devices, flags.Devices...)
	s.registry.Policies = append(s.registry.Policies, flags.Policies...)
	return s, s.check()
}

func parsePolicy(text string) (policySpec, error) {
	name, list, ok := strings.Cut(text, "=")
	if !ok || name == "" || list == "" {
		return policySpec{}, errors.New("want name=permission,…, such as dash=RegistryRead,ServiceConnect")
	}
	p := policySpec{Name: name, from: "-policy"}
	for permission := range strings.SplitSeq(list, ",") {
		p.Permissions = append(p.Permissions, permission)
	}
	return p, nil
}

// read takes devices and policies from a file. What it does not know it
// refuses: a misspelt key would else be a random one.
func (r *registry) read(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return desk.Usagef("-config %s: %w", desk.Quote(file), desk.Nameless(err))
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return desk.Usagef("-config %s: %w", desk.Quote(file), desk.Nameless(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return desk.Usagef("-config %s: something follows the JSON object; one is all it may hold", desk.Quote(file))
	}
	return nil
}

// checkID refuses what is no id of a device or module.
func checkID(id string) error {
	device, module, isModule := strings.Cut(id, "/")
	if (auth.Identity{Host: "any", DeviceID: device, ModuleID: module}).Validate() != nil || isModule && module == "" {
		return errors.New("want device or device/module, each up to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ ', and neither . nor .. alone")
	}
	return nil
}

// check completes the settings, and finds what hubtest could not.
func (s *settings) check() error {
	if s.hostname == "" {
		if ip := net.ParseIP(s.bind); s.bind == "" || ip != nil && ip.IsUnspecified() {
			return desk.Usagef("-bind %s: every address; give -hostname, the name under which clients find this machine", desk.Quote(s.bind))
		}
		s.hostname = s.bind
	}
	if (auth.Identity{Host: s.hostname, DeviceID: "any"}).Validate() != nil {
		return desk.Usagef("-hostname %s: want a host's name or address", desk.Quote(s.hostname))
	}
	seen := map[string]bool{}
	devices := s.registry.Devices
	for i, d := range devices {
		if d.from == "" {
			devices[i].from, d.from = fromConfig, fromConfig
		}
		switch d.Auth {
		case "":
			devices[i].Auth = authSAS
		case authSAS, authCA, authSelfSigned:
		default:
			return desk.Usagef("%s %q: auth %q is unknown; known are %s, %s and %s", d.from, d.ID, d.Auth, authSAS, authCA, authSelfSigned)
		}
		if devices[i].Auth != authSAS && d.PrimaryKey+d.SecondaryKey != "" {
			return desk.Usagef("%s %q has auth %s, and keys: it can have but one of them", d.from, d.ID, d.Auth)
		}
		if seen[d.ID] {
			return desk.Usagef("%s %q is there twice", d.from, d.ID)
		}
		seen[d.ID] = true
	}
	return nil
}

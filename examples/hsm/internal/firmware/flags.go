package firmware

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
)

// The defaults of the flags, as in usage.
const (
	defaultDays    = 365
	defaultTimeout = 2 * time.Minute // a TPM takes many seconds for a key
)

// maxSecret bounds the files that hold a key or a PIN.
const maxSecret = 4096

// A task is what the command line asks for.
type task struct {
	command string // provision, remove or run
	kind    Kind
	file    string // of the key or certificate

	id      auth.Identity
	stream  transport.StreamFunc
	csr     bool
	days    int
	timeout time.Duration
	verbose bool
}

// opener opens the hardware.
type opener = func(Kind, func(string) string) (*Hardware, error)

// parse reads the command line and checks all that can be checked before the
// hardware is touched.
func (p Program) parse(args []string) (*task, opener, error) {
	f := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	t := &task{}
	var hub desk.Place
	hub.Flags(f)
	f.StringVar(&t.id.Host, "host", "", "")
	f.StringVar(&t.id.DeviceID, "device", "", "")
	f.BoolVar(&t.csr, "csr", false, "")
	f.IntVar(&t.days, "days", defaultDays, "")
	f.DurationVar(&t.timeout, "timeout", defaultTimeout, "")
	f.BoolVar(&t.verbose, "v", false, "")
	open := p.Flags(f)
	switch err := desk.Parse(f, args); {
	case err != nil:
		return nil, nil, err
	case t.days < 1:
		return nil, nil, desk.Usagef("-days %d: want a number above zero", t.days)
	case t.timeout <= 0:
		return nil, nil, desk.Usagef("-timeout %v: want a time above zero, such as 2m", t.timeout)
	}
	if err := t.readCommand(f.Args()); err != nil {
		return nil, nil, err
	}
	if t.command == "run" {
		if err := t.checkIdentity(); err != nil {
			return nil, nil, err
		}
	} else if t.command == "provision" && t.kind == X509 && t.id.DeviceID == "" {
		return nil, nil, desk.Usagef("missing -device: the certificate holds the device's id")
	}
	var err error
	t.stream, err = hub.Line("mqtt", nil)
	return t, open, err
}

// checkIdentity names the flag that is wrong.
func (t *task) checkIdentity() error {
	switch {
	case t.id.Host == "":
		return desk.Usagef("missing -host, such as myhub.azure-devices.net")
	case t.id.DeviceID == "":
		return desk.Usagef("missing -device")
	case (auth.Identity{Host: t.id.Host, DeviceID: "any"}).Validate() != nil:
		return desk.Usagef("-host %s: want a hub's full name, such as myhub.azure-devices.net", desk.Quote(t.id.Host))
	case t.id.Validate() != nil:
		return desk.Usagef("-device %s: want an id of up to 128 letters, digits and - : . + %% _ # * ? ! ( ) , = @ ; $ ', other than . and ..", desk.Quote(t.id.DeviceID))
	}
	return nil
}

// readCommand takes the words after the flags.
func (t *task) readCommand(words []string) error {
	const commands = "want provision, run or remove, and then sas or x509"
	for _, w := range words {
		if strings.HasPrefix(w, "-") && w != "-" {
			return desk.Usagef("%s after the command: put flags before it", desk.Quote(w))
		}
	}
	switch len(words) {
	case 0:
		return desk.Usagef("missing command: %s", commands)
	case 1:
		return desk.Usagef("half a command, %s: %s", desk.Quote(words[0]), commands)
	}
	t.command, t.kind = words[0], Kind(words[1])
	switch command := t.command + " " + words[1]; command {
	case "provision sas", "provision x509", "run x509":
		if len(words) < 3 {
			return desk.Usagef("%s: missing FILE", command)
		}
		t.file = words[2]
		words = words[1:]
	case "run sas", "remove sas", "remove x509":
	default:
		return desk.Usagef("unknown command %s: %s", desk.Quote(command), commands)
	}
	if len(words) > 2 {
		return desk.Usagef("%s %s: unexpected %s", t.command, t.kind, desk.Quote(words[2]))
	}
	return nil
}

// Secret reads a PIN: what the file holds that a flag names, or else the
// environment's variable, without the end of line. It is empty if there is none.
func Secret(flag, file string, env func(string) string, variable string) (string, error) {
	if file == "" {
		return env(variable), nil
	}
	text, err := readSecret(file, nil)
	if err != nil {
		return "", desk.Usagef("-%s: its file, whose name is not repeated as it may be the secret: %w", flag, err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// readSecret reads a small file, or stdin where its name is "-". The error does
// not tell the name, which might be the secret itself.
func readSecret(file string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if file != "-" || stdin == nil {
		f, err := os.Open(file)
		if err != nil {
			return nil, desk.Nameless(err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxSecret+1))
	if err != nil {
		return nil, desk.Nameless(err)
	}
	if len(text) > maxSecret {
		return nil, fmt.Errorf("%w: it has more than %d bytes", auth.ErrInvalid, maxSecret)
	}
	return text, nil
}

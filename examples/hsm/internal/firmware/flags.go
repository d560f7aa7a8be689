package firmware

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// The defaults of the flags; usage tells them.
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
	f.SetOutput(io.Discard)
	t := &task{}
	f.StringVar(&t.id.Host, "host", "", "")
	f.StringVar(&t.id.DeviceID, "device", "", "")
	ca := f.String("ca", "", "")
	endpoint := f.String("endpoint", "", "")
	f.BoolVar(&t.csr, "csr", false, "")
	f.IntVar(&t.days, "days", defaultDays, "")
	f.DurationVar(&t.timeout, "timeout", defaultTimeout, "")
	f.BoolVar(&t.verbose, "v", false, "")
	open := p.Flags(f)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, nil, err
	case err != nil:
		// Package flag quotes what it cannot read.
		return nil, nil, Usagef("near argument %d of %d stands no known flag, or one without its value", max(1, len(args)-f.NArg()), len(args))
	case t.days < 1 || t.timeout <= 0:
		return nil, nil, Usagef("-days and -timeout are above zero")
	}
	if err := t.readCommand(f.Args()); err != nil {
		return nil, nil, err
	}
	if t.command == "run" {
		if err := t.id.Validate(); err != nil {
			return nil, nil, fmt.Errorf("-host and -device: %w", err)
		}
	} else if t.command == "provision" && t.kind == X509 && t.id.DeviceID == "" {
		return nil, nil, Usagef("give -device: the certificate bears the device's id")
	}
	var err error
	t.stream, err = streamTo(*endpoint, *ca)
	return t, open, err
}

// readCommand takes the words after the flags.
func (t *task) readCommand(words []string) error {
	for _, w := range words {
		if strings.HasPrefix(w, "-") && w != "-" {
			return Usagef("flags stand before the command")
		}
	}
	if len(words) < 2 {
		return Usagef("there is no command; it is provision, run or remove, and then sas or x509")
	}
	t.command, t.kind = words[0], Kind(words[1])
	switch command := t.command + " " + words[1]; command {
	case "provision sas", "provision x509", "run x509":
		if len(words) != 3 {
			return Usagef("%s takes one file", command)
		}
		t.file = words[2]
	case "run sas", "remove sas", "remove x509":
		if len(words) != 2 {
			return Usagef("%s takes no argument", command)
		}
	default:
		return Usagef("the command is unknown; it is provision, run or remove, and then sas or x509")
	}
	return nil
}

// streamTo is a line to a hub that need not stand at its own name and port,
// nor have a certificate of a public CA.
func streamTo(endpoint, ca string) (transport.StreamFunc, error) {
	if endpoint != "" {
		host, port, err := net.SplitHostPort(endpoint)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			return nil, Usagef("-endpoint is no host:port, such as 127.0.0.1:8883")
		}
	}
	config := &tls.Config{}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, Usagef("-ca: the file cannot be read: %w", nameless(err))
		}
		if config.RootCAs, err = auth.ParseRoots(text); err != nil {
			return nil, Usagef("-ca: %w", err)
		}
	}
	return transport.TLS(&transport.TLSOptions{Config: config, Address: endpoint}), nil
}

// Secret reads a PIN: what the file holds, or else the environment's variable.
// The end of line is no part of it. An empty one means that there is none.
func Secret(file string, env func(string) string, variable string) (string, error) {
	if file == "" {
		return env(variable), nil
	}
	text, err := readSecret(file, nil)
	if err != nil {
		return "", Usagef("the file of the PIN: %w", err)
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
			return nil, nameless(err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxSecret+1))
	if err != nil {
		return nil, nameless(err)
	}
	if len(text) > maxSecret {
		return nil, fmt.Errorf("%w: it has more than %d bytes", auth.ErrInvalid, maxSecret)
	}
	return text, nil
}

// nameless is an error of package os without the file's name.
func nameless(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}

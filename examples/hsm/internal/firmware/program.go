// Package firmware is what the programs for keys in hardware share: all but
// the hardware. It reads the command line, brings a key into the hardware, and
// keeps a twin in step with a key that lives there.
package firmware

import (
	"context"
	"crypto"
	"errors"
	"flag"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// A Kind is what a key proves its device by.
type Kind string

// The kinds of keys.
const (
	SAS  Kind = "sas"  // the shared access key, which signs tokens
	X509 Kind = "x509" // the key of a client certificate
)

// Hardware is one place for a key: a handle of a TPM, a label of an HSM. All
// funcs honour their context as far as the hardware lets them.
type Hardware struct {
	// Place says in words where the key lives.
	Place string
	// Signer signs with the shared access key. It is asked for nothing before a
	// token is needed.
	Signer auth.Signer
	// Import puts a shared access key into the hardware, which must have none
	// in this place. It does not keep secret.
	Import func(ctx context.Context, secret []byte) error
	// Generate has the hardware make a key for certificates, where there must be
	// none in this place.
	Generate func(ctx context.Context) (crypto.Signer, error)
	// Key is the key for certificates that is there.
	Key func(ctx context.Context) (crypto.Signer, error)
	// Remove destroys the key in this place.
	Remove func(ctx context.Context) error
	// Close ends the use of the hardware, and waits for it.
	Close func()
}

// A Program is a command for one sort of hardware.
type Program struct {
	// Name is the command's name.
	Name string
	// Usage describes the flags of this hardware.
	Usage string
	// Flags defines them. The func that it returns is called once they are
	// read, and opens the place for a key.
	Flags func(*flag.FlagSet) func(kind Kind, env func(string) string) (*Hardware, error)
}

// usage is what all these programs have in common; %[1]s is the name.
const usage = `Usage: %[1]s [flags] command

Commands:
  provision sas FILE   copy the device's shared access key, in base64 in FILE or
                       on stdin ("-"), into the hardware, and check that it signs
                       alike. FILE is left as it is: destroy it yourself
  provision x509 FILE  have the hardware make a key, write its self-signed
                       certificate to the new FILE, and print its thumbprints,
                       which the hub has to know; with -csr, write a request for
                       your CA
  run sas              keep the twin in step, signing in with the shared access
                       key, until Ctrl-C
  run x509 FILE        the same, with the certificate (and its chain) in FILE
  remove sas | x509    destroy the key

Flags, before the command:
  -host NAME        the hub, such as myhub.azure-devices.net
  -device ID        the device's id
  -ca FILE          trust the CAs in this PEM file instead of the system's
  -endpoint H:P     connect to this host and port instead of the hub's own
  -csr              with provision x509: a request instead of a certificate
  -days N           with provision x509: the certificate's life; 365 by default
  -timeout TIME     how long provision and remove may take; 2m by default
  -v                log to stderr all that the client does
`

const exits = `
Exit status:
  0  done; also when Ctrl-C or SIGTERM ended run
  1  another failure
  2  wrong usage or configuration, a wrong PIN included: starting again mends
     nothing, and may lock the hardware
`

// The exit statuses; exits says what they mean.
const (
	ExitDone   = desk.ExitDone
	ExitFailed = desk.ExitFailed
	ExitUsage  = desk.ExitUsage
)

// Usagef makes an error of the command line, as desk.Usagef does.
func Usagef(format string, args ...any) error { return desk.Usagef(format, args...) }

// Main is the whole process: it ends it with the program's exit status.
func (p Program) Main() { desk.Main(p.Run) }

// A Console is what a process has around it.
type Console = desk.Console

// Run is the whole program, and returns its exit status. Nothing that it
// started runs after it.
func (p Program) Run(ctx context.Context, args []string, c Console) int {
	err := p.run(ctx, args, c)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(c.Stderr, usage+"\n"+p.Usage+exits, p.Name)
		return ExitDone
	}
	desk.Explain(c.Stderr, p.Name, err)
	return desk.ExitStatus(err)
}

func (p Program) run(ctx context.Context, args []string, c Console) error {
	t, open, err := p.parse(args)
	if err != nil {
		return err
	}
	hardware, err := open(t.kind, c.Env)
	if err != nil {
		return err
	}
	defer hardware.Close()
	if t.command == "run" {
		return t.keep(ctx, hardware, c.Stderr)
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	switch {
	case t.command == "remove":
		if err := hardware.Remove(ctx); err != nil {
			return fmt.Errorf("remove the key: %w", err)
		}
		_, err = fmt.Fprintf(c.Stdout, "there is no key any more in %s\n", hardware.Place)
	case t.kind == SAS:
		err = t.provisionSAS(ctx, hardware, c)
	default:
		err = t.provisionX509(ctx, hardware, c.Stdout)
	}
	return err
}

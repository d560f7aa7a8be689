package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// usage is what -h tells; it stands in the package's comment, too.
const usage = `Usage: backend-entra -hub NAME [flags]

  -hub NAME       the hub's name, such as myhub.azure-devices.net
  -device ID      print the twin of this device, or device/module
  -tags JSON      merge this object into its tags, where null deletes, and
  -desired JSON   this one into its desired properties, before the twin is printed;
                  a twin that has it all already is not written to
  -query SQL      print what this finds, such as
                  SELECT * FROM devices WHERE tags.plant = 'Redmond43'
  -every TIME     do all that again after this time, such as 5m, until Ctrl-C
                  or the first failure
  -timeout TIME   how long it may take, each time; 1m unless given
  -ca FILE        trust the CAs in this PEM file instead of the system's, for
                  the hub and for Entra
  -endpoint H:P   connect to this host and port instead of the hub's own
  -private        AZURE_AUTHORITY_HOST is no host of Microsoft's: do not ask
                  Microsoft whether it is genuine

Results are JSON on stdout, one document a line. All else is on stderr.

Exit status: 0 done, 1 failed, 2 wrong usage.
`

const defaultTimeout = time.Minute

// errUsage is matched by all that is wrong with the command line.
var errUsage = errors.New("see backend-entra -h")

func usagef(format string, args ...any) error {
	return fmt.Errorf(format+" (%w)", append(args, errUsage)...)
}

// A job is what the command line asks for.
type job struct {
	hub, device    string
	tags, desired  twin.Patch
	query          string
	every, timeout time.Duration // every is 0 for once
	private        bool          // the authority is not Microsoft's

	stream transport.StreamFunc // to the hub
	entra  *http.Transport      // to the token endpoint
}

// parse reads the command line and checks all that can be checked before
// anything is sent.
func parse(args []string) (*job, error) {
	j := &job{}
	f := flag.NewFlagSet("backend-entra", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&j.hub, "hub", "", "")
	f.StringVar(&j.device, "device", "", "")
	tags := f.String("tags", "", "")
	desired := f.String("desired", "", "")
	f.StringVar(&j.query, "query", "", "")
	f.DurationVar(&j.every, "every", 0, "")
	f.DurationVar(&j.timeout, "timeout", defaultTimeout, "")
	ca := f.String("ca", "", "")
	endpoint := f.String("endpoint", "", "")
	f.BoolVar(&j.private, "private", false, "")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, usagef("%w", err)
	case f.NArg() != 0:
		return nil, usagef("there are words after the flags; quote JSON and SQL for the shell")
	case j.hub == "":
		return nil, usagef("-hub is missing")
	case j.device == "" && j.query == "":
		return nil, usagef("there is nothing to do: give -device, or -query, or both")
	case j.device == "" && *tags+*desired != "":
		return nil, usagef("-tags and -desired need a -device")
	case j.every < 0 || j.timeout <= 0:
		return nil, usagef("-every and -timeout are times above zero, such as 30s or 5m")
	}
	var err error
	if j.tags, err = patch("-tags", *tags); err != nil {
		return nil, err
	}
	if j.desired, err = patch("-desired", *desired); err != nil {
		return nil, err
	}
	return j, j.lines(*endpoint, *ca)
}

// patch reads a change of one part of a twin; no text makes an empty one.
func patch(name, text string) (twin.Patch, error) {
	if text == "" {
		return twin.Patch{}, nil
	}
	p, err := twin.ParsePatch([]byte(text))
	if err == nil {
		err = twin.Validate(twin.Properties{}, p) // what no hub would take, whatever its twin holds
	}
	if err != nil {
		return p, usagef("%s: %w", name, err)
	}
	return p, nil
}

// lines says how the hub and Entra are reached, and who is believed to be them.
func (j *job) lines(endpoint, ca string) error {
	if endpoint != "" {
		host, port, err := net.SplitHostPort(endpoint)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			return usagef("-endpoint is no host:port, such as 127.0.0.1:8443")
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return usagef("-ca: %w", err)
		}
		if config.RootCAs, err = auth.ParseRoots(text); err != nil {
			return usagef("-ca: %w", err)
		}
	}
	j.stream = transport.TLS(&transport.TLSOptions{Config: config, Address: endpoint})
	j.entra = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	return nil
}

package main

import (
	"crypto/tls"
	"flag"
	"net/http"
	"time"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// usage is printed by -h, and ends the package's comment.
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
  -timeout TIME   how long it may take, each time; 1m by default
  -ca FILE        trust the CAs in this PEM file instead of the system's, for
                  the hub and for Entra
  -endpoint H:P   connect to this host and port instead of the hub's own
  -private        AZURE_AUTHORITY_HOST is no host of Microsoft's: do not ask
                  Microsoft whether it is genuine

Results are JSON on stdout, one document a line. All else is on stderr.

Exit status: 0 done, 1 failed, 2 wrong usage.
`

const defaultTimeout = time.Minute

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
	f.StringVar(&j.hub, "hub", "", "")
	f.StringVar(&j.device, "device", "", "")
	tags := f.String("tags", "", "")
	desired := f.String("desired", "", "")
	f.StringVar(&j.query, "query", "", "")
	f.DurationVar(&j.every, "every", 0, "")
	f.DurationVar(&j.timeout, "timeout", defaultTimeout, "")
	var place desk.Place
	place.Flags(f)
	f.BoolVar(&j.private, "private", false, "")
	if err := desk.Parse(f, args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() != 0:
		return nil, desk.Usagef("unexpected %s after the flags; quote JSON and SQL for the shell", desk.Quote(f.Arg(0)))
	case j.hub == "":
		return nil, desk.Usagef("missing -hub, such as myhub.azure-devices.net")
	case j.device == "" && *tags != "":
		return nil, desk.Usagef("-tags %s: missing -device", desk.Quote(*tags))
	case j.device == "" && *desired != "":
		return nil, desk.Usagef("-desired %s: missing -device", desk.Quote(*desired))
	case j.device == "" && j.query == "":
		return nil, desk.Usagef("nothing to do: give -device, or -query, or both")
	case j.every < 0:
		return nil, desk.Usagef("-every %v: want a time above zero, such as 5m", j.every)
	case j.timeout <= 0:
		return nil, desk.Usagef("-timeout %v: want a time above zero, such as 30s", j.timeout)
	}
	var err error
	if j.tags, err = patch("-tags", *tags); err != nil {
		return nil, err
	}
	if j.desired, err = patch("-desired", *desired); err != nil {
		return nil, err
	}
	roots, err := place.Roots()
	if err != nil {
		return nil, err
	}
	if j.stream, err = place.Line("https", nil); err != nil {
		return nil, err
	}
	j.entra = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	return j, nil
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
		return p, desk.Usagef("%s %s: %w", name, desk.Quote(text), err)
	}
	return p, nil
}

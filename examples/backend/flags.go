package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// usage is what -h tells; it stands in the package's comment, too.
const usage = `Usage: backend [flags]

What it writes:
  -device ID      the device whose twin it is
  -create         register the device first, if the hub does not know it, and print
                  the connection string by which it logs in
  -region NAME    tags.location.region; US unless given
  -plant NAME     tags.location.plant; Redmond43 unless given
  -min N          desired climate.minTemperature; 18 unless given
  -max N          desired climate.maxTemperature; 24 unless given
  -fan=false      desired climate.hvac.systemControl.fanOn; true unless given
  -desired JSON   desired properties in place of climate: an object, merged into what is
                  desired already, such as '{"interval":5}'; null deletes

What it does then:
  -wait TIME      how long the device may take for its answer; 1m unless given; 0 does
                  not wait for one
  -page N         how many devices a page of a query holds at most; 100 unless given
  -method NAME    call this direct method of the device at the end
  -payload JSON   give this to the method

The hub:
  -c STRING       a connection string of its policy iothubowner, or of another that may
                  ServiceConnect, and for -create write the registry. Others on this
                  machine see it there: better set IOTHUB_CONNECTION_STRING
  -ca FILE        trust the CAs in this PEM file instead of the system's
  -endpoint H:P   connect to this host and port instead of the hub's own
  -info FILE      take all of this from the file that examples/hub -info writes, and the
                  device, where it is the only one there
  -proxy URL      go through this proxy, http:// or socks5://, in place of the one
                  that HTTPS_PROXY and NO_PROXY name; "none" for none. A password in
                  it others on this machine see there: better set HTTPS_PROXY
  -timeout TIME   how long each step at the hub may take; 30s unless given
  -v              log each request to stderr

The story is told on stdout, all else on stderr.

Exit status:
  0  done
  1  another failure: an interruption, a hub that is not trusted, an ETag that
     others change again and again, an output that cannot be written
  2  wrong usage: flags, device id, connection string, CA file
  3  the hub refused the policy: its name, its key, or what it may do
  4  refused for good: the hub does not know the device, or rejects what is written
  5  not done in time: the hub cannot be reached, does not answer or throttles; or
     the device did not answer
`

const (
	variable       = "IOTHUB_CONNECTION_STRING"
	defaultWait    = time.Minute
	defaultTimeout = 30 * time.Second
	defaultPage    = 100
)

// errUsage is matched by all that is wrong with the command line.
var errUsage = errors.New("see backend -h")

// usagef makes an error of the command line. But for what noFile names, no
// argument is ever quoted in one: a secret may stand in the wrong place.
func usagef(format string, args ...any) error {
	return fmt.Errorf(format+" (%w)", append(args, errUsage)...)
}

// A job is what the command line asks for.
type job struct {
	hub     *registry.Client
	device  string
	create  bool
	plant   string
	change  registry.Change
	wait    time.Duration
	page    int
	method  string
	payload json.RawMessage // nil for none
	timeout time.Duration
}

// parse reads the command line and checks all that can be checked before
// anything is sent. The messages of the client go to stderr.
func parse(args []string, env func(string) string, stderr io.Writer) (*job, error) {
	var j job
	var p place
	f := flag.NewFlagSet("backend", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&j.device, "device", "", "")
	f.BoolVar(&j.create, "create", false, "")
	region := f.String("region", "US", "")
	f.StringVar(&j.plant, "plant", "Redmond43", "")
	coldest := f.Float64("min", 18, "")
	hottest := f.Float64("max", 24, "")
	fan := f.Bool("fan", true, "")
	desired := f.String("desired", "", "")
	f.DurationVar(&j.wait, "wait", defaultWait, "")
	f.IntVar(&j.page, "page", defaultPage, "")
	f.StringVar(&j.method, "method", "", "")
	payload := f.String("payload", "", "")
	// No default is taken from the environment here: package flag prints them.
	f.StringVar(&p.connection, "c", "", "")
	f.StringVar(&p.ca, "ca", "", "")
	f.StringVar(&p.endpoint, "endpoint", "", "")
	f.StringVar(&p.info, "info", "", "")
	f.StringVar(&p.proxy, "proxy", "", "")
	f.DurationVar(&j.timeout, "timeout", defaultTimeout, "")
	verbose := f.Bool("v", false, "")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil: // whose text quotes what it cannot read
		return nil, usagef("near argument %d of %d stands no known flag, or one whose value is missing or no such thing", max(1, len(args)-f.NArg()), len(args))
	case f.NArg() > 0:
		return nil, usagef("there are %d arguments too many after the flags", f.NArg())
	}

	if *payload != "" {
		j.payload = json.RawMessage(*payload)
	}
	if p.info != "" {
		if err := p.fromInfo(&j.device); err != nil {
			return nil, err
		}
	}
	if j.device == "" { // nor does a hub's file tell it
		if p.connection == "" && env(variable) == "" {
			return nil, usagef("say by -info or -c which hub, and by -device which device")
		}
		return nil, usagef("say by -device which device")
	}
	if err := j.check(*coldest, *hottest); err != nil {
		return nil, err
	}
	j.change = registry.Change{
		Tags: twin.Set("location.region", *region).Set("location.plant", j.plant),
		Desired: twin.Set("climate.minTemperature", *coldest).Set("climate.maxTemperature", *hottest).
			Set("climate.hvac.systemControl.fanOn", *fan),
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	if given["desired"] {
		if given["min"] || given["max"] || given["fan"] {
			return nil, usagef("-desired stands in place of -min, -max and -fan; leave it, or them")
		}
		if j.change.Desired, err = parseDesired(*desired); err != nil {
			return nil, err
		}
	}
	j.hub, err = p.open(env, logger(stderr, *verbose))
	return &j, err
}

// parseDesired reads -desired. Of an error of ParsePatch only the fact is told:
// it may quote what it read.
func parseDesired(text string) (twin.Patch, error) {
	p, err := twin.ParsePatch([]byte(text))
	if err != nil || p.IsEmpty() {
		return p, usagef(`-desired is no JSON object that names a property; quote it for the shell: -desired '{"interval":5}'`)
	}
	return p, nil
}

// check finds what makes no sense.
func (j *job) check(coldest, hottest float64) error {
	switch {
	case auth.Identity{Host: "any", DeviceID: j.device}.Validate() != nil:
		return usagef("-device is an id of up to 128 letters, digits and - : . + %% _ # * ? ! ( ) , = @ ; $ ', other than . and ..")
	case strings.Contains(strings.ToLower(j.device), "sharedaccesskey="):
		return usagef("-device looks like a connection string, which stands behind -c; it is an id")
	case !(coldest <= hottest) || math.IsInf(coldest, 0) || math.IsInf(hottest, 0): // also for what is no number
		return usagef("-min and -max are numbers, and the first is not above the second")
	case j.wait < 0 || j.timeout <= 0:
		return usagef("-wait and -timeout are times, such as 30s or 2m")
	case j.page < 1:
		return usagef("-page is a number above zero")
	case j.payload != nil && j.method == "":
		return usagef("-payload has no -method")
	case j.payload != nil && !json.Valid(j.payload):
		return usagef(`-payload is no JSON; quote it for the shell: -payload '{"delay":5}'`)
	}
	return nil
}

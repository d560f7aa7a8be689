package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/proxyflag"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// usage is printed by -h, and ends the package's comment.
const usage = `Usage: backend [flags]

What it writes:
  -device ID      the device whose twin it is
  -create         register the device first, if the hub does not know it, and print
                  the connection string by which it logs in
  -region NAME    tags.location.region; US by default
  -plant NAME     tags.location.plant; Redmond43 by default
  -min N          desired climate.minTemperature; 18 by default
  -max N          desired climate.maxTemperature; 24 by default
  -fan=false      desired climate.hvac.systemControl.fanOn; true by default
  -desired JSON   desired properties in place of climate: an object, merged into what is
                  already desired, such as '{"interval":5}'; null deletes

What it does then:
  -wait TIME      how long the device may take for its answer; 1m by default; 0 does
                  not wait for one
  -page N         how many devices a page of a query holds at most; 100 by default
  -method NAME    call this direct method of the device at the end
  -payload JSON   give this to the method

The hub:
  -c STRING       a connection string of its policy iothubowner, or of another that may
                  ServiceConnect, and for -create write the registry. Others on this
                  machine can see it there: prefer IOTHUB_CONNECTION_STRING
  -ca FILE        trust the CAs in this PEM file instead of the system's
  -endpoint H:P   connect to this host and port instead of the hub's own
  -info FILE      take all of this from the file that examples/hub -info writes, and the
                  device, where it is the only one there
  -proxy URL      go through this proxy, http:// or socks5://, in place of the one
                  that HTTPS_PROXY and NO_PROXY name; "none" for none. Others on
                  this machine can see a password in it: prefer HTTPS_PROXY
  -timeout TIME   how long each step at the hub may take; 30s by default
  -v              log each request to stderr

The story is on stdout, all else on stderr.

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
	p.hub.Flags(f)
	p.proxy = proxyflag.Define(f)
	f.StringVar(&p.info, "info", "", "")
	f.DurationVar(&j.timeout, "timeout", defaultTimeout, "")
	verbose := f.Bool("v", false, "")
	if err := desk.Parse(f, args); err != nil {
		return nil, err
	}
	if err := desk.NoWords(f); err != nil {
		return nil, err
	}

	if *payload != "" {
		j.payload = json.RawMessage(*payload)
	}
	if desk.Given(f, "info") {
		if err := p.fromInfo(&j); err != nil {
			return nil, err
		}
	}
	if j.device == "" { // nor does a hub's file tell it
		if p.connection == "" && env(variable) == "" {
			return nil, desk.Usagef("missing hub and device: give -info, or -c or %s, and -device", variable)
		}
		return nil, desk.Usagef("missing -device, whose twin it is")
	}
	if err := j.check(*coldest, *hottest); err != nil {
		return nil, err
	}
	j.change = registry.Change{
		Tags: twin.Set("location.region", *region).Set("location.plant", j.plant),
		Desired: twin.Set("climate.minTemperature", *coldest).Set("climate.maxTemperature", *hottest).
			Set("climate.hvac.systemControl.fanOn", *fan),
	}
	var err error
	if desk.Given(f, "desired") {
		for _, other := range []string{"min", "max", "fan"} {
			if desk.Given(f, other) {
				return nil, desk.Usagef("-desired %s and -%s: leave one; -desired is in place of -min, -max and -fan", desk.Quote(*desired), other)
			}
		}
		if j.change.Desired, err = parseDesired(*desired); err != nil {
			return nil, err
		}
	}
	j.hub, err = p.open(env, logger(stderr, *verbose))
	return &j, err
}

// parseDesired reads -desired.
func parseDesired(text string) (twin.Patch, error) {
	p, err := twin.ParsePatch([]byte(text))
	if err == nil && p.IsEmpty() {
		err = errors.New("empty object")
	}
	if err != nil {
		return p, desk.Usagef(`-desired %s: %w; want a JSON object, quoted for the shell: -desired '{"interval":5}'`, desk.Quote(text), err)
	}
	return p, nil
}

// check finds what makes no sense.
func (j *job) check(coldest, hottest float64) error {
	switch {
	case auth.Identity{Host: "any", DeviceID: j.device}.Validate() != nil || strings.Contains(strings.ToLower(j.device), "sharedaccesskey="):
		return desk.Usagef("-device %s: want an id of up to 128 letters, digits and - : . + %% _ # * ? ! ( ) , = @ ; $ ', other than . and ..; a connection string goes behind -c", desk.Quote(j.device))
	case !finite(coldest):
		return desk.Usagef("-min %v: want a number", coldest)
	case !finite(hottest):
		return desk.Usagef("-max %v: want a number", hottest)
	case coldest > hottest:
		return desk.Usagef("-min %v: above -max %v", coldest, hottest)
	case j.wait < 0:
		return desk.Usagef("-wait %v: want a time, such as 30s or 2m, or 0", j.wait)
	case j.timeout <= 0:
		return desk.Usagef("-timeout %v: want a time above zero, such as 30s or 2m", j.timeout)
	case j.page < 1:
		return desk.Usagef("-page %d: want a number above zero", j.page)
	case j.payload != nil && j.method == "":
		return desk.Usagef("-payload %s: missing -method, which it is for", desk.Quote(string(j.payload)))
	case j.payload != nil && !json.Valid(j.payload):
		return desk.Usagef(`-payload %s: not JSON; quote it for the shell: -payload '{"delay":5}'`, desk.Quote(string(j.payload)))
	}
	return nil
}

func finite(n float64) bool { return !math.IsNaN(n) && !math.IsInf(n, 0) }

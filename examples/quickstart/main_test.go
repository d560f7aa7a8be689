package main

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStory holds every line of the story, in order, and its time.
func TestStory(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, &out); err != nil {
		t.Fatalf("the story broke off: %v\n%s", err, out.String())
	}
	const when = `^ +\d+\.\d{3} s  `
	wants := []string{
		when + `hub     speaks MQTT over TLS on 127\.0\.0\.1:\d+, and knows the device fan-7$`,
		when + `hub     desires fan\.rpm = 800, .* \(desired version 2\)$`,
		`^$`, `^1\. the device connects$`,
		when + `device  is online, and got its twin: \{"desired":\{"fan":\{"rpm":800\},"\$version":2\},"reported":\{"\$version":1\}\}$`,
		when + `device  hears fan\.rpm = 800 \(desired version 2, cause "start"\) and obeys$`,
		when + `hub     sees it acknowledged: reported fan\.rpm = \{"value":800,"ac":200,"av":2\}$`,
		`^$`, `^2\. a change reaches it at once$`,
		when + `hub     desires fan\.rpm = 1200, .* \(desired version 3\)$`,
		when + `device  hears fan\.rpm = 1200 \(desired version 3, cause "patch"\) and obeys$`,
		when + `hub     sees it acknowledged: reported fan\.rpm = \{"value":1200,"ac":200,"av":3\}$`,
		`^$`, `^3\. it reports$`,
		when + `device  reported climate\.temperature = 21\.5; .* \(reported version 4\)$`,
		`^$`, `^4\. the line breaks, and life goes on$`,
		when + `hub     the line is cut$`,
		when + `device  notices: transport: connection lost: `,
		when + `hub     desires fan\.rpm = 1500, .* \(desired version 4\)$`,
		when + `device  reports battery = 87, `,
		`^$`, `^5\. both sides catch up by themselves$`,
		when + `hub     the line is mended$`,
		when + `device  is online again$`,
		when + `device  hears fan\.rpm = 1500 \(desired version 4, cause "reconnect"\) and obeys$`,
		when + `hub     sees it acknowledged: reported fan\.rpm = \{"value":1500,"ac":200,"av":4\}$`,
		when + `hub     has the report: battery = 87$`,
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for i, want := range wants {
		if i == len(lines) {
			t.Fatalf("the story ends before %q:\n%s", want, out.String())
		}
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d: got %q, want %q", i+1, lines[i], want)
		}
	}
	if len(lines) > len(wants) {
		t.Errorf("the story goes on after its end: %q", lines[len(wants):])
	}
}

// TestStoryBreaks holds that no step is told that did not happen.
func TestStoryBreaks(t *testing.T) {
	fromHub, fromDevice := hubtest.FromHub, hubtest.FromDevice
	tests := []struct {
		desc  string
		match func(hubtest.Message) bool
		do    hubtest.Action
		ends  bool // the time is up once that happened
		want  string
		is    error
	}{
		{"the hub refuses the identity", fromDevice(name, hubtest.Connect), hubtest.Fail(401003), false,
			`step 1, "the device connects", did not happen: `, transport.ErrUnauthorized},
		{"the hub loses a desired change", fromHub(name, hubtest.Desired), hubtest.Drop(), true,
			`step 2, "a change reaches it at once", did not happen: the listener did not hear fan.rpm = 1200: `, context.Canceled},
		{"the hub loses an acknowledgement", fromDevice(name, hubtest.PatchReported), hubtest.Drop(), true,
			`step 1, "the device connects", did not happen: the hub did not see the acknowledgement: `, context.Canceled},
		{"the hub loses the answer to the report",
			func(m hubtest.Message) bool { return fromHub(name, hubtest.PatchReported)(m) && m.Version == 4 },
			hubtest.Drop(), true, `step 3, "it reports", did not happen: device: the hub did not confirm the report yet`, context.Canceled},
		{"the hub rejects the report",
			func(m hubtest.Message) bool {
				return fromDevice(name, hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "climate")
			},
			hubtest.Fail(400004), false, `step 3, "it reports", did not happen: transport: hub answered 400`, transport.ErrRejected},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			hub := hubtest.New(t, nil)
			hub.Intercept(func(m hubtest.Message) bool {
				hit := tt.match(m)
				if hit && tt.ends {
					cancel()
				}
				return hit
			}, tt.do)
			var out bytes.Buffer
			err := tell(ctx, &out, hub)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !errors.Is(err, tt.is) {
				t.Errorf("got %v, want an error that begins with %q and matches %v\n%s", err, tt.want, tt.is, out.String())
			}
			if strings.Contains(out.String(), "battery") {
				t.Errorf("the story went on after the step that broke it:\n%s", out.String())
			}
		})
	}
}

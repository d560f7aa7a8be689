package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

const (
	plantQuery    = "SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'"
	cellularQuery = plantQuery + " AND properties.reported.connectivity.type = 'cellular'"
)

// TestStory is all of it: a device that obeys and acknowledges.
func TestStory(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.start(true, nil)
	code, stdout, stderr := d.run("-region", "EU", "-min", "17.5", "-fan=false")
	want := `Written to dev1, as version 2 of what is desired:
  tags      {"location":{"plant":"Redmond43","region":"EU"}}
  desired   {"climate":{"hvac":{"systemControl":{"fanOn":false}},"maxTemperature":24,"minTemperature":17.5}}

Waiting for dev1 to report (it is connected) …
It answered after 0s: version 2 of what is reported, which acknowledges climate with 200.

The twin of dev1:
  tags      {"location":{"plant":"Redmond43","region":"EU"}}
  desired   {"climate":{"hvac":{"systemControl":{"fanOn":false}},"maxTemperature":24,"minTemperature":17.5},"$version":2}
  reported  {"climate":{"ac":200,"av":2,"value":{"hvac":{"systemControl":{"fanOn":false}},"maxTemperature":24,"minTemperature":17.5}},"$version":2}

` + plantQuery + `
  page 1: dev1
  1 in all

` + cellularQuery + `
  0 in all
`
	if code != desk.ExitDone || stdout != want || stderr != "" {
		t.Errorf("got status %d, stdout\n%sstderr %q; want 0 and\n%s", code, stdout, stderr, want)
	}
}

// TestReportIsAnAnswer: a device that acknowledges nothing answers by what it
// reports; and by that it is found.
func TestReportIsAnAnswer(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.start(false, cellular)
	code, stdout, stderr := d.run()
	for _, want := range []string{
		"It answered after 0s: version 2 of what is reported.\n",
		`  reported  {"connectivity":{"type":"cellular"},"$version":2}`,
		plantQuery + "\n  page 1: dev1\n  1 in all\n",
		cellularQuery + "\n  page 1: dev1\n  1 in all\n",
	} {
		if code != desk.ExitDone || !strings.Contains(stdout, want) {
			t.Errorf("got status %d, stdout\n%sstderr %q; want 0 and %q", code, stdout, stderr, want)
		}
	}
}

// TestDesired: what is desired need not be climate; and of its properties, one
// that the device knows is acknowledged.
func TestDesired(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		listen, desired, answer string
	}{
		{"interval", `{"interval":5}`, "which acknowledges interval with 200"},
		{"interval", `{"color":"red","interval":5}`, "which acknowledges interval with 200"},
		{"interval", `{"interval":6,"climate":null}`, "which acknowledges interval with 200"},
	} {
		d := newRig(t)
		d.startAt(tt.listen, true, nil)
		code, stdout, stderr := d.run("-desired", tt.desired)
		if code != desk.ExitDone || !strings.Contains(stdout, tt.answer) || strings.Contains(stdout, "minTemperature") {
			t.Errorf("%s: got status %d, stdout\n%sstderr %q; want 0, %q, and nothing of climate", tt.desired, code, stdout, stderr, tt.answer)
		}
	}
}

// TestPages: a fleet comes page by page, and only those of the plant, whose name
// is no piece of the query's language.
func TestPages(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	for i := range 5 {
		id := fmt.Sprintf("fan%d", i)
		if _, err := d.hub.AddDevice(id); err != nil {
			t.Fatal(err)
		}
		if _, err := d.hub.Device(id).SetTags(`{"location":{"plant":"O'Hare\\4"}}`); i > 0 && err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.hub.Device("fan0").SetTags(`{"location":{"plant":"other"}}`); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := d.run("-wait", "0", "-page", "2", "-plant", `O'Hare\4`)
	for _, want := range []string{
		`tags.location.plant = 'O\'Hare\\4'` + "\n  page 1: dev1 fan1\n  page 2: fan2 fan3\n  page 3: fan4\n  5 in all\n",
		"'cellular'\n  0 in all\n",
	} {
		if code != desk.ExitDone || !strings.Contains(stdout, want) {
			t.Errorf("got status %d, stdout\n%sstderr %q; want 0 and %q", code, stdout, stderr, want)
		}
	}
	if strings.Contains(stdout, "Waiting") {
		t.Errorf("it waits, although -wait is 0:\n%s", stdout)
	}
}

// TestConflict: somebody else writes between the read and the write, once or
// each time. What they wrote stays.
func TestConflict(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		times, code, conflicts int
		says                   string
	}{
		{1, desk.ExitDone, 1, ""},
		{7, desk.ExitDone, 7, ""},
		{-1, desk.ExitFailed, 7, "try again later"},
	} {
		d := newRig(t)
		d.hub.Intercept(func(m hubtest.Message) bool {
			hit := hubtest.FromService("PATCH /twins/dev1")(m)
			if hit {
				if _, err := d.hub.Device("dev1").SetTags(`{"other":true}`); err != nil {
					t.Error(err)
				}
			}
			return hit
		}, hubtest.Pass().Times(tt.times))
		code, stdout, stderr := d.run("-wait", "0")
		if got := strings.Count(stdout, "has changed since it was read"); code != tt.code || got != tt.conflicts || !strings.Contains(stderr, tt.says) {
			t.Errorf("%d writers: got status %d, %d conflicts, stderr %q; want %d, %d and %q", tt.times, code, got, stderr, tt.code, tt.conflicts, tt.says)
		}
		if tw, err := d.hub.Device("dev1").Twin(); err != nil || !strings.Contains(string(tw.Tags), `"other":true`) || strings.Contains(string(tw.Tags), "Redmond43") != (code == desk.ExitDone) {
			t.Errorf("%d writers: the tags are %s, %v; want the others', and ours where it was done", tt.times, tw.Tags, err)
		}
	}
}

// TestCreate: what is printed of a device that is created is enough for it.
func TestCreate(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	code, stdout, stderr := d.run("-device", "new1", "-create", "-wait", "0")
	lines := strings.Split(stdout, "\n")
	if code != desk.ExitDone || len(lines) < 2 || lines[0] != "new1 is registered. It logs in with" {
		t.Fatalf("got status %d, stdout\n%sstderr %q; want 0 and that new1 is registered", code, stdout, stderr)
	}
	id, cred, err := auth.ParseConnectionString(strings.TrimSpace(lines[1]))
	if err != nil {
		t.Fatal(err)
	}
	dev := device.New(id, cred, mqtt.Dialer{Stream: d.hub.Stream}, nil)
	defer dev.Close()
	if err := dev.Connect(d.ctx); err != nil {
		t.Error(err)
	}
	if code, stdout, _ := d.run("-device", "new1", "-create", "-wait", "0"); code != desk.ExitDone || strings.Contains(stdout, "registered") {
		t.Errorf("again: got status %d, stdout\n%s; want 0, and no second registration", code, stdout)
	}
}

// TestCreatedMeanwhile: somebody else registers the device first.
func TestCreatedMeanwhile(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.hub.Intercept(func(m hubtest.Message) bool {
		hit := hubtest.FromService("PUT /devices/new1")(m)
		if hit {
			if _, err := d.hub.AddDevice("new1"); err != nil {
				t.Error(err)
			}
		}
		return hit
	}, hubtest.Pass())
	if code, stdout, stderr := d.run("-device", "new1", "-create", "-wait", "0"); code != desk.ExitDone || strings.Contains(stdout, "registered") {
		t.Errorf("got status %d, stdout\n%sstderr %q; want 0, and no word of a registration", code, stdout, stderr)
	}
}

// TestIndexIsBehind: a real hub's queries know a write only some seconds later.
func TestIndexIsBehind(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(200, "[]").Times(2))
	code, stdout, stderr := d.run("-wait", "0")
	behind := "  0 in all\n  … and dev1 is not among them yet: the hub's index is behind. Asked again:\n"
	if want := plantQuery + "\n" + behind + behind + "  page 1: dev1\n  1 in all\n"; code != desk.ExitDone || !strings.Contains(stdout, want) {
		t.Errorf("got status %d, stdout\n%sstderr %q; want 0 and %q", code, stdout, stderr, want)
	}
}

// TestMethod: what is sent, and what is made of the answer.
func TestMethod(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	var sent []string
	d.hub.Intercept(func(m hubtest.Message) bool {
		hit := hubtest.FromService("POST /twins/dev1/methods")(m)
		if hit {
			sent = append(sent, string(m.Body))
		}
		return hit
	}, hubtest.Answer(200, `{"status":299,"payload":{"heard":5}}`).Times(-1))
	for _, tt := range []struct {
		words []string
		body  string
	}{
		{[]string{"-method", "reboot", "-payload", `{"delay":5}`}, `"payload":{"delay":5}`},
		{[]string{"-method", "reboot", "-payload", `null`}, `"payload":null`},
		{[]string{"-method", "reboot"}, ""},
	} {
		sent = nil
		code, stdout, stderr := d.run(append(tt.words, "-wait", "0")...)
		if want := "\nThe method reboot of dev1 answered 299:\n  {\"heard\":5}\n"; code != desk.ExitDone || !strings.HasSuffix(stdout, want) {
			t.Errorf("%q: got status %d, stdout\n%sstderr %q; want 0 and %q", tt.words, code, stdout, stderr, want)
		}
		if len(sent) != 1 || !strings.Contains(sent[0], `"methodName":"reboot"`) || !strings.Contains(sent[0], tt.body) ||
			strings.Contains(sent[0], "payload") != (tt.body != "") {
			t.Errorf("%q: the hub was sent %q; want one call with %q", tt.words, sent, tt.body)
		}
	}
}

// TestOutputFails: a full disk or a reader that has gone ends the program.
func TestOutputFails(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	var stderr strings.Builder
	if code := run(d.ctx, d.flags, desk.Console{Env: d.env, Stdout: full{}, Stderr: &stderr}); code != desk.ExitFailed || !strings.Contains(stderr.String(), "write the story: disk is full") {
		t.Errorf("got status %d, stderr %q; want %d and the reason", code, stderr.String(), desk.ExitFailed)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk is full") }

// TestSilence: an answer that does not come is no riddle.
func TestSilence(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	const connected, absent = "does it listen to desired properties", "it is not connected: start it"
	code, stdout, stderr := d.run("-wait", "50ms")
	if code != desk.ExitTimeout || !strings.Contains(stderr, "waited 50ms (-wait) for dev1") || !strings.Contains(stderr, absent) || !strings.Contains(stdout, "(it is not connected)") {
		t.Errorf("a device that is away: got status %d, stdout\n%sstderr %q; want %d and %q", code, stdout, stderr, desk.ExitTimeout, absent)
	}
	d.start(false, func(context.Context, *device.Client) error { return nil })
	if code, _, stderr := d.run("-wait", "50ms"); code != desk.ExitTimeout || !strings.Contains(stderr, connected) {
		t.Errorf("a device that is mute: got status %d, stderr %q; want %d and %q", code, stderr, desk.ExitTimeout, connected)
	}
	if tw, err := d.hub.Device("dev1").Twin(); err != nil || tw.Desired.Version != 3 {
		t.Errorf("the hub has version %d of what is desired, %v; want 3: what was written stays", tw.Desired.Version, err)
	}
}

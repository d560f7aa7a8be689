package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

func TestGet(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.setDesired(`{"gain":1.10,"big":4503599627370495,"text":"<a&b>"}`)
	code, stdout, stderr := d.run(d.ctx, "get")
	want := `{"desired":{"big":4503599627370495,"gain":1.10,"text":"<a&b>","$version":2},"reported":{"$version":1}}` + "\n"
	if code != desk.ExitDone || stdout != want || stderr != "" {
		t.Errorf("got status %d, stdout\n%sstderr %q; want 0 and\n%s", code, stdout, stderr, want)
	}
	d.wantGoodbye()
}

func TestConnectionStringAsFlag(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	words := []string{"-c", d.dev.ConnectionString, "get"}
	d.dev.ConnectionString = "" // and so not in the environment
	if code, stdout, stderr := d.run(d.ctx, words...); code != desk.ExitDone {
		t.Errorf("got status %d, stdout %q, stderr %q; want 0", code, stdout, stderr)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	for _, tt := range []struct{ patch, stdout, reported string }{
		{`{"fan":{"rpm":1150,"gain":1.10}}`, `{"version":2}`, `{"fan":{"gain":1.10,"rpm":1150}}`},
		{`{"fan":{"rpm":null},"ok":true}`, `{"version":3}`, `{"fan":{"gain":1.10},"ok":true}`},
		{`{"ok":true}`, `{"version":4}`, `{"fan":{"gain":1.10},"ok":true}`}, // said again, it is sent again
		{`{}`, `{"version":5}`, `{"fan":{"gain":1.10},"ok":true}`},
	} {
		code, stdout, stderr := d.run(d.ctx, "report", tt.patch)
		if code != desk.ExitDone || stdout != tt.stdout+"\n" || stderr != "" {
			t.Errorf("report %s: got status %d, stdout %q, stderr %q; want 0 and %s", tt.patch, code, stdout, stderr, tt.stdout)
		}
		tw, err := d.hub.Device("dev1").Twin()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(tw.Reported.JSON); got != tt.reported {
			t.Errorf("report %s: the hub has %s, want %s", tt.patch, got, tt.reported)
		}
	}
}

func TestWatchOnePath(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	p := d.start("watch", "fan")
	p.want("nothing is there yet", `{"path":"fan","version":1,"cause":"start","value":null,"removed":[]}`)
	d.setDesired(`{"fan":{"rpm":1200,"gain":1.10}}`)
	p.want("a change", `{"path":"fan","version":2,"cause":"patch","value":{"gain":1.10,"rpm":1200},"removed":[]}`)
	d.setDesired(`{"fan":{"gain":null}}`)
	p.want("a removal below", `{"path":"fan","version":3,"cause":"patch","value":{"rpm":1200},"removed":["fan.gain"]}`)
	d.setDesired(`{"pump":1}`) // is no business of this watch
	d.setDesired(`{"fan":null}`)
	p.want("the removal of it all", `{"path":"fan","version":5,"cause":"patch","value":null,"removed":["fan"]}`)

	d.hub.Device("dev1").SetLine(false)
	d.setDesired(`{"fan":{"rpm":1}}`)
	d.setDesired(`{"fan":{"rpm":2},"pump":null}`)
	d.hub.Device("dev1").SetLine(true)
	p.want("what changed while the line was down", `{"path":"fan","version":7,"cause":"reconnect","value":{"rpm":2},"removed":[]}`)

	if code := p.end(); code != desk.ExitDone {
		t.Errorf("interrupted: got status %d, want 0", code)
	}
	stderr := p.stderr.String()
	if !strings.HasPrefix(stderr, "twin: offline, trying again: transport: connection lost") || !strings.HasSuffix(stderr, "\ntwin: online\n") {
		t.Errorf("the lost line was told as %q; want that it was lost, and that it is back", stderr)
	}
	d.wantGoodbye()
}

// TestWatchAndDevice: the tool says that it and the running device push each other
// off their connections.
func TestWatchAndDevice(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	p := d.start("watch", "n")
	p.want("the start", `{"path":"n","version":1,"cause":"start","value":null,"removed":[]}`)
	for n := 1; n <= 2; n++ {
		dev := device.New(d.dev.Identity, d.dev.Credential, mqtt.Dialer{Stream: d.hub.Stream}, nil)
		if err := dev.Connect(d.ctx); err != nil {
			t.Fatal(err)
		}
		if err := dev.Close(); err != nil {
			t.Fatal(err)
		}
		d.setDesired(fmt.Sprintf(`{"n":%d}`, n))
		if want := fmt.Sprintf(`"value":%d,`, n); !p.lines.Scan() || !strings.Contains(p.lines.Text(), want) {
			t.Fatalf("it is back: got the line %s, want one with %s", p.lines.Text(), want)
		}
	}
	p.end()
	if got := strings.Count(p.stderr.String(), "is the device itself running?"); got != 1 {
		t.Errorf("got stderr %q; want one word of the device that runs", p.stderr.String())
	}
}

// TestWatchAcknowledges: with -ack the tool is a device that obeys.
func TestWatchAcknowledges(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.setDesired(`{"fan":{"rpm":1200}}`)
	p := d.start("-ack", "watch", "fan")
	p.want("the start", `{"path":"fan","version":2,"cause":"start","value":{"rpm":1200},"removed":[]}`)
	d.wantReported("fan.av", "2")
	d.setDesired(`{"fan":{"rpm":900}}`)
	p.want("a change", `{"path":"fan","version":3,"cause":"patch","value":{"rpm":900},"removed":[]}`)
	d.wantReported("fan", `{"ac":200,"av":3,"value":{"rpm":900}}`)
	if code := p.end(); code != desk.ExitDone {
		t.Errorf("interrupted: got status %d, want 0", code)
	}

	p = d.start("watch", "fan")
	p.want("the start", `{"path":"fan","version":3,"cause":"start","value":{"rpm":900},"removed":[]}`)
	d.setDesired(`{"fan":{"rpm":1}}`)
	p.want("a change", `{"path":"fan","version":4,"cause":"patch","value":{"rpm":1},"removed":[]}`)
	p.end()
	d.wantReported("fan.av", "3") // without -ack it only looks
}

func TestWatchAll(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.setDesired(`{"a":{"b":1,"c":2}}`)
	p := d.start("watch")
	p.want("the start", `{"path":"","version":2,"cause":"start","value":{"a":{"b":1,"c":2}},"removed":[]}`)
	d.hub.Device("dev1").SetLine(false)
	d.setDesired(`{"a":{"b":null},"d":["<"]}`)
	d.hub.Device("dev1").SetLine(true)
	p.want("a removal while the line was down", `{"path":"","version":3,"cause":"reconnect","value":{"a":{"c":2},"d":["<"]},"removed":["a.b"]}`)
	if code := p.end(); code != desk.ExitDone {
		t.Errorf("interrupted: got status %d, want 0", code)
	}
}

// TestWatchWaitsForTheLine: it is no failure of watch that the line is down
// when it starts, and Ctrl-C ends the waiting.
func TestWatchWaitsForTheLine(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	d.hub.SetLine(false)
	p := d.start("watch", "fan.rpm")
	select {
	case <-p.spoke:
	case <-d.ctx.Done():
		t.Fatal("nothing was told of the line")
	}
	d.hub.SetLine(true)
	p.want("the start", `{"path":"fan.rpm","version":1,"cause":"start","value":null,"removed":[]}`)
	d.hub.SetLine(false)
	if code := p.end(); code != desk.ExitDone {
		t.Errorf("interrupted while the line is down: got status %d, want 0", code)
	}
	if got, want := p.stderr.String(), "twin: offline, trying again: device: connect as dev1@"; !strings.HasPrefix(got, want) {
		t.Errorf("the dead line was told as %q; want %q", got, want)
	}
}

func TestVerbose(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	code, stdout, stderr := d.run(d.ctx, "-v", "report", `{"a":1}`)
	if code != desk.ExitDone || stdout != `{"version":2}`+"\n" || !strings.Contains(stderr, "phase=online") {
		t.Errorf("got status %d, stdout %q, stderr %q; want 0, the version, and a log on stderr", code, stdout, stderr)
	}
}

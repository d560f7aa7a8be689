package device_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

func TestTexts(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	waiting := device.State{Phase: device.Waiting, Since: at, Err: errors.New("no line"), RetryAt: at, Missing: errors.New("no twin"), Attempt: 3}
	for _, tt := range []struct {
		v    any
		want string
	}{
		{device.State{}, "not started"},
		{device.State{Phase: device.Online, Since: at}, "online"},
		{waiting, "waiting, attempt 3, until 2026-01-02T03:04:05Z: no line (without: no twin)"},
		{device.Stats{}, "0 connects, 0 GETs, 0 changes in, 0 reports in 0 patches out, 0 retried, desired v0, reported v0"},
		{device.Stats{Connects: 1, Gets: 2, PatchesIn: 3, PatchesOut: 4, Reports: 5, Retried: 6, DesiredVersion: 7, ReportedVersion: 8, Outstanding: true, Unsynced: 9},
			"1 connects, 2 GETs, 3 changes in, 5 reports in 4 patches out, 6 retried, desired v7, reported v8, reports outstanding, 9 bytes not on flash"},
	} {
		if got := fmt.Sprintf("%+v", tt.v); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "state", waiting)
	if !strings.Contains(b.String(), `"state":"waiting, attempt 3, until 2026-01-02T03:04:05Z: no line (without: no twin)"`) {
		t.Errorf("as JSON: %s", b.String())
	}
}

func TestEveryOptionIsChecked(t *testing.T) {
	key, err := auth.ParseKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 513)
	for _, tt := range []struct {
		opts device.Options
		want string
	}{
		{device.Options{ModelID: "foo"}, `Options.ModelID is "foo"; want a DTMI`},
		{device.Options{ModelID: "dtmi:com:1a;1"}, "Options.ModelID is "},
		{device.Options{ModelID: "dtmi:com:a_;1"}, "Options.ModelID is "},
		{device.Options{ModelID: "dtmi:com::a;1"}, "Options.ModelID is "},
		{device.Options{ModelID: "dtmi:com:a;0"}, "Options.ModelID is "},
		{device.Options{ModelID: "dtmi:com:a;1.0"}, "Options.ModelID is "},
		{device.Options{ModelID: "dtmi:com:a;"}, "Options.ModelID is "},
		{device.Options{ModelID: "dtmi:com:a b;1"}, "Options.ModelID is "},
		{device.Options{ModelID: "dtmi:" + strings.Repeat("a", 2048)}, "Options.ModelID is "},
		{device.Options{Product: "a\nb"}, `Options.Product is "a\nb"; want UTF-8`},
		{device.Options{Product: "a\xffb"}, "Options.Product is "},
		{device.Options{Product: long}, "Options.Product is "},
		{device.Options{KeepAlive: time.Millisecond}, "Options.KeepAlive is 1ms; want from 1s to 19m37s, or 0 for 4m0s"},
		{device.Options{KeepAlive: time.Hour}, "Options.KeepAlive is 1h0m0s"},
		{device.Options{RequestTimeout: -1}, "Options.RequestTimeout is -1ns"},
		{device.Options{RequestTimeout: time.Millisecond}, "Options.RequestTimeout is 1ms"},
		{device.Options{CallTimeout: 1}, "Options.CallTimeout is 1ns; want at least 100ms"},
		{device.Options{Resync: time.Second}, "Options.Resync is 1s"},
	} {
		c := device.New(auth.Identity{Host: "h", DeviceID: "d"}, auth.SAS(key, nil), mqtt.Dialer{}, &tt.opts)
		err := c.Connect(t.Context())
		if !errors.Is(err, auth.ErrInvalid) || !strings.HasPrefix(err.Error(), "device: invalid configuration: "+tt.want) {
			t.Errorf("got %v, want one that matches ErrInvalid and says %q", err, tt.want)
		}
		if len(err.Error()) > 300 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
		if err := c.Close(); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("Close: got %v, want the same", err)
		}
	}
	for _, good := range []string{"dtmi:com:example:Thermostat;1", "dtmi:a;999999999", "dtmi:com:ex_ample:T1;2.3", "dtmi:com:example:Thermostat", "dtmi:_sys:a;1"} {
		if !device.IsDTMI(good) {
			t.Errorf("%s is refused", good)
		}
	}
}

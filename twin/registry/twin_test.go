package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

func TestTwins(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		ctx := w.Context()
		w.device("fan1")
		first := w.twin("fan1")
		if first.ID != "fan1" || first.Disabled || first.Connected || !first.LastActivity.IsZero() || first.Desired.Version() != 1 || first.Reported.Version() != 1 {
			t.Errorf("a new twin: got %+v", first)
		}
		second, err := w.client.UpdateTwin(ctx, "fan1", first.ETag, registry.Change{
			Tags: twin.Set("location.plant", "Redmond43"), Desired: twin.Set("fan.rpm", 900),
		})
		if err != nil {
			t.Fatalf("UpdateTwin: %v", err)
		}
		if got, want := second.Tags.String()+second.Desired.String(), `{"location":{"plant":"Redmond43"}}{"fan":{"rpm":900},"$version":2}`; got != want {
			t.Errorf("updated: got %s, want %s", got, want)
		}

		// Somebody else has written since the first was read.
		_, err = w.client.UpdateTwin(ctx, "fan1", first.ETag, registry.Change{Desired: twin.Set("fan.rpm", 1)})
		if !errors.Is(err, transport.ErrPrecondition) || code(err) != 412001 {
			t.Errorf("an old ETag: got %v, want ErrPrecondition with 412001", err)
		}
		third, err := w.client.UpdateTwin(ctx, "fan1", registry.AnyETag, registry.Change{Tags: twin.Delete("location")})
		if err != nil || third.Tags.String() != "{}" || third.Desired.Version() != 2 {
			t.Errorf("any ETag: got %v %v, %v", third.Tags, third.Desired, err)
		}
		fourth, err := w.client.ReplaceTwin(ctx, "fan1", third.ETag, registry.Change{Desired: twin.Replace("", map[string]bool{"led": true})})
		if err != nil || fourth.Desired.String() != `{"led":true,"$version":3}` {
			t.Errorf("replaced: got %v, %v", fourth.Desired, err)
		}
		if _, err := w.client.ReplaceTwin(ctx, "fan1", third.ETag, registry.Change{}); !errors.Is(err, transport.ErrPrecondition) {
			t.Errorf("replaced with an old ETag: got %v, want ErrPrecondition", err)
		}
		_, err = w.client.Twin(ctx, "nobody")
		if !errors.Is(err, transport.ErrNotFound) || code(err) != 404001 || errors.Is(err, registry.ErrOffline) {
			t.Errorf("nobody: got %v, want ErrNotFound with 404001", err)
		}
		var status *transport.StatusError
		if errors.As(err, &status); status.TrackingID == "" || !strings.Contains(err.Error(), "get the twin of nobody") {
			t.Errorf("nobody: got %v, want a tracking id and what was asked", err)
		}

		if _, err := w.hub.AddDevice("fan1/cam"); err != nil {
			t.Fatal(err)
		}
		m, err := w.client.UpdateTwin(ctx, "fan1/cam", w.twin("fan1/cam").ETag, registry.Change{Desired: twin.Set("zoom", 2)})
		if err != nil || m.ID != "fan1/cam" || m.Desired.At("zoom").String() != "2" {
			t.Errorf("a module's twin: got %+v, %v", m, err)
		}
	})
}

// An id may hold every sign that the hub allows.
func TestStrangeIDs(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		for _, id := range []string{"a%2F#?", "-:.+%_#*?!(),=@;$'", "...", "%2e%2e", "%%", "a;b=c"} {
			w.device(id)
			if got := w.twin(id).ID; got != id {
				t.Errorf("got the twin of %q, want %q", got, id)
			}
		}
	})
}

// What is wrong here is not sent.
func TestNotSent(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		ctx := w.Context()
		w.device("fan1")
		one := registry.Change{Tags: twin.Set("a", 1)}
		update := func(id string, etag registry.ETag, c registry.Change) func() error {
			return func() error { _, err := w.client.UpdateTwin(ctx, id, etag, c); return err }
		}
		tests := []struct {
			name string
			do   func() error
			want error
			text string
		}{
			{"no id", update("", "*", one), auth.ErrInvalid, "DeviceId is empty"},
			{"no module", update("fan1/", "*", one), auth.ErrInvalid, "ends in a slash"},
			{"three parts", update("a/b/c", "*", one), auth.ErrInvalid, "ModuleId"},
			{"a space in an id", update("a b", "*", one), auth.ErrInvalid, "DeviceId"},
			{"no ETag", update("fan1", "", one), auth.ErrInvalid, "AnyETag"},
			{"an ETag in quotes", update("fan1", `"x"`, one), auth.ErrInvalid, "ETag"},
			{"a line break in an ETag", update("fan1", "a\r\nb", one), auth.ErrInvalid, "ETag"},
			{"an empty change", update("fan1", "*", registry.Change{}), twin.ErrInvalid, "empty"},
			{"a patch that failed", update("fan1", "*", registry.Change{Tags: twin.Set("a..$b", 1)}), twin.ErrInvalid, "tags"},
			{"a dollar in a key", update("fan1", "*", registry.Change{Desired: twin.Set("$a", 1)}), twin.ErrInvalid, "desired properties"},
			{"a string of 4097 bytes", update("fan1", "*", registry.Change{Tags: twin.Set("a", strings.Repeat("x", 4097))}), twin.ErrInvalid, "4096"},
			{"a desired part that replaces", update("fan1", "*", registry.Change{Desired: twin.Replace("a.b", struct{}{})}), twin.ErrInvalid, `desired properties: twin: invalid data: the patch replaces what is at "a.b"`},
			{"tags that replace", update("fan1", "*", registry.Change{Tags: twin.Replace("", struct{}{})}), twin.ErrInvalid, "tags: twin: invalid data: the patch replaces"},
			{"null in a replacement", func() error {
				_, err := w.client.ReplaceTwin(ctx, "fan1", "*", registry.Change{Tags: twin.Delete("a.b")})
				return err
			}, twin.ErrInvalid, `"a.b" is null`},
			{"a twin of nobody", func() error { _, err := w.client.Twin(ctx, ""); return err }, auth.ErrInvalid, "DeviceId"},
			{"a page below zero", func() error {
				_, _, err := w.client.QueryPage(ctx, "SELECT * FROM devices", &registry.QueryOptions{PageSize: -1})
				return err
			}, auth.ErrInvalid, "PageSize"},
			{"a page above the hub's limit", func() error {
				_, _, err := w.client.QueryPage(ctx, "SELECT * FROM devices", &registry.QueryOptions{PageSize: 1001})
				return err
			}, auth.ErrInvalid, "PageSize"},
			{"a token that no header can hold", func() error {
				for _, err := range w.client.Query(ctx, "SELECT * FROM devices", &registry.QueryOptions{Continuation: "a\nb"}) {
					return err
				}
				return nil
			}, auth.ErrInvalid, "QueryOptions.Continuation"},
			{"more devices than the hub lists", func() error { _, err := w.client.Devices(ctx, 1001); return err }, auth.ErrInvalid, "1001"},
			{"less than no devices", func() error { _, err := w.client.Devices(ctx, -1); return err }, auth.ErrInvalid, "-1"},
			{"modules of nobody", func() error { _, err := w.client.Modules(ctx, "a/b"); return err }, auth.ErrInvalid, "DeviceId"},
			{"deletion without an ETag", func() error { return w.client.DeleteRegistration(ctx, "fan1", "") }, auth.ErrInvalid, "AnyETag"},
			{"update without an ETag", func() error {
				_, err := w.client.UpdateRegistration(ctx, "fan1", "", registry.Registration{})
				return err
			}, auth.ErrInvalid, "AnyETag"},
			{"one key of two", func() error {
				_, err := w.client.UpdateRegistration(ctx, "x", "*", registry.Registration{ETag: "y", PrimaryKey: registry.NewSecret("k")})
				return err
			}, auth.ErrInvalid, "SecondaryKey is empty"},
			{"a payload that is no JSON", func() error { _, err := w.client.Call(ctx, "fan1", "x", func() {}, nil); return err }, auth.ErrInvalid, "payload"},
			{"a call of nobody", func() error { _, err := w.client.Call(ctx, "a b", "x", nil, nil); return err }, auth.ErrInvalid, "DeviceId"},
			{"4 s to answer", func() error {
				_, err := w.client.Call(ctx, "fan1", "x", nil, &registry.CallOptions{ResponseTimeout: 4e9})
				return err
			}, auth.ErrInvalid, "ResponseTimeout"},
			{"half a second to connect", func() error {
				_, err := w.client.Call(ctx, "fan1", "x", nil, &registry.CallOptions{ConnectTimeout: 5e8})
				return err
			}, auth.ErrInvalid, "ConnectTimeout"},
		}
		for _, test := range tests {
			var err error
			sent := w.requests(func() { err = test.do() })
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s: got %v, want %v with %q", test.name, err, test.want, test.text)
			}
			if sent != 0 {
				t.Errorf("%s: %d requests arrived, want none", test.name, sent)
			}
		}
	})
}

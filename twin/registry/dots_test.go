package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// An id has one slash at most, and a Registration is of no other id than the one
// that it is written to. Create and update refuse the rest and send nothing.
func TestSlashInDeviceID(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.device("a")
		for _, ids := range [][2]string{{"a/b/c"}, {"a/"}, {"/a"}, {""}, {"a", "b"}, {"a", "a/b"}, {"a/b", "a"}} {
			id, r := ids[0], registry.Registration{ID: ids[1]}
			var create, update error
			sent := w.requests(func() {
				_, create = w.client.CreateRegistration(w.Context(), id, r)
				_, update = w.client.UpdateRegistration(w.Context(), id, registry.AnyETag, r)
			})
			if !errors.Is(create, auth.ErrInvalid) || !errors.Is(update, auth.ErrInvalid) || sent != 0 {
				t.Errorf("%q: got %v and %v after %d requests, want ErrInvalid and none", ids, create, update, sent)
			}
		}
	})
}

// Every request that names an identity refuses an id that a URL's path takes for
// another one, by name, and sends nothing: to delete module victim/.. would be to
// delete device victim.
func TestDotIDs(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		ctx := w.Context()
		w.device("victim")
		if _, err := w.hub.AddDevice("victim/cam"); err != nil {
			t.Fatal(err)
		}
		one := registry.Change{Tags: twin.Set("a", 1)}
		routes := map[string]func(id string) error{
			"Twin":         func(id string) error { _, err := w.client.Twin(ctx, id); return err },
			"UpdateTwin":   func(id string) error { _, err := w.client.UpdateTwin(ctx, id, registry.AnyETag, one); return err },
			"ReplaceTwin":  func(id string) error { _, err := w.client.ReplaceTwin(ctx, id, registry.AnyETag, one); return err },
			"Call":         func(id string) error { _, err := w.client.Call(ctx, id, "reboot", nil, nil); return err },
			"Registration": func(id string) error { _, err := w.client.Registration(ctx, id); return err },
			"CreateRegistration": func(id string) error {
				_, err := w.client.CreateRegistration(ctx, id, registry.Registration{})
				return err
			},
			"UpdateRegistration": func(id string) error {
				_, err := w.client.UpdateRegistration(ctx, id, registry.AnyETag, registry.Registration{})
				return err
			},
			"DeleteRegistration": func(id string) error { return w.client.DeleteRegistration(ctx, id, registry.AnyETag) },
			"Modules": func(id string) error {
				device, module, _ := strings.Cut(id, "/")
				if strings.Trim(module, ".") == "" && module != "" && len(module) < 3 {
					device = module // it takes a device alone
				}
				_, err := w.client.Modules(ctx, device)
				return err
			},
		}
		for name, do := range routes {
			for id, bad := range map[string]string{
				".": ".", "..": "..", "./cam": ".", "../cam": "..", "../..": "..", "victim/.": ".", "victim/..": "..",
			} {
				var err error
				sent := w.requests(func() { err = do(id) })
				if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), `Id is "`+bad+`"`) || sent != 0 {
					t.Errorf("%s(%q): got %v after %d requests, want ErrInvalid that names %q, and none", name, id, err, sent, bad)
				}
			}
			// Other ids that mean a place to somebody are but ids.
			for _, id := range []string{"%2e%2e", "%2E", "%252e", "...", "..a", "a..", "victim/%2e%2e", "victim/...", ".%2e"} {
				if err := do(id); errors.Is(err, auth.ErrInvalid) {
					t.Errorf("%s(%q): %v", name, id, err)
				}
				if got := w.twin("victim").ID + w.twin("victim/cam").ID; got != "victimvictim/cam" {
					t.Fatalf("%s(%q) touched another identity: %q", name, id, got)
				}
			}
			if _, err := w.client.Twin(ctx, "victim"); err != nil {
				t.Fatalf("after %s: %v", name, err)
			}
		}
	})
}

package hubtest

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
)

// The hub resolves dot segments as the front of a real one does, encoded or not,
// so that a client which sends them is found out here.
func TestDotSegmentsAreResolved(t *testing.T) {
	for path, want := range map[string]string{
		"/devices/a":                       "devices/a",
		"/devices/victim/modules/..":       "devices/victim",
		"/devices/victim/modules/%2e%2e":   "devices/victim",
		"/devices/victim/modules/.%2E":     "devices/victim",
		"/devices/victim/modules/../":      "devices/victim",
		"/devices/.":                       "devices",
		"/devices/..":                      "",
		"/devices/../..":                   "",
		"/devices/../../twins/a":           "twins/a",
		"/twins/x/../victim":               "twins/victim",
		"/twins/./victim/./methods":        "twins/victim/methods",
		"/twins/...":                       "twins/...",
		"/twins/..a":                       "twins/..a",
		"/twins/%252e%252e":                "twins/%2e%2e",
		"/twins/a/modules/%2e/methods":     "twins/a/modules/methods",
		"/devices/victim/modules/%2e%2e%2": "error",
	} {
		var got []string
		u, err := url.Parse(path)
		if err == nil {
			got, err = segments(u)
		}
		text := strings.Join(got, "/")
		if err != nil {
			text = "error"
		}
		if text != want {
			t.Errorf("%s: got %q, want %q", path, text, want)
		}
	}
}

// On every route, an id that is a dot segment means the place that the path leads
// to, and no identity is ever made by such a name.
func TestDotSegmentsOfEveryRoute(t *testing.T) { bubble(t, testDotSegmentsOfEveryRoute) }
func testDotSegmentsOfEveryRoute(t *testing.T) {
	all := routes()
	for _, rt := range all {
		for _, dots := range []string{".", "..", "%2e", "%2E%2e"} {
			for _, place := range []string{"{d}", "{m}"} {
				if !strings.Contains(rt.path, place) {
					continue
				}
				h := New(t, nil)
				must[Device](t, "AddDevice")(h.AddDevice("victim"))
				must[Device](t, "AddModule")(h.AddDevice("victim/cam"))
				path := strings.NewReplacer(place, dots, "{d}", "victim", "{m}", "cam").Replace(rt.path)
				got := owner(t, h).do(rt.method, "/"+path, `{"deviceId":"x","methodName":"m"}`)

				// What it means is what the resolved path means when asked for.
				u, err := url.Parse("/" + path)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := segments(u)
				if err != nil {
					t.Fatal(err)
				}
				if slices.Contains(plain, ".") || slices.Contains(plain, "..") {
					t.Errorf("%s %s is resolved to %q", rt.method, path, plain)
				}
				other := New(t, nil)
				must[Device](t, "AddDevice")(other.AddDevice("victim"))
				must[Device](t, "AddModule")(other.AddDevice("victim/cam"))
				want := owner(t, other).do(rt.method, "/"+strings.Join(plain, "/"), `{"deviceId":"x","methodName":"m"}`)
				if got.status != want.status {
					t.Errorf("%s %s: got %d, want %d as for %q", rt.method, path, got.status, want.status, plain)
				}
				for _, id := range []string{".", "..", "victim/.", "victim/..", "./cam", "../cam"} {
					if h.identities[id] != nil {
						t.Errorf("%s %s made the identity %q", rt.method, path, id)
					}
				}
			}
		}
	}
	h := New(t, nil)
	must[Device](t, "AddDevice")(h.AddDevice("victim"))
	if r := owner(t, h).do("DELETE", "/devices/victim/modules/%2e%2e", ""); r.status != 204 || h.identities["victim"] != nil {
		t.Errorf("the fault itself: got %d and %v; this hub must show what it does to a real one", r.status, h.identities["victim"])
	}
}

// Nor is one made in any other way.
func TestDotIDsAreRefused(t *testing.T) {
	h := New(t, nil)
	must[Device](t, "AddDevice")(h.AddDevice("dev1"))
	for _, id := range []string{".", ".."} {
		for name, make := range map[string]func() (Device, error){
			"AddDevice":     func() (Device, error) { return h.AddDevice(id) },
			"AddModule":     func() (Device, error) { return h.AddDevice("dev1/" + id) },
			"AddModule of":  func() (Device, error) { return h.AddDevice(id + "/m") },
			"AddX509Device": func() (Device, error) { return h.AddX509Device(id, nil) },
			"AddX509Module": func() (Device, error) { return h.AddX509Device("dev1/"+id, nil) },
		} {
			if _, err := make(); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), `Id is "`+id+`"`) {
				t.Errorf("%s %q: got %v, want ErrInvalid that names it", name, id, err)
			}
		}
	}
}

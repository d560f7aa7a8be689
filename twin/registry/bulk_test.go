package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

const allDevices = "SELECT * FROM devices"

// fans adds devices fan000, fan001 … with a tag of their own.
func (w *world) fans(n int) {
	w.Helper()
	for i := range n {
		id := fmt.Sprintf("fan%03d", i)
		w.device(id)
		if _, err := w.hub.Device(id).SetTags(fmt.Sprintf(`{"n":%d}`, i)); err != nil {
			w.Fatal(err)
		}
	}
}

// update runs UpdateTwins and returns the results by id, and the error that ended it.
func (w *world) update(c *registry.Client, query string, change registry.Change) (results map[string]error, end error) {
	w.Helper()
	results = map[string]error{}
	for id, err := range c.UpdateTwins(w.Context(), query, change) {
		if end != nil {
			w.Errorf("%q came after the end", id)
		}
		if id == "" {
			end = err
			continue
		}
		if _, twice := results[id]; twice {
			w.Errorf("%s came twice", id)
		}
		results[id] = err
	}
	return results, end
}

func (w *world) tags(id, want string) {
	w.Helper()
	if got := w.twin(id).Tags.String(); got != want {
		w.Errorf("tags of %s: got %s, want %s", id, got, want)
	}
}

// during calls f when the next bulk request has arrived and is not performed yet.
func (w *world) during(f func()) {
	done := false
	w.hub.Intercept(func(m hubtest.Message) bool {
		if !done && m.Method == "POST /devices" {
			done = true
			f()
		}
		return false
	}, hubtest.Pass())
}

func TestUpdateTwins(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.fans(250)
		mark := registry.Change{Tags: twin.Set("mark", 1), Desired: twin.Set("fan.rpm", 900)}
		var results map[string]error
		var end error
		n := w.requests(func() { results, end = w.update(w.client, allDevices, mark) })
		if len(results) != 250 || end != nil || n != 6 {
			t.Errorf("got %d results in %d requests, %v; want 250 in 6", len(results), n, end)
		}
		for id, err := range results {
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		w.tags("fan249", `{"mark":1,"n":249}`)
		if got, want := w.twin("fan000").Desired.String(), `{"fan":{"rpm":900},"$version":2}`; got != want {
			t.Errorf("desired: got %s, want %s", got, want)
		}

		// What the query does not find is not changed.
		results, end = w.update(w.client, allDevices+" WHERE tags.n > 247", registry.Change{Tags: twin.Delete("mark")})
		if len(results) != 2 || end != nil {
			t.Errorf("two: got %v, %v", results, end)
		}
		w.tags("fan249", `{"n":249}`)
		w.tags("fan247", `{"mark":1,"n":247}`)

		// A caller that stops gets no more requests.
		n = w.requests(func() {
			for range w.client.UpdateTwins(w.Context(), allDevices, mark) {
				break
			}
		})
		if n > 3 {
			t.Errorf("stopped at the first: %d requests, want a page, perhaps the next, and one update", n)
		}
	})
}

// Each twin has a result of its own, modules too.
func TestUpdateTwinsOneByOne(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.fans(3)
		for _, id := range []string{"fan000", "fan001"} {
			if _, err := w.hub.AddDevice(id + "/m"); err != nil {
				t.Fatal(err)
			}
		}
		mark := registry.Change{Tags: twin.Set("mark", 1)}
		w.during(func() {
			if _, err := w.hub.Device("fan001").SetTags(`{"n":7}`); err != nil {
				t.Error(err)
			}
			if err := w.hub.Device("fan002").Remove(); err != nil {
				t.Error(err)
			}
		})
		results, end := w.update(w.client, allDevices, mark)
		if end != nil || len(results) != 3 || results["fan000"] != nil {
			t.Errorf("got %v, %v", results, end)
		}
		if err := results["fan001"]; !errors.Is(err, transport.ErrPrecondition) || code(err) != 412001 || !strings.HasPrefix(err.Error(), "registry: update the twin of fan001: ") || strings.Contains(err.Error(), "earlier attempt") {
			t.Errorf("written in between: got %v, want ErrPrecondition of fan001", err)
		}
		if err := results["fan002"]; !errors.Is(err, transport.ErrNotFound) || code(err) != 404001 {
			t.Errorf("gone in between: got %v, want ErrNotFound", err)
		}
		w.tags("fan001", `{"n":7}`)

		w.during(func() {
			if _, err := w.hub.Device("fan001/m").SetTags(`{"n":7}`); err != nil {
				t.Error(err)
			}
		})
		results, end = w.update(w.client, "SELECT * FROM devices.modules", mark)
		if end != nil || len(results) != 2 || results["fan000/m"] != nil || !errors.Is(results["fan001/m"], transport.ErrPrecondition) {
			t.Errorf("modules: got %v, %v", results, end)
		}
		w.tags("fan000/m", `{"mark":1}`)
		w.tags("fan000", `{"mark":1,"n":0}`)
	})
}

// A throttled request is sent again when the hub says. One whose answer was lost
// counts once, for each twin by itself.
func TestUpdateTwinsAgain(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.fans(3)
		began := time.Now()
		w.hub.Intercept(hubtest.FromService("POST /devices"), hubtest.Fail(429001).RetryAfter(42*time.Second))
		results, end := w.update(w.client, allDevices, registry.Change{Tags: twin.Set("mark", 1)})
		if end != nil || len(results) != 3 || results["fan000"] != nil || time.Since(began) < 42*time.Second {
			t.Errorf("throttled: got %v, %v after %v; want success after 42s", results, end, time.Since(began))
		}

		w.hub.Intercept(hubtest.FromService("POST /devices"), hubtest.CutAfter())
		n := 0
		w.hub.Intercept(func(m hubtest.Message) bool {
			if m.Method == "POST /devices" {
				if n++; n == 1 { // the second attempt: CutAfter takes the first
					if _, err := w.hub.Device("fan001").SetTags(`{"mark":3}`); err != nil {
						t.Error(err)
					}
				}
			}
			return false
		}, hubtest.Pass())
		results, end = w.update(w.client, allDevices, registry.Change{Tags: twin.Set("mark", 2)})
		if end != nil || len(results) != 3 || results["fan000"] != nil || results["fan002"] != nil {
			t.Errorf("a lost answer: got %v, %v; want that two are as they should be", results, end)
		}
		if err := results["fan001"]; !errors.Is(err, transport.ErrPrecondition) || !strings.Contains(err.Error(), "earlier attempt was lost") {
			t.Errorf("a lost answer, and written since: got %v, want ErrPrecondition that says so", err)
		}
		w.tags("fan000", `{"mark":2,"n":0}`)
		w.tags("fan001", `{"mark":3,"n":1}`)
	})
}

// A request that fails as a whole names its twins and ends the iteration.
func TestUpdateTwinsThatEnd(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.fans(120)
		mark := registry.Change{Tags: twin.Set("mark", 1)}
		p, _ := w.hub.Policy("service")
		c, err := registry.New(connectionString(w.hub.Host(), p), w.options(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		results, end := w.update(c, allDevices, mark)
		if len(results) != 100 || !errors.Is(results["fan000"], transport.ErrUnauthorized) || !errors.Is(end, transport.ErrUnauthorized) {
			t.Errorf("without RegistryWrite: got %d results, %v; want 100 and ErrUnauthorized", len(results), end)
		}
		// A second page that fails comes after the twins of the first.
		w.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Pass())
		w.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(400, ""))
		results, end = w.update(w.client, allDevices, mark)
		if len(results) != 100 || results["fan099"] != nil || !errors.Is(end, transport.ErrRejected) {
			t.Errorf("a second page that fails: got %d results, %v", len(results), end)
		}
		w.tags("fan099", `{"mark":1,"n":99}`)
		w.tags("fan100", `{"n":100}`)

		n := w.requests(func() {
			for name, change := range map[string]registry.Change{"empty": {}, "a bad key": {Tags: twin.Set("$a", 1)}, "a replacement": {Tags: twin.Replace("a", struct{}{})}} {
				if results, end := w.update(w.client, allDevices, change); len(results) != 0 || !errors.Is(end, twin.ErrInvalid) {
					t.Errorf("%s: got %v, %v; want ErrInvalid", name, results, end)
				}
			}
		})
		if n != 0 {
			t.Errorf("wrong changes: %d requests arrived, want none", n)
		}
	})
}

// A large change takes several requests for a page, none above the bound.
func TestUpdateTwinsBounds(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.fans(30)
		change := registry.Change{}
		for i := range 6 {
			change.Desired = change.Desired.Set(fmt.Sprintf("text%d", i), strings.Repeat("x", 4000))
		}
		largest, sent := 0, 0
		w.hub.Intercept(func(m hubtest.Message) bool {
			if m.Method == "POST /devices" {
				largest, sent = max(largest, len(m.Body)), sent+1
			}
			return false
		}, hubtest.Pass())
		results, end := w.update(w.client, allDevices, change)
		if end != nil || len(results) != 30 || results["fan029"] != nil || sent != 3 || largest > 257<<10 {
			t.Errorf("got %d results in %d requests of %d bytes at most, %v; want 30 in 3 of 256 KB", len(results), sent, largest, end)
		}
	})
}

// Whatever a server answers is a result for each twin, or an error that ends it.
func TestUpdateTwinsHostile(t *testing.T) {
	const row = `[{"deviceId":"x","etag":"MQ==","properties":{"desired":{"$version":1},"reported":{"$version":1}}}]`
	for _, test := range []struct {
		name, rows string
		status     int
		body       string
		one, end   error
	}{
		{"nothing", row, 200, ``, transport.ErrProtocol, transport.ErrProtocol},
		{"no result", row, 200, `{}`, transport.ErrProtocol, transport.ErrProtocol},
		{"a refusal of the whole", row, 400, `{"Message":"ErrorCode:ArgumentInvalid;x"}`, transport.ErrRejected, transport.ErrRejected},
		{"a failure that says nothing", row, 400, `{"isSuccessful":false,"errors":[]}`, transport.ErrProtocol, transport.ErrProtocol},
		{"another's failure", row, 400, `{"isSuccessful":false,"errors":[{"deviceId":"y","errorCode":"PreconditionFailed"}]}`, transport.ErrProtocol, transport.ErrProtocol},
		{"a module's failure", row, 400, `{"isSuccessful":false,"errors":[{"deviceId":"x","moduleId":"m","errorCode":"PreconditionFailed"}]}`, transport.ErrProtocol, transport.ErrProtocol},
		{"a code that nobody knows", row, 400, `{"isSuccessful":false,"errors":[{"deviceId":"x","errorCode":"SomethingNew","errorStatus":"y"}]}`, transport.ErrRejected, nil},
		{"a code that is a number", row, 400, `{"isSuccessful":false,"errors":[{"deviceId":"x","errorCode":412001}]}`, transport.ErrPrecondition, nil},
		{"success with a failure", row, 200, `{"isSuccessful":true,"errors":[{"deviceId":"x","errorCode":"DeviceNotFound"}]}`, transport.ErrNotFound, nil},
		{"success", row, 200, `{"isSuccessful":true}`, nil, nil},
		{"no ETag", strings.Replace(row, "MQ==", "", 1), 500, ``, transport.ErrProtocol, nil},
	} {
		c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{MaxAttempts: 1, Transport: tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/devices/query" {
				return answer(r, 200, test.rows), nil
			}
			return answer(r, test.status, test.body), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		for id, err := range c.UpdateTwins(t.Context(), allDevices, registry.Change{Tags: twin.Set("a", 1)}) {
			want := test.one
			if id == "" {
				ended, want = true, test.end
			}
			if !errors.Is(err, want) || err != nil && (!strings.HasPrefix(err.Error(), "registry: ") || strings.Count(err.Error(), "registry: ") != 1) {
				t.Errorf("%s, %q: got %v, want %v", test.name, id, err, want)
			}
		}
		if ended != (test.end != nil) {
			t.Errorf("%s: ended with an error is %t, want %t", test.name, ended, test.end != nil)
		}
	}
}

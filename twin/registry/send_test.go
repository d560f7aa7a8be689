package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// bearer is a TokenSource of one token.
func bearer(context.Context) (string, time.Time, error) {
	return "SECRET-ENTRA-TOKEN", time.Now().Add(time.Hour), nil
}

// A tripper sends by a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(r *http.Request, status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}
}

// everyCall makes each kind of request once.
func everyCall(ctx context.Context, c *registry.Client) map[string]error {
	_, twinErr := c.Twin(ctx, "dev1")
	_, update := c.UpdateTwin(ctx, "dev1", "e", registry.Change{Tags: twin.Set("a", 1)})
	_, modify := c.ModifyTwin(ctx, "dev1", func(registry.Twin) (registry.Change, error) { return registry.Change{}, nil })
	_, replace := c.ReplaceTwin(ctx, "dev1", "e", registry.Change{Tags: twin.Set("a", 1)})
	_, call := c.Call(ctx, "dev1", "unlock", map[string]string{"pin": "1234"}, nil)
	_, registration := c.Registration(ctx, "dev1")
	_, create := c.CreateRegistration(ctx, "dev1", registry.Registration{})
	_, write := c.UpdateRegistration(ctx, "dev1", "e", registry.Registration{})
	remove := c.DeleteRegistration(ctx, "dev1", "e")
	_, devices := c.Devices(ctx, 1)
	_, modules := c.Modules(ctx, "dev1")
	_, _, page := c.QueryPage(ctx, "SELECT * FROM devices", nil)
	return map[string]error{
		"Twin": twinErr, "UpdateTwin": update, "ModifyTwin": modify, "ReplaceTwin": replace, "Call": call, "Registration": registration, "CreateRegistration": create,
		"UpdateRegistration": write, "DeleteRegistration": remove, "Devices": devices, "Modules": modules, "QueryPage": page,
	}
}

// everyWrongCall makes each kind of request with an id that there cannot be.
func everyWrongCall(ctx context.Context, c *registry.Client) map[string]error {
	one := registry.Change{Tags: twin.Set("a", 1)}
	_, twinErr := c.Twin(ctx, "a b")
	_, update := c.UpdateTwin(ctx, "a b", "e", one)
	_, empty := c.UpdateTwin(ctx, "dev1", "e", registry.Change{})
	_, replace := c.ReplaceTwin(ctx, "a b", "e", one)
	_, modify := c.ModifyTwin(ctx, "a b", func(registry.Twin) (registry.Change, error) { return one, nil })
	_, call := c.Call(ctx, "a b", "unlock", nil, nil)
	_, registration := c.Registration(ctx, "a b")
	_, create := c.CreateRegistration(ctx, "a b", registry.Registration{})
	_, write := c.UpdateRegistration(ctx, "a b", "e", registry.Registration{})
	_, devices := c.Devices(ctx, -1)
	_, modules := c.Modules(ctx, "a b")
	_, _, page := c.QueryPage(ctx, "", &registry.QueryOptions{PageSize: -1})
	return map[string]error{
		"Twin": twinErr, "UpdateTwin": update, "empty UpdateTwin": empty, "ReplaceTwin": replace, "ModifyTwin": modify, "Call": call, "Registration": registration,
		"CreateRegistration": create, "UpdateRegistration": write, "DeleteRegistration": c.DeleteRegistration(ctx, "a b", "e"), "Devices": devices, "Modules": modules, "QueryPage": page,
	}
}

// No redirect is followed: neither token nor payload goes anywhere else, and each
// request is sent once.
func TestRedirects(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308, 399} {
		for _, to := range []string{"http://hub.example/", "https://hub.example:8443/", "https://logs.hub.example/", "https://elsewhere.example/", "/other", "", "://", "https://hub.example/same"} {
			var seen []string
			own := tripper(func(r *http.Request) (*http.Response, error) {
				seen = append(seen, r.URL.Scheme+"://"+r.URL.Host)
				if r.Body != nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				return answer(r, status, "gone", "Location", to), nil
			})
			c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{Transport: own})
			if err != nil {
				t.Fatal(err)
			}
			errs := everyCall(t.Context(), c)
			for name, err := range errs {
				if !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), "redirect") || strings.Contains(err.Error(), "SECRET") {
					t.Errorf("%s, %d to %q: got %v, want ErrProtocol that speaks of a redirect", name, status, to, err)
				}
			}
			if len(seen) != len(errs) {
				t.Errorf("%d to %q: %d requests for %d calls: %q", status, to, len(seen), len(errs), seen)
			}
			for _, s := range seen {
				if s != "https://hub.example" {
					t.Errorf("%d to %q: a request went to %s", status, to, s)
				}
			}
		}
	}
}

// A Transport that followed a redirect by itself cannot be held, but the caller
// hears of it. One that has another way to the hub may.
func TestTransportThatFollows(t *testing.T) {
	sent := 0
	c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		sent++
		other := r.Clone(r.Context())
		other.URL.Host, other.Response = "elsewhere.example", answer(r, 307, "")
		return answer(other, 200, "{}"), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	errs := everyCall(t.Context(), c)
	if sent != len(errs) {
		t.Errorf("%d requests for %d calls", sent, len(errs))
	}
	for name, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "the token may have gone along") {
			t.Errorf("%s: got %v, want an error that says that the token may have gone", name, err)
		}
	}
}

// A RoundTripper that leads to the hub by another address is the user's own way.
func TestTransportThatRewrites(t *testing.T) {
	c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		other := r.Clone(r.Context())
		other.URL.Host = "gateway.example"
		return answer(other, 200, `[]`), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Devices(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// Continuation tokens that come round again end a walk, however many there are.
func TestContinuationCircles(t *testing.T) {
	for _, length := range []int{1, 2, 3, 7, 100} {
		for _, lead := range []int{0, 1, 5, 64} {
			n := 0
			c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{Transport: tripper(func(r *http.Request) (*http.Response, error) {
				token := fmt.Sprint("lead", n)
				if n >= lead {
					token = fmt.Sprint("t", (n-lead)%length)
				}
				if n++; n > 2000 {
					return nil, errors.New("enough")
				}
				return answer(r, 200, "[]", "X-Ms-Continuation", token), nil
			}), MaxAttempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range c.QueryJSON(t.Context(), "SELECT * FROM devices", nil) {
				if !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), "repeats a continuation token") {
					t.Errorf("%d tokens in turn after %d: got %v", length, lead, err)
				}
			}
			if n > 4*(lead+length)+8 {
				t.Errorf("%d tokens in turn after %d: found out after %d pages", length, lead, n)
			}
		}
	}
	// A walk that is only long ends by itself.
	n := 0
	c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		if n++; n > 3000 {
			return answer(r, 200, "[1]"), nil
		}
		return answer(r, 200, "[1]", "X-Ms-Continuation", fmt.Sprint(n)), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, err := range c.QueryJSON(t.Context(), "SELECT * FROM devices", nil) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 3001 {
		t.Errorf("a long walk brought %d rows, want 3001", rows)
	}
}

// FuzzAnswer: any answer of a hub is a result or an error.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"deviceId":"d","etag":"AAAA","version":2,"tags":{"a":1},"properties":{"desired":{"$version":1},"reported":{"$version":1}}}`), "", "")
	f.Add(200, []byte(`[{"deviceId":"d"}]`), "YWJj", "Twin")
	f.Add(404, []byte(`{"Message":"ErrorCode:DeviceNotFound;x","ExceptionMessage":"Tracking ID:x"}`), "", "")
	f.Add(429, []byte(`{"Message":"{\"errorCode\":429001}"}`), "9999999999", "")
	f.Add(307, []byte(`x`), "https://elsewhere.example/", "")
	f.Fuzz(func(t *testing.T, status int, body []byte, cont, kind string) {
		sent := 0
		c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{MaxAttempts: 1, Transport: tripper(func(r *http.Request) (*http.Response, error) {
			sent++
			return &http.Response{StatusCode: status, Header: http.Header{"X-Ms-Continuation": {cont}, "Location": {cont}, "X-Ms-Item-Type": {kind}, "Retry-After": {cont}, "Iothub-Errorcode": {kind}},
				Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		errs := everyCall(t.Context(), c)
		for name, err := range errs {
			if err != nil && (err.Error() == "" || strings.Contains(err.Error(), "SECRET-ENTRA-TOKEN") && !bytes.Contains(body, []byte("SECRET"))) {
				t.Fatalf("%s: %v", name, err)
			}
			if err == nil && (status < 200 || status > 299) {
				t.Fatalf("%s: no error at %d", name, status)
			}
		}
		if sent != len(errs) {
			t.Fatalf("%d requests for %d calls", sent, len(errs))
		}
	})
}

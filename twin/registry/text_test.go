package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// holder has a twin in a field that fmt cannot call methods of.
type holder struct{ t registry.Twin }

// A twin prints, logs and marshals as the JSON of the hub, in every way.
func TestTwinText(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.device("fan1")
		if _, err := w.hub.Device("fan1").SetTags(`{"name":"<fan>"}`); err != nil {
			t.Fatal(err)
		}
		tw := w.twin("fan1")
		text := tw.String()
		for _, part := range []string{`"deviceId":"fan1"`, `"$metadata"`, `"name":"<fan>"`} {
			if !strings.Contains(text, part) {
				t.Errorf("String: got %s, want the text of the hub with %s", text, part)
			}
		}
		for _, verb := range []string{"%v", "%+v", "%s"} {
			if got := fmt.Sprintf(verb, tw); got != text {
				t.Errorf("%s: got %s, want %s", verb, got, text)
			}
			if got := fmt.Sprintf(verb, &tw); got != text {
				t.Errorf("%s of a pointer: got %s, want %s", verb, got, text)
			}
		}
		marshaled, err := json.Marshal(tw)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := errors.Join(json.Unmarshal(marshaled, &got), json.Unmarshal([]byte(text), &want)); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("json.Marshal: got %s, %v; want %s", marshaled, err, text)
		}
		// 123 34 are the bytes of {" as numbers.
		for name, printed := range map[string]string{
			"slog": logged(tw), "%+v inside": fmt.Sprintf("%+v", holder{tw}), "%#v": fmt.Sprintf("%#v", tw),
			"a change": fmt.Sprintf("%+v", registry.Change{Tags: twin.Set("a", 1)}), "a result": logged(registry.CallResult{Status: 200, Payload: json.RawMessage(`{"a":1}`)}),
		} {
			if strings.Contains(printed, "123 34") || strings.Contains(printed, "0x7b, 0x22") {
				t.Errorf("%s: got bytes: %s", name, printed)
			}
		}
		var none registry.Twin
		if b, err := json.Marshal(none); string(b) != "null" || err != nil || none.String() != "" {
			t.Errorf("the zero twin: got %s, %v, %q; want null and nothing", b, err, none)
		}
	})
}

func TestCallResultText(t *testing.T) {
	r := registry.CallResult{Status: 200, Payload: json.RawMessage(`{"uptime":17}`)}
	for _, verb := range []string{"%v", "%+v", "%s"} {
		if got, want := fmt.Sprintf(verb, r), `200 {"uptime":17}`; got != want {
			t.Errorf("%s: got %s, want %s", verb, got, want)
		}
	}
	if got, err := json.Marshal(r); string(got) != `{"status":200,"payload":{"uptime":17}}` || err != nil {
		t.Errorf("json.Marshal: got %s, %v", got, err)
	}
}

// Every error begins with the package's name and has it once.
func TestErrorPrefix(t *testing.T) {
	for status, body := range map[int]string{
		404: `{"Message":"ErrorCode:DeviceNotOnline;x"}`, 409: `{}`, 504: `{"Message":"{\"errorCode\":504101}"}`, 412: `{}`, 401: `{}`, 302: `{}`, 200: `{"a":`,
	} {
		c, err := registry.NewWithTokens("hub.example", bearer, &registry.Options{MaxAttempts: 1, Transport: tripper(func(r *http.Request) (*http.Response, error) {
			return answer(r, status, body), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		errs := everyCall(t.Context(), c)
		for name, err := range everyWrongCall(t.Context(), c) {
			errs["wrong "+name] = err
		}
		_, errs["NewWithTokens"] = registry.NewWithTokens("", nil, nil)
		_, errs["New"] = registry.New("HostName=x", nil)
		_, errs["options"] = registry.NewWithTokens("hub.example", bearer, &registry.Options{Timeout: -1})
		for name, err := range errs {
			if err == nil && name == "DeleteRegistration" && status == 200 {
				continue // its answer has no body
			}
			if err == nil || !strings.HasPrefix(err.Error(), "registry: ") || strings.Count(err.Error(), "registry: ") != 1 {
				t.Errorf("%s at %d: got %v, want one prefix", name, status, err)
			}
		}
	}
	for _, err := range []error{registry.ErrExists, registry.ErrOffline, registry.ErrNoAnswer} {
		if !strings.HasPrefix(err.Error(), "registry: ") {
			t.Errorf("got %v, want the prefix", err)
		}
	}
}

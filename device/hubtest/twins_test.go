package hubtest

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
)

func TestSectionLimit(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	full := `{`
	for i := range 8 { // 8·(3+4093) = 32768
		full += `"k0` + string(rune('0'+i)) + `":"` + letters(4093) + `",`
	}
	full = strings.TrimSuffix(full, ",") + `}`
	setDesired(t, h, "dev1", full)
	_, err := h.Device("dev1").SetDesired(`{"k8":true}`)
	var status *transport.StatusError
	if !errors.As(err, &status) || status.Status != 403 || status.Code != 403100 || !errors.Is(err, transport.ErrRejected) {
		t.Errorf("a ninth key: got %v, want 403 and 403100", err)
	}
	if got := twinOf(t, h, "dev1").Desired; got.Version != 2 || string(got.JSON) != full {
		t.Errorf("after a refusal: got version %d and %d bytes, want 2 and %d", got.Version, len(got.JSON), len(full))
	}
	// A twin over the limit (of an older rule) may shrink, and stay over it.
	h.mu.Lock()
	s := &h.identities["dev1"].twin.Desired
	s.Doc = h.opts.rules().Apply(s.Doc, jsondoc.New("k8", letters(4096), "k9", letters(4096)))
	h.mu.Unlock()
	setDesired(t, h, "dev1", `{"k9":null}`)
	setDesired(t, h, "dev1", `{"k8":"`+letters(4000)+`"}`)
	if _, err := h.Device("dev1").SetDesired(`{"k8":"` + letters(4001) + `"}`); err == nil {
		t.Errorf("growing above the limit: got it accepted")
	}
}

func TestRewriteNumbers(t *testing.T) {
	h := New(t, &Options{quirks: quirk.Set{RewriteNumbers: true}})
	addDevice(t, h, "dev1")
	setDesired(t, h, "dev1", `{"a":1.10,"l":[1e21,{"x":2.50}]}`)
	if got, want := string(twinOf(t, h, "dev1").Desired.JSON), `{"a":1.1,"l":[1E+21,{"x":2.5}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNumbersKeepTheirText(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	const doc = `{"a":1.10,"b":1e21,"c":-0,"d":1E+2}`
	setDesired(t, h, "dev1", doc)
	if got := string(twinOf(t, h, "dev1").Desired.JSON); got != doc {
		t.Errorf("got %s, want %s", got, doc)
	}
}

func TestTextsSurvive(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	const doc = `{"<&>":"\"\\\n\u0000é€😀</script> ` + "\u2028" + `","k\"":"\\"}`
	setDesired(t, h, "dev1", doc)
	var got, want map[string]string
	if err := json.Unmarshal(twinOf(t, h, "dev1").Desired.JSON, &got); err != nil {
		t.Fatalf("the hub's JSON: %v", err)
	}
	if err := json.Unmarshal([]byte(doc), &want); err != nil {
		t.Fatalf("the test's JSON: %v", err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVersionsAndMetadata(t *testing.T) {
	now := time.Date(2025, 12, 31, 1, 2, 3, 4500, time.UTC)
	h := New(t, &Options{Now: func() time.Time { return now }})
	addDevice(t, h, "dev1")
	tw := twinOf(t, h, "dev1")
	if tw.Version != 2 || tw.etag != "AAAAAAAAAAE=" || tw.Desired.Version != 1 || tw.Reported.Version != 1 || string(tw.Desired.JSON) != "{}" {
		t.Errorf("a new twin: got %+v", tw)
	}
	if got, want := string(tw.Desired.metadata), `{"$lastUpdated":"2025-12-31T01:02:03.0000045Z"}`; got != want {
		t.Errorf("metadata of a new twin: got %s, want %s", got, want)
	}
	setDesired(t, h, "dev1", `{"a":{"b":1,"c":[{"x":1}]},"d":2}`)
	now = now.Add(time.Hour)
	setDesired(t, h, "dev1", `{"a":{"b":null}}`)
	tw = twinOf(t, h, "dev1")
	if tw.Version != 4 || tw.etag != "AAAAAAAAAAM=" || tw.Desired.Version != 3 || tw.Reported.Version != 1 {
		t.Errorf("after two writes: got %+v", tw)
	}
	const first, second = `"$lastUpdated":"2025-12-31T01:02:03.0000045Z","$lastUpdatedVersion":2`, `"$lastUpdated":"2025-12-31T02:02:03.0000045Z","$lastUpdatedVersion":3`
	if got, want := string(tw.Desired.metadata), `{`+second+`,"a":{`+second+`,"c":{`+first+`}},"d":{`+first+`}}`; got != want {
		t.Errorf("metadata: got  %s\nwant %s", got, want)
	}
	setDesired(t, h, "dev1", `{"a":5}`)
	if _, err := h.Device("dev1").ReplaceDesired(`{"a":5}`); err != nil {
		t.Fatalf("ReplaceDesired: %v", err)
	}
	const last = `"$lastUpdated":"2025-12-31T02:02:03.0000045Z","$lastUpdatedVersion":5`
	if got, want := string(twinOf(t, h, "dev1").Desired.metadata), `{`+last+`,"a":{`+last+`}}`; got != want {
		t.Errorf("metadata after a replacement: got  %s\nwant %s", got, want)
	}
	if _, err := h.Device("dev1").ReplaceDesired(`{"a":null}`); !errors.Is(err, transport.ErrRejected) { // M16
		t.Errorf("replacing with a null: got %v, want it rejected", err)
	}
}

package hubtest

import (
	"fmt"
	"strings"
	"testing"
)

// A bulk request updates each twin by itself, under its own ETag.
func TestBulk(t *testing.T) {
	h := New(t, nil)
	for _, id := range []string{"a", "b", "c"} {
		if _, err := h.AddDevice(id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.AddDevice("a/m"); err != nil {
		t.Fatal(err)
	}
	back := owner(t, h)
	op := func(id, module, mode, etag, rest string) string {
		return fmt.Sprintf(`{"id":%q,"moduleId":%q,"importMode":%q,"twinETag":%q%s}`, id, module, mode, etag, rest)
	}
	const match, first = "updateTwinIfMatchETag", "AAAAAAAAAAE="
	tags := func(n int) string { return fmt.Sprintf(`,"tags":{"n":%d}`, n) }

	for _, test := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"all is well", "[" + op("a", "", match, first, tags(1)+`,"properties":{"desired":{"rpm":1}}`) + "," + op("a", "m", match, first, tags(2)) + "]", 200,
			`{"isSuccessful":true,"errors":[],"warnings":[]}`},
		{"an old ETag beside a good one", "[" + op("a", "", match, first, tags(3)) + "," + op("b", "", match, first, tags(4)) + "]", 400,
			`{"isSuccessful":false,"errors":[{"deviceId":"a","errorCode":"PreconditionFailed","errorStatus":"ETag mismatch for device ID 'a'","operation":"updateTwinIfMatchETag"}],"warnings":[]}`},
		{"no ETag asked for", "[" + op("a", "", "updateTwin", "", tags(5)) + "]", 200, `{"isSuccessful":true,"errors":[],"warnings":[]}`},
		{"nobody", "[" + op("x", "", match, first, tags(6)) + "," + op("a", "x", match, first, tags(6)) + "]", 400,
			`"errors":[{"deviceId":"x","errorCode":"DeviceNotFound","errorStatus":"x","operation":"updateTwinIfMatchETag"},{"deviceId":"a","errorCode":"ModuleNotFound","errorStatus":"a/x","moduleId":"x",`},
		{"twice", "[" + op("c", "", match, first, tags(7)) + "," + op("c", "", match, first, tags(8)) + "]", 400, `The request names c twice.`},
		{"another mode", "[" + op("c", "", "delete", "", "") + "]", 400, `"errorCode":"ArgumentInvalid"`},
		{"a bad tag", "[" + op("c", "", "updateTwin", "", `,"tags":{"a.b":1}`) + "]", 400, `"isSuccessful":false`},
		{"an empty list", "[]", 400, "0 operations"},
		{"too many", "[" + strings.Repeat(op("c", "", match, first, "")+",", 100) + op("c", "", match, first, "") + "]", 400, "101 operations"},
		{"no list", "{}", 400, "IotHubFormatError"},
	} {
		if got := back.do("POST", "/devices", test.body); got.status != test.status || !strings.Contains(got.body, test.want) {
			t.Errorf("%s: got %d %s, want %d with %s", test.name, got.status, got.body, test.status, test.want)
		}
	}
	for path, want := range map[string]string{"/twins/a": `"tags":{"n":5}`, "/twins/a/modules/m": `"tags":{"n":2}`, "/twins/b": `"tags":{"n":4}`, "/twins/c": `"tags":{"n":7}`} {
		if got := back.do("GET", path, ""); !strings.Contains(got.body, want) {
			t.Errorf("%s: got %s, want %s", path, got.body, want)
		}
	}
	if got := (service{t: t, h: h, policy: "service"}).do("POST", "/devices", "[]"); got.status != 401 {
		t.Errorf("without RegistryWrite: got %d, want 401", got.status)
	}
}

package device_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// takeover lets another board with the same identity connect for a while.
func takeover(t *testing.T, w *world, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	token, err := auth.TokenOf(ctx, w.dev.Credential, w.dev.Identity.Audience(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.dial().Dial(ctx, transport.Login{Identity: w.dev.Identity, Token: token, KeepAlive: time.Minute})
	if err != nil {
		return // the line is down, or the hub is moody
	}
	time.Sleep(d)
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

// createAnew deletes the device at the hub and creates it again, with its key.
func createAnew(t *testing.T, w *world) {
	if err := w.hub.Device("dev1").Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.AddDevice("dev1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.Device("dev1").SetKeys(w.dev.PrimaryKey, w.dev.SecondaryKey); err != nil {
		t.Fatal(err)
	}
}

// visible is a section without the nulls that some hubs keep: nobody else
// tells them from nothing.
func visible(t *testing.T, section []byte, but ...string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(section, &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range but {
		delete(m, key)
	}
	return encode(t, withoutNulls(m))
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// merge is RFC 7396 on plain maps.
func merge(doc, patch map[string]any) {
	for k, v := range patch {
		sub, isMap := v.(map[string]any)
		switch {
		case v == nil:
			delete(doc, k)
		case isMap:
			old, ok := doc[k].(map[string]any)
			if !ok {
				old = map[string]any{}
				doc[k] = old
			}
			merge(old, sub)
		default:
			doc[k] = v
		}
	}
}

// withoutNulls is what a patch makes of nothing.
func withoutNulls(patch map[string]any) map[string]any {
	doc := map[string]any{}
	merge(doc, patch)
	return doc
}

// randomPatch is a merge patch over few keys, so that much collides.
func randomPatch(rnd *rand.Rand, depth int) map[string]any {
	p := map[string]any{}
	for range 1 + rnd.IntN(2) {
		key := string(rune('a' + rnd.IntN(3)))
		switch n := rnd.IntN(10); {
		case n < 4 && depth > 1:
			p[key] = randomPatch(rnd, depth-1)
		case n < 6:
			p[key] = nil
		case n == 6:
			p[key] = map[string]any{}
		case n == 7:
			p[key] = []any{rnd.IntN(2)}
		default:
			p[key] = rnd.IntN(3)
		}
	}
	return p
}

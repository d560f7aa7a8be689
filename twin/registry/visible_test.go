package registry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// What nobody sees around a key or a thumbprint is not written to the hub, and
// what is inside is named.
func TestInvisibleInIdentities(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		print := strings.Repeat("0A", 20)
		i, err := w.client.CreateRegistration(w.Context(), "fan1", registry.Registration{
			Authentication: registry.AuthenticationSelfSigned, PrimaryThumbprint: "\u200e" + print, SecondaryThumbprint: print + "\u00a0\r\n",
		})
		if err != nil || i.PrimaryThumbprint != print || i.SecondaryThumbprint != print {
			t.Errorf("thumbprints: got %q, %q, %v", i.PrimaryThumbprint, i.SecondaryThumbprint, err)
		}
		i, err = w.client.CreateRegistration(w.Context(), "fan2", registry.Registration{PrimaryKey: registry.NewSecret("\ufeff" + keyText + "\n"), SecondaryKey: registry.NewSecret(keyText)})
		if err != nil || i.PrimaryKey.Reveal() != keyText {
			t.Errorf("a key: got one of %d characters, %v", len(i.PrimaryKey.Reveal()), err)
		}
		for name, bad := range map[string]registry.Registration{
			"PrimaryThumbprint":   {Authentication: registry.AuthenticationSelfSigned, PrimaryThumbprint: print[:9] + "\u200e" + print[9:]},
			"SecondaryThumbprint": {Authentication: registry.AuthenticationSelfSigned, SecondaryThumbprint: print[:9] + "\u00a0" + print[9:]},
			"PrimaryKey":          {PrimaryKey: registry.NewSecret(keyText[:9] + "\u200b" + keyText[9:])},
			"SecondaryKey":        {SecondaryKey: registry.NewSecret(keyText[:9] + "\n" + keyText[9:])},
		} {
			sent := w.requests(func() { _, err = w.client.CreateRegistration(w.Context(), "fan3", bad) })
			if sent != 0 || !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), name+": an invisible character") || strings.Contains(err.Error(), keyText[:9]) {
				t.Errorf("%s: got %v after %d requests, want ErrInvalid that names the field", name, err, sent)
			}
		}
	})
}

// A token from a file, with a line break behind it, is one.
func TestInvisibleInTokens(t *testing.T) {
	for token, want := range map[string]string{
		"a.b.c": "Bearer a.b.c", "\ufeffa.b.c\r\n": "Bearer a.b.c", " a.b.c\u00a0": "Bearer a.b.c", "": "", "\n": "", "a.\u200bb.c": "", "a\nb": "",
	} {
		got := ""
		c, err := registry.NewWithTokens("hub.example", fixed(token), &registry.Options{MaxAttempts: 1, Transport: tripper(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Authorization")
			return answer(r, 404, ""), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Twin(t.Context(), "fan1"); got != want || want == "" && !strings.Contains(err.Error(), "the TokenSource returned") {
			t.Errorf("%q: sent was %q, %v; want %q", token, got, err, want)
		}
	}
}

// fixed is a TokenSource of one token.
func fixed(token string) registry.TokenSource {
	return func(context.Context) (string, time.Time, error) { return token, time.Now().Add(time.Hour), nil }
}

package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

const keyText = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestIdentities(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		ctx := w.Context()
		i, err := w.client.CreateRegistration(ctx, "fan1", registry.Registration{StatusReason: "new"})
		if err != nil {
			t.Fatal(err)
		}
		if i.ID != "fan1" || i.Disabled || i.StatusReason != "new" || i.Authentication != "sas" || i.PrimaryKey.IsEmpty() || i.SecondaryKey.IsEmpty() || i.Generation == "" {
			t.Errorf("created: got %+v", i)
		}
		id, cred, err := auth.ParseConnectionString(i.ConnectionString().Reveal())
		if err != nil || id.DeviceID != "fan1" || id.Host != w.hub.Host() || cred == nil {
			t.Errorf("its connection string: got %v, %v", id, err)
		}
		if _, err := w.client.CreateRegistration(ctx, "fan1", registry.Registration{}); !errors.Is(err, registry.ErrExists) || code(err) != 409001 {
			t.Errorf("created twice: got %v, want ErrExists with 409001", err)
		}

		i.Disabled, i.StatusReason, i.Edge = true, "stolen", true
		key := i.PrimaryKey.Reveal()
		j, err := w.client.UpdateRegistration(ctx, i.ID, i.ETag, i)
		if err != nil || !j.Disabled || j.StatusReason != "stolen" || !j.Edge || j.PrimaryKey.Reveal() != key || j.Generation != i.Generation {
			t.Errorf("disabled: got %+v, %v", j, err)
		}
		if !w.twin("fan1").Disabled {
			t.Error("disabled: its twin is not")
		}
		if _, err := w.client.UpdateRegistration(ctx, i.ID, i.ETag, i); !errors.Is(err, transport.ErrPrecondition) {
			t.Errorf("an old ETag: got %v, want ErrPrecondition", err)
		}
		j.PrimaryKey, j.SecondaryKey = registry.NewSecret(keyText), registry.NewSecret(keyText)
		k, err := w.client.UpdateRegistration(ctx, j.ID, registry.AnyETag, j)
		if err != nil || k.PrimaryKey.Reveal() != keyText || k.Generation != i.Generation {
			t.Errorf("keys of its own: got %+v, %v", k, err)
		}
		k.PrimaryKey, k.SecondaryKey = registry.Secret{}, registry.Secret{}
		if k, err = w.client.UpdateRegistration(ctx, k.ID, k.ETag, k); err != nil || k.PrimaryKey.Reveal() != keyText {
			t.Errorf("no keys: got %+v, %v; want those that it had", k, err)
		}

		m, err := w.client.CreateRegistration(ctx, "fan1/cam", registry.Registration{ManagedBy: "iotEdge"})
		if err != nil || m.ID != "fan1/cam" || m.ManagedBy != "iotEdge" || !strings.Contains(m.ConnectionString().Reveal(), ";ModuleId=cam;") {
			t.Errorf("a module: got %+v, %v", m, err)
		}
		if _, err := w.client.CreateRegistration(ctx, "fan0", registry.Registration{}); err != nil {
			t.Fatal(err)
		}
		names := func(all []registry.Registration, err error) (s string) {
			for _, i := range all {
				s += i.ID + " "
			}
			return s + fmt.Sprint(err)
		}
		if got, want := names(w.client.Devices(ctx, 0)), "fan0 fan1 <nil>"; got != want {
			t.Errorf("devices: got %s, want %s", got, want)
		}
		if got, want := names(w.client.Devices(ctx, 1)), "fan0 <nil>"; got != want {
			t.Errorf("one device: got %s, want %s", got, want)
		}
		if got, want := names(w.client.Modules(ctx, "fan1")), "fan1/cam <nil>"; got != want {
			t.Errorf("modules: got %s, want %s", got, want)
		}
		if err := w.client.DeleteRegistration(ctx, "fan1", i.ETag); !errors.Is(err, transport.ErrPrecondition) {
			t.Errorf("deleted with an old ETag: got %v, want ErrPrecondition", err)
		}
		if err := w.client.DeleteRegistration(ctx, "fan1", k.ETag); err != nil {
			t.Errorf("deleted: %v", err)
		}
		if _, err := w.client.Registration(ctx, "fan1/cam"); !errors.Is(err, transport.ErrNotFound) {
			t.Errorf("its module: got %v, want ErrNotFound", err)
		}
	})
}

func TestHostileIdentities(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		for _, body := range []string{"", "[]", `{}`, `{"deviceId":1}`, `{"deviceId":"x","authentication":"` + keyText + `"}`, `{"deviceId":"x","authentication":{"symmetricKey":"` + keyText + `"}}`,
			`{"deviceId":"x","authentication":{"x509Thumbprint":{"primaryThumbprint":7},"symmetricKey":{"primaryKey":"` + keyText + `"}}}`} {
			w.hub.Intercept(hubtest.FromService(""), hubtest.Answer(200, body))
			if _, err := w.client.Registration(w.Context(), "x"); !errors.Is(err, transport.ErrProtocol) || strings.Contains(err.Error(), keyText) {
				t.Errorf("%s: got %v, want ErrProtocol without a key", body, err)
			}
		}
		for _, body := range []string{"{}", "[1]"} {
			w.hub.Intercept(hubtest.FromService(""), hubtest.Answer(200, body))
			if _, err := w.client.Devices(w.Context(), 0); !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("devices %s: got %v, want ErrProtocol", body, err)
			}
		}
	})
}

// logged returns what both handlers of log/slog write of a value.
func logged(v any) string {
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("", "v", v)
	return b.String()
}

// No format shows a key.
func TestSecretsStaySecret(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		i, err := w.client.CreateRegistration(w.Context(), "fan1", registry.Registration{PrimaryKey: registry.NewSecret(keyText)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{string(b), logged(i.PrimaryKey), logged(i), fmt.Sprint(i.ConnectionString())}
		for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%s", "%q"} {
			texts = append(texts, fmt.Sprintf(verb, i), fmt.Sprintf(verb, w.client), fmt.Sprintf(verb, &i))
		}
		for _, text := range texts {
			for _, secret := range []string{keyText, fmt.Sprintf("%x", keyText), i.SecondaryKey.Reveal(), w.owner.PrimaryKey} {
				if strings.Contains(text, secret) {
					t.Errorf("%q shows a key", text)
				}
			}
		}
		if got := fmt.Sprint(registry.NewSecret("")) + (registry.Secret{}).Reveal(); got != "" {
			t.Errorf("the empty secret: got %q", got)
		}
	})
}

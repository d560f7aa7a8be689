package registry_test

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// logsIn has a device log in, and tells how that went.
func (w *world) logsIn(id string, cred auth.Credential) error {
	w.Helper()
	who := auth.Identity{Host: w.hub.Host()}
	who.DeviceID, who.ModuleID, _ = strings.Cut(id, "/")
	dev := device.New(who, cred, mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{
		RootCAs: w.hub.RootCAs(), DialContext: w.hub.DialContext,
	})}, nil)
	defer dev.Close()
	return dev.Connect(w.Context())
}

func (w *world) selfSigned() hubtest.Issued {
	w.Helper()
	made, err := hubtest.SelfSigned("a board", nil)
	if err != nil {
		w.Fatal(err)
	}
	return made
}

// What the registry writes is what the hub then lets in, and nothing else.
func TestIdentitiesOfCertificates(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		ctx := w.Context()
		first, second := w.selfSigned(), w.selfSigned()
		i, err := w.client.CreateRegistration(ctx, "fan1", registry.Registration{Authentication: registry.AuthenticationSelfSigned, PrimaryThumbprint: first.Thumbprint})
		if err != nil {
			t.Fatal(err)
		}
		if i.Authentication != registry.AuthenticationSelfSigned || i.PrimaryThumbprint != first.Thumbprint || i.SecondaryThumbprint != "" ||
			!i.PrimaryKey.IsEmpty() || !i.ConnectionString().IsEmpty() {
			t.Errorf("created: got %+v", i)
		}
		if err := w.logsIn("fan1", first.Credential()); err != nil {
			t.Errorf("with its certificate: %v", err)
		}
		if err := w.logsIn("fan1", second.Credential()); !errors.Is(err, transport.ErrUnauthorized) {
			t.Errorf("with another certificate: got %v, want ErrUnauthorized", err)
		}

		// A certificate is replaced without a gap: first both hold, then the new one.
		sha := fmt.Sprintf("%x", sha1.Sum(second.Certificate.Certificate[0]))
		i.SecondaryThumbprint = sha
		if i, err = w.client.UpdateRegistration(ctx, i.ID, i.ETag, i); err != nil || !strings.EqualFold(i.SecondaryThumbprint, sha) {
			t.Fatalf("two thumbprints: got %+v, %v", i, err)
		}
		for n, cred := range []auth.Credential{first.Credential(), second.Credential()} {
			if err := w.logsIn("fan1", cred); err != nil {
				t.Errorf("certificate %d of two: %v", n+1, err)
			}
		}
		i.PrimaryThumbprint = ""
		i.StatusReason = "renewed"
		if i, err = w.client.UpdateRegistration(ctx, i.ID, i.ETag, i); err != nil || i.PrimaryThumbprint != "" || i.StatusReason != "renewed" {
			t.Fatalf("one thumbprint again: got %+v, %v", i, err)
		}
		if err := w.logsIn("fan1", first.Credential()); !errors.Is(err, transport.ErrUnauthorized) {
			t.Errorf("with the old certificate: got %v, want ErrUnauthorized", err)
		}
		if got := w.twin("fan1"); got.Disabled {
			t.Errorf("its twin: got %+v", got)
		}

		// By a CA, a module, too.
		ca, err := w.hub.DeviceCA()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.CreateRegistration(ctx, "fan2", registry.Registration{}); err != nil {
			t.Fatal(err)
		}
		m, err := w.client.CreateRegistration(ctx, "fan2/cam", registry.Registration{Authentication: registry.AuthenticationCA})
		if err != nil || m.Authentication != registry.AuthenticationCA || !m.PrimaryKey.IsEmpty() {
			t.Fatalf("a module by CA: got %+v, %v", m, err)
		}
		for name, allowed := range map[string]bool{"fan2/cam": true, "fan3/cam": false} {
			made, err := ca.Issue(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.logsIn("fan2/cam", made.Credential()); allowed && err != nil || !allowed && !errors.Is(err, transport.ErrUnauthorized) {
				t.Errorf("fan2/cam with a certificate of %s: got %v, want it let in to be %v", name, err, allowed)
			}
		}
	})
}

// What an identity proves itself by may change, in every direction.
func TestAnotherAuthentication(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		made := w.selfSigned()
		become := func(i registry.Registration, kind registry.Authentication) registry.Registration {
			t.Helper()
			i.Authentication = kind
			if i.PrimaryThumbprint == "" && kind == registry.AuthenticationSelfSigned {
				i.PrimaryThumbprint = made.Thumbprint
			}
			i, err := w.client.UpdateRegistration(w.Context(), i.ID, i.ETag, i)
			if err != nil {
				t.Fatalf("become %s: %v", kind, err)
			}
			if i.Authentication != kind || i.PrimaryKey.IsEmpty() != (kind != registry.AuthenticationSAS) || (i.PrimaryThumbprint == "") != (kind != registry.AuthenticationSelfSigned) {
				t.Errorf("become %s: got %+v", kind, i)
			}
			return i
		}
		i, err := w.client.CreateRegistration(w.Context(), "fan1", registry.Registration{PrimaryKey: registry.NewSecret(keyText)})
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []registry.Authentication{registry.AuthenticationSelfSigned, registry.AuthenticationCA, registry.AuthenticationSAS, registry.AuthenticationCA, registry.AuthenticationSelfSigned, registry.AuthenticationSAS} {
			i = become(i, kind)
		}
		if i.PrimaryKey.Reveal() == keyText {
			t.Error("its old key came back")
		}
		_, cred, err := auth.ParseConnectionString(i.ConnectionString().Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.logsIn("fan1", cred); err != nil {
			t.Errorf("with its new key: %v", err)
		}

		// Who names no authentication changes none.
		key := i.PrimaryKey.Reveal()
		i, err = w.client.UpdateRegistration(w.Context(), "fan1", registry.AnyETag, registry.Registration{StatusReason: "new"})
		if err != nil || i.PrimaryKey.Reveal() != key {
			t.Fatalf("without keys: got %+v, %v; want those that it had", i, err)
		}
		i = become(i, registry.AuthenticationSelfSigned)
		i.Authentication, i.StatusReason = "", "old"
		j, err := w.client.UpdateRegistration(w.Context(), i.ID, i.ETag, i)
		if err != nil || j.Authentication != registry.AuthenticationSelfSigned || j.PrimaryThumbprint != made.Thumbprint || j.StatusReason != "old" {
			t.Errorf("no authentication: got %+v, %v; want that it had", j, err)
		}
	})
}

// A kind that this client does not know is put back as it came.
func TestUnknownAuthentication(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		const proof = `{"type":"none","more":[1,2.50]}`
		w.hub.Intercept(hubtest.FromService("GET /devices/x"), hubtest.Answer(200, `{"deviceId":"x","etag":"MQ==","authentication":`+proof+`}`))
		i, err := w.client.Registration(w.Context(), "x")
		if err != nil || i.Authentication != "none" || !i.PrimaryKey.IsEmpty() || !i.ConnectionString().IsEmpty() {
			t.Fatalf("got %+v, %v", i, err)
		}
		var sent string
		w.hub.Intercept(func(m hubtest.Message) bool {
			sent = string(m.Body)
			return true
		}, hubtest.Answer(200, `{"deviceId":"x"}`))
		if _, err := w.client.UpdateRegistration(w.Context(), i.ID, i.ETag, i); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(sent, `"authentication":`+proof) {
			t.Errorf("sent %s, want the authentication as it came", sent)
		}
	})
}

func TestRefusedAuthentications(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		good := w.selfSigned().Thumbprint
		key := registry.NewSecret(keyText)
		tests := []struct {
			name string
			i    registry.Registration
			want string
		}{
			{"of no kind", registry.Registration{Authentication: "selfsigned"}, `"selfSigned"`},
			{"none", registry.Registration{Authentication: "none"}, `unknown Authentication "none"`},
			{"self-signed without a thumbprint", registry.Registration{Authentication: registry.AuthenticationSelfSigned}, "no PrimaryThumbprint"},
			{"half a thumbprint", registry.Registration{Authentication: registry.AuthenticationSelfSigned, PrimaryThumbprint: good[:32]}, "40 or 64 hex digits"},
			{"no hex", registry.Registration{Authentication: registry.AuthenticationSelfSigned, SecondaryThumbprint: strings.Repeat("g", 64)}, "40 or 64 hex digits"},
			{"openssl's colons", registry.Registration{Authentication: registry.AuthenticationSelfSigned, PrimaryThumbprint: "AB:" + good}, "without colons"},
			{"a thumbprint and no kind", registry.Registration{PrimaryThumbprint: good}, `Authentication is "sas", but keys belong to "sas" and thumbprints to "selfSigned"`},
			{"a thumbprint by CA", registry.Registration{Authentication: registry.AuthenticationCA, SecondaryThumbprint: good}, "give only what belongs to it"},
			{"a key and a thumbprint", registry.Registration{Authentication: registry.AuthenticationSelfSigned, PrimaryThumbprint: good, SecondaryKey: key}, "give only what belongs to it"},
			{"a key by CA", registry.Registration{Authentication: registry.AuthenticationCA, PrimaryKey: key}, "give only what belongs to it"},
		}
		n := w.requests(func() {
			for _, tt := range tests {
				_, err := w.client.CreateRegistration(w.Context(), "x", tt.i)
				if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), keyText) {
					t.Errorf("create, %s: got %v, want ErrInvalid with %q", tt.name, err, tt.want)
				}
				_, err = w.client.UpdateRegistration(w.Context(), "x", registry.AnyETag, tt.i)
				if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("update, %s: got %v, want ErrInvalid with %q", tt.name, err, tt.want)
				}
			}
		})
		if n != 0 {
			t.Errorf("%d requests arrived, want none", n)
		}
	})
}

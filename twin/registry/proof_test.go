package registry_test

import (
	"crypto/sha1"
	"crypto/tls"
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
		Config: &tls.Config{RootCAs: w.hub.RootCAs()}, Dial: w.hub.Dial,
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
		i, err := w.client.CreateIdentity(ctx, registry.Identity{DeviceID: "fan1", Authentication: registry.SelfSigned, PrimaryThumbprint: first.Thumbprint})
		if err != nil {
			t.Fatal(err)
		}
		if i.Authentication != registry.SelfSigned || i.PrimaryThumbprint != first.Thumbprint || i.SecondaryThumbprint != "" ||
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
		if i, err = w.client.UpdateIdentity(ctx, i.ETag, i); err != nil || !strings.EqualFold(i.SecondaryThumbprint, sha) {
			t.Fatalf("two thumbprints: got %+v, %v", i, err)
		}
		for n, cred := range []auth.Credential{first.Credential(), second.Credential()} {
			if err := w.logsIn("fan1", cred); err != nil {
				t.Errorf("certificate %d of two: %v", n+1, err)
			}
		}
		i.PrimaryThumbprint = ""
		i.StatusReason = "renewed"
		if i, err = w.client.UpdateIdentity(ctx, i.ETag, i); err != nil || i.PrimaryThumbprint != "" || i.StatusReason != "renewed" {
			t.Fatalf("one thumbprint again: got %+v, %v", i, err)
		}
		if err := w.logsIn("fan1", first.Credential()); !errors.Is(err, transport.ErrUnauthorized) {
			t.Errorf("with the old certificate: got %v, want ErrUnauthorized", err)
		}
		if got := w.twin("fan1"); !got.Enabled {
			t.Errorf("its twin: got %+v", got)
		}

		// By a CA, a module, too.
		ca, err := w.hub.DeviceCA()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.CreateIdentity(ctx, registry.Identity{DeviceID: "fan2"}); err != nil {
			t.Fatal(err)
		}
		m, err := w.client.CreateIdentity(ctx, registry.Identity{DeviceID: "fan2", ModuleID: "cam", Authentication: registry.CertificateAuthority})
		if err != nil || m.Authentication != registry.CertificateAuthority || !m.PrimaryKey.IsEmpty() {
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
		become := func(i registry.Identity, kind string) registry.Identity {
			t.Helper()
			i.Authentication = kind
			if i.PrimaryThumbprint == "" && kind == registry.SelfSigned {
				i.PrimaryThumbprint = made.Thumbprint
			}
			i, err := w.client.UpdateIdentity(w.Context(), i.ETag, i)
			if err != nil {
				t.Fatalf("become %s: %v", kind, err)
			}
			if i.Authentication != kind || i.PrimaryKey.IsEmpty() != (kind != registry.SAS) || (i.PrimaryThumbprint == "") != (kind != registry.SelfSigned) {
				t.Errorf("become %s: got %+v", kind, i)
			}
			return i
		}
		i, err := w.client.CreateIdentity(w.Context(), registry.Identity{DeviceID: "fan1", PrimaryKey: registry.NewSecret(keyText)})
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{registry.SelfSigned, registry.CertificateAuthority, registry.SAS, registry.CertificateAuthority, registry.SelfSigned, registry.SAS} {
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
		i, err = w.client.UpdateIdentity(w.Context(), registry.AnyETag, registry.Identity{DeviceID: "fan1", StatusReason: "new"})
		if err != nil || i.PrimaryKey.Reveal() != key {
			t.Fatalf("without keys: got %+v, %v; want those that it had", i, err)
		}
		i = become(i, registry.SelfSigned)
		i.Authentication, i.StatusReason = "", "old"
		j, err := w.client.UpdateIdentity(w.Context(), i.ETag, i)
		if err != nil || j.Authentication != registry.SelfSigned || j.PrimaryThumbprint != made.Thumbprint || j.StatusReason != "old" {
			t.Errorf("no authentication: got %+v, %v; want that it had", j, err)
		}
	})
}

// A kind that this client does not know is put back as it came.
func TestUnknownAuthentication(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		const proof = `{"type":"none","more":[1,2.50]}`
		w.hub.Intercept(hubtest.FromService("GET /devices/x"), hubtest.Answer(200, `{"deviceId":"x","etag":"MQ==","authentication":`+proof+`}`))
		i, err := w.client.Identity(w.Context(), "x")
		if err != nil || i.Authentication != "none" || !i.PrimaryKey.IsEmpty() || !i.ConnectionString().IsEmpty() {
			t.Fatalf("got %+v, %v", i, err)
		}
		var sent string
		w.hub.Intercept(func(m hubtest.Message) bool {
			sent = string(m.Body)
			return true
		}, hubtest.Answer(200, `{"deviceId":"x"}`))
		if _, err := w.client.UpdateIdentity(w.Context(), i.ETag, i); err != nil {
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
			i    registry.Identity
			want string
		}{
			{"of no kind", registry.Identity{Authentication: "selfsigned"}, `"selfSigned"`},
			{"none", registry.Identity{Authentication: "none"}, `no Authentication "none"`},
			{"self-signed without a thumbprint", registry.Identity{Authentication: registry.SelfSigned}, "no thumbprint"},
			{"half a thumbprint", registry.Identity{Authentication: registry.SelfSigned, PrimaryThumbprint: good[:32]}, "40 or 64 hex digits"},
			{"no hex", registry.Identity{Authentication: registry.SelfSigned, SecondaryThumbprint: strings.Repeat("g", 64)}, "40 or 64 hex digits"},
			{"openssl's colons", registry.Identity{Authentication: registry.SelfSigned, PrimaryThumbprint: "AB:" + good}, "leave colons out"},
			{"a thumbprint and no kind", registry.Identity{PrimaryThumbprint: good}, `thumbprints of "selfSigned", and it is "sas"`},
			{"a thumbprint by CA", registry.Identity{Authentication: registry.CertificateAuthority, SecondaryThumbprint: good}, "what belongs to it alone"},
			{"a key and a thumbprint", registry.Identity{Authentication: registry.SelfSigned, PrimaryThumbprint: good, SecondaryKey: key}, "what belongs to it alone"},
			{"a key by CA", registry.Identity{Authentication: registry.CertificateAuthority, PrimaryKey: key}, "what belongs to it alone"},
		}
		n := w.requests(func() {
			for _, tt := range tests {
				tt.i.DeviceID = "x"
				_, err := w.client.CreateIdentity(w.Context(), tt.i)
				if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), keyText) {
					t.Errorf("create, %s: got %v, want ErrInvalid with %q", tt.name, err, tt.want)
				}
				_, err = w.client.UpdateIdentity(w.Context(), registry.AnyETag, tt.i)
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

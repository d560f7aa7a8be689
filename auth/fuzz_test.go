package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// marker is put where secrets stand; no error may hold eight bytes of it.
const marker = "c3VyZWx5LW5vdC1hLXdvcmQtaW4tYW55LWVycm9yIQ=="

func wantNoMarker(t *testing.T, text string) {
	t.Helper()
	for i := range len(marker) - 8 {
		if strings.Contains(text, marker[i:i+8]) {
			t.Fatalf("%q holds %q of the secret", text, marker[i:i+8])
		}
	}
}

// FuzzParseConnectionString takes the text before and after a secret.
func FuzzParseConnectionString(f *testing.F) {
	f.Add(who+";SharedAccessKey=", "")
	f.Add(who+";SharedAccessKeyName=device;SharedAccessKey=", ";")
	f.Add(who+";SharedAccessKey=x;", "")
	f.Add(who+";SharedAccessSignature="+sas1, "")
	f.Add(who+";SharedAccessSignature=SharedAccessSignature sr="+hub+"%2Fdevices%2Fdev1&sig=", "&se=1767225600&skn=")
	f.Add(who+";x509=", "true")
	f.Add(who+";x509=true", "")
	f.Add("\ufeffHostName=\"h\"; deviceid = d;GatewayHostName=g;ModuleId=m;", "=\n;")
	f.Fuzz(func(t *testing.T, before, after string) {
		checkConnectionString(t, before+after)
		_, cred, err := auth.ParseConnectionString(before + marker + after)
		if shows(before) {
			return
		}
		wantNoMarker(t, fmt.Sprintf("%v %+v %+v", err, cred, struct{ cred auth.Credential }{cred}))
	})
}

// checkConnectionString checks what holds for every string.
func checkConnectionString(t *testing.T, s string) {
	id, cred, err := auth.ParseConnectionString(s)
	if err != nil {
		if !errors.Is(err, auth.ErrInvalid) || len(err.Error()) > 4000 {
			t.Fatalf("error of %d bytes, ErrInvalid %v: %v", len(err.Error()), errors.Is(err, auth.ErrInvalid), err)
		}
		if errors.Is(err, auth.ErrWantsCertificate) {
			if id.Validate() != nil || cred != nil || !strings.Contains(strings.ToLower(s), "=true") {
				t.Fatalf("with error %v came %v and %v", err, id, cred)
			}
		} else if id != (auth.Identity{}) || cred != nil {
			t.Fatalf("with error %v came %v and %v", err, id, cred)
		}
		return
	}
	if err := id.Validate(); err != nil {
		t.Fatalf("accepted, but %v", err)
	}
	if cred == nil {
		t.Fatal("no credential, and no error")
	}
	token, err := auth.TokenOf(t.Context(), cred, id.Audience(), time.Unix(1767139200, 0))
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
	case err != nil:
		t.Fatalf("accepted, but no token: %v", err)
	default:
		if _, err := auth.ParseToken(token.Reveal()); err != nil && len(s) < 2<<10 {
			t.Fatalf("the token that comes of it: %v", err)
		}
	}
}

// shows reports whether what follows is no secret: the value of a field that
// errors may show, because a person needs it.
func shows(before string) bool {
	part := before[strings.LastIndexByte(before, ';')+1:]
	key, value, _ := strings.Cut(part, "=")
	if strings.EqualFold(key, "SharedAccessSignature") {
		return strings.HasPrefix(value[strings.LastIndexAny(value, "& ")+1:], "sr=")
	}
	for _, shown := range []string{"HostName", "DeviceId", "ModuleId", "GatewayHostName", "SharedAccessKeyName"} {
		if strings.EqualFold(strings.TrimSpace(key), shown) {
			return true
		}
	}
	return false
}

// FuzzParseToken takes the text before and after a secret.
func FuzzParseToken(f *testing.F) {
	const sr = "SharedAccessSignature sr=" + hub + "%2Fdevices%2Fdev1"
	f.Add(sr+"&sig=", "&se=1767225600")
	f.Add(sr+"&sig=", "&se=1767225600&skn=")
	f.Add(sr+"&sig=x&", "&se=1767225600")
	f.Add(sas1, "")
	f.Add(neg6, "\n")
	f.Add("SharedAccessSignature se=1&sig=v3cEShKGdwuRnUyQS3LODuW9+9Pt6pMJ3nmWt/5tP1U=&sr=", "%2f")
	f.Fuzz(func(t *testing.T, before, after string) {
		checkToken(t, before+after)
		token, err := auth.ParseToken(before + marker + after)
		wantNoMarker(t, fmt.Sprintf("%v %+v %+v", err, token, []any{token}))
	})
}

// checkToken checks what holds for every text.
func checkToken(t *testing.T, s string) {
	token, err := auth.ParseToken(s)
	if err != nil {
		if !errors.Is(err, auth.ErrInvalid) || len(err.Error()) > 500 || !token.IsZero() {
			t.Fatalf("error of %d bytes, ErrInvalid %v, token %v: %v", len(err.Error()), errors.Is(err, auth.ErrInvalid), token, err)
		}
		return
	}
	again, err := auth.ParseToken(token.Reveal())
	if err != nil || again.Reveal() != token.Reveal() || !again.Expires().Equal(token.Expires()) {
		t.Fatalf("%q is read as %q, and that as %q, %v", s, token.Reveal(), again.Reveal(), err)
	}
	if end := token.Expires().Unix(); end <= 0 || token.Expires().UTC().Year() > 9999 {
		t.Fatalf("accepted, but it ends at %d", end)
	}
	_, err = auth.TokenOf(t.Context(), auth.StaticToken(token), hub+"/devices/dev1", token.Expires().Add(-1))
	if err != nil && !errors.Is(err, auth.ErrInvalid) {
		t.Fatalf("accepted, but before its end: %v", err)
	}
}

// FuzzParseX509 reads any two texts as a certificate and its key.
func FuzzParseX509(f *testing.F) {
	const cert = "-----BEGIN CERTIFICATE-----\nMIIBGTCBwaADAgECAgEBMAoGCCqGSM49BAMCMA8xDTALBgNVBAMTBGRldjEwHhcN\n-----END CERTIFICATE-----\n"
	f.Add(cert, "-----BEGIN PRIVATE KEY-----\n"+marker+"\n-----END PRIVATE KEY-----\n")
	f.Add(cert+cert, "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,"+marker+"\n\n"+marker+"\n-----END EC PRIVATE KEY-----\n")
	f.Add("", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\n-----END ENCRYPTED PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, cert, key string) {
		got, err := auth.ParseX509([]byte(cert), []byte(key), nil)
		switch {
		case err == nil:
			if err := auth.CheckCertificate(own.Key{}, &got, got.Leaf.NotBefore); errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("accepted, but %v", err)
			}
		case !errors.Is(err, auth.ErrInvalid) || len(err.Error()) > 4000:
			t.Fatalf("error of %d bytes, ErrInvalid %t: %v", len(err.Error()), errors.Is(err, auth.ErrInvalid), err)
		case !strings.Contains(cert, marker[:8]):
			wantNoMarker(t, err.Error())
		}
	})
}

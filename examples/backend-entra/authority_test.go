package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// What the authority knows. A service principal has two ids: it signs in with
// the client's, and roles are assigned to the object's.
const (
	tenant    = "6c1f2b60-4d2f-4bb0-9d0a-2f6d4a1f0c11"
	clientID  = "b7a9c1de-90b1-4f3e-8a55-3a1d5e8f7722"
	objectID  = "0d5f4f0e-3c1b-4a51-a1c9-77d6c2b9e833"
	secret    = "Xq8~not.the.real-one_7Zt4vR2w"
	assertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// An authority plays Microsoft Entra for one tenant with one service principal:
// the discovery document and the token endpoint, with Entra's own refusals. Its
// tokens are those that the issuer's hub trusts. The fields above mu are set
// before anybody asks.
type authority struct {
	url         string       // https://host:port
	issuer      *hubtest.Hub // its tokens are those of this hub
	life        time.Duration
	audience    string            // of the tokens, where not the one that is asked for
	certificate *x509.Certificate // of the client, beside its secret; nil for none
	onToken     func(*http.Request)

	mu          sync.Mutex
	discoveries int
	asked       int // for a token
	issued      []time.Time
	tokens      []string
	strange     []string // requests that this is no double for
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /" + tenant + "/v2.0/.well-known/openid-configuration":
		a.mu.Lock()
		a.discoveries++
		a.mu.Unlock()
		reply(w, http.StatusOK, map[string]any{
			"issuer":                 a.url + "/" + tenant + "/v2.0",
			"authorization_endpoint": a.url + "/" + tenant + "/oauth2/v2.0/authorize",
			"token_endpoint":         a.tokenEndpoint(),
		})
	case "POST /" + tenant + "/oauth2/v2.0/token":
		a.mu.Lock()
		a.asked++
		a.mu.Unlock()
		if a.onToken != nil {
			a.onToken(r)
		}
		a.token(w, r)
	default:
		a.mu.Lock()
		a.strange = append(a.strange, r.Method+" "+r.URL.Path)
		a.mu.Unlock()
		http.NotFound(w, r)
	}
}

func (a *authority) tokenEndpoint() string { return a.url + "/" + tenant + "/oauth2/v2.0/token" }

// token answers a client_credentials request (RFC 6749, 4.4).
func (a *authority) token(w http.ResponseWriter, r *http.Request) {
	form := func(name string) string { return r.PostFormValue(name) }
	audience, ok := resource(form("scope"))
	switch {
	case form("grant_type") != "client_credentials":
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "AADSTS70003: the grant type is not supported")
		return
	case form("client_id") != clientID:
		refuse(w, http.StatusBadRequest, "unauthorized_client", "AADSTS700016: no such application in the directory")
		return
	case !ok:
		refuse(w, http.StatusBadRequest, "invalid_scope", "AADSTS1002012: the scope is not one resource with /.default")
		return
	case audience != "https://iothubs.azure.net":
		refuse(w, http.StatusBadRequest, "invalid_resource", "AADSTS500011: the tenant knows no such resource")
		return
	case form("client_assertion") != "":
		if err := a.verifyAssertion(form("client_assertion_type"), form("client_assertion")); err != nil {
			refuse(w, http.StatusUnauthorized, "invalid_client", "AADSTS700027: the client assertion: "+err.Error())
			return
		}
	case subtle.ConstantTimeCompare([]byte(form("client_secret")), []byte(secret)) != 1:
		refuse(w, http.StatusUnauthorized, "invalid_client", "AADSTS7000215: Invalid client secret provided")
		return
	}
	if a.audience != "" {
		audience = a.audience
	}
	token, err := a.issuer.EntraToken(objectID, audience, a.life)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.mu.Lock()
	a.issued = append(a.issued, time.Now())
	a.tokens = append(a.tokens, token)
	a.mu.Unlock()
	seconds := int(a.life / time.Second)
	reply(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
	})
}

// resource is what a scope asks for. Beside it stand those of OpenID Connect,
// which azidentity adds and Entra overlooks here.
func resource(scope string) (string, bool) {
	words := slices.DeleteFunc(strings.Fields(scope), func(s string) bool {
		return s == "openid" || s == "offline_access" || s == "profile"
	})
	if len(words) != 1 {
		return "", false
	}
	return strings.CutSuffix(words[0], "/.default")
}

// verifyAssertion judges a JWT that the certificate's key has signed (RFC 7523).
func (a *authority) verifyAssertion(kind, token string) error {
	parts := strings.Split(token, ".")
	if kind != assertion || len(parts) != 3 || a.certificate == nil {
		return errors.New("not a JWT of a certificate that is known")
	}
	var head struct {
		Alg        string
		Thumbprint string `json:"x5t#S256"`
	}
	var claims struct {
		Aud, Iss, Sub string
		Nbf, Exp      int64
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err := errors.Join(err, decode(parts[0], &head), decode(parts[1], &claims)); err != nil {
		return err
	}
	thumbprint := sha256.Sum256(a.certificate.Raw)
	got := strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(head.Thumbprint), "=")
	key, ok := a.certificate.PublicKey.(*rsa.PublicKey)
	if !ok || head.Alg != "PS256" || got != base64.RawURLEncoding.EncodeToString(thumbprint[:]) {
		return errors.New("another algorithm or another certificate")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPSS(key, crypto.SHA256, sum[:], sig, nil); err != nil {
		return err
	}
	now := time.Now().Unix()
	if claims.Aud != a.tokenEndpoint() || claims.Iss != clientID || claims.Sub != clientID || now < claims.Nbf || now >= claims.Exp {
		return errors.New("not for here, not of this client, or not now")
	}
	return nil
}

func decode(part string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	reply(w, status, map[string]any{"error": code, "error_description": text})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone is no matter of ours
}

// counts is what the authority was asked: for its document, for a token, and
// how many tokens it gave.
func (a *authority) counts() (discoveries, asked, issued int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.discoveries, a.asked, len(a.issued)
}

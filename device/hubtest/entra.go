package hubtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// entraAudience is the resource that a token for a hub's REST interface is for.
	entraAudience = "https://iothubs.azure.net"

	entraIssuer = "https://sts.windows.test/devicetwin/"
	entraKeyID  = "devicetwin-test-key"
	entraBits   = 2048
)

// idp is what the hub knows of its one issuer of bearer tokens: the key, made
// when first asked for, since making it is slow.
type idp struct {
	once sync.Once
	key  *rsa.PrivateKey
	err  error
}

func (p *idp) signingKey() (*rsa.PrivateKey, error) {
	p.once.Do(func() {
		if p.key, p.err = rsa.GenerateKey(rand.Reader, entraBits); p.err != nil {
			p.err = fmt.Errorf("hubtest: make an issuer's key: %w", p.err)
		}
	})
	return p.key, p.err
}

// EntraToken returns an access token as Microsoft Entra issues it to a principal.
// This hub trusts it, and no other hub does. It is valid from now, by the hub's
// clock, for life. If life is negative, the token has ended. What the principal may
// do, Grant says.
//
// The audience is the resource that a client names by its scope, without
// "/.default". If empty, it is "https://iothubs.azure.net". The hub refuses any other.
func (h *Hub) EntraToken(principal, audience string, life time.Duration) (string, error) {
	if audience == "" {
		audience = entraAudience
	}
	now := h.opts.Now()
	return h.idp.sign(map[string]any{
		"iss": entraIssuer, "aud": audience, "oid": principal, "sub": principal,
		"nbf": now.Add(min(life, 0)).Unix(), "iat": now.Unix(), "exp": now.Add(life).Unix(),
	})
}

// sign makes a token with any claims.
func (p *idp) sign(claims map[string]any) (string, error) {
	key, err := p.signingKey()
	if err != nil {
		return "", err
	}
	head, err := json.Marshal(map[string]string{"typ": "JWT", "alg": "RS256", "kid": entraKeyID})
	if err != nil {
		return "", fmt.Errorf("hubtest: %w", err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("hubtest: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("hubtest: sign a token: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// verify judges a bearer token (RFC 7519, RS256) and says whose it is.
func (p *idp) verify(token string, now time.Time) (principal string, err error) {
	if len(token) > maxToken {
		return "", fmt.Errorf("bearer token: %d bytes long", len(token))
	}
	key, err := p.signingKey()
	if err != nil {
		return "", err
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("bearer token: not three parts")
	}
	var head struct{ Alg, Kid string }
	if err := decodePart(parts[0], &head); err != nil {
		return "", fmt.Errorf("bearer token's head: %w", err)
	}
	if head.Alg != "RS256" || head.Kid != entraKeyID { // "none" and HMAC are old tricks
		return "", fmt.Errorf("bearer token: signed by %q with key %q", head.Alg, head.Kid)
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return "", errors.New("bearer token: its signature is not base64url")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig); err != nil {
		return "", errors.New("bearer token: its signature is wrong")
	}
	var c struct {
		Iss, Aud, Oid string
		Nbf, Exp      int64
	}
	if err := decodePart(parts[1], &c); err != nil {
		return "", fmt.Errorf("bearer token's claims: %w", err)
	}
	switch {
	case c.Iss != entraIssuer:
		return "", fmt.Errorf("bearer token: the issuer %q is not trusted", c.Iss)
	case strings.TrimSuffix(c.Aud, "/") != entraAudience:
		return "", fmt.Errorf("bearer token: it is for %q", c.Aud)
	case now.Unix() < c.Nbf:
		return "", errors.New("bearer token: it is not good yet")
	case now.Unix() >= c.Exp:
		return "", errors.New("bearer token: it has ended")
	case c.Oid == "":
		return "", errors.New("bearer token: it names no principal (oid)")
	}
	return c.Oid, nil
}

func decodePart(text string, into any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errors.New("not base64url")
	}
	if err := json.Unmarshal(b, into); err != nil {
		return errors.New("not the JSON of a token")
	}
	return nil
}

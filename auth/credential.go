package auth

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A Credential proves an identity. The functions of this package and those below
// it make one: [SAS], [StaticToken] and [TokenFunc] of tokens, [X509], [X509Files]
// and [X509Reload] of a certificate. There may be more kinds in time.
//
// Package device asks it for every connection, so a rotated key or certificate is
// used at the next one. Code that signs in to a hub by itself asks with [TokenOf]
// and [CertificateOf]. A Credential may be used concurrently.
type Credential interface {
	// credential keeps the kinds within this package, so that another one can be
	// added.
	credential()
}

// TokenOf returns a token of the credential for the audience, which is valid at
// now, by the device's wall clock. It is the zero Token where the credential is of
// another kind. See [Identity.Audience].
func TokenOf(ctx context.Context, cred Credential, audience string, now time.Time) (Token, error) {
	if c, ok := cred.(interface {
		Token(ctx context.Context, audience string, now time.Time) (Token, error)
	}); ok {
		return c.Token(ctx, audience, now)
	}
	return Token{}, nil
}

// CertificateOf returns the credential's client certificate for TLS, or nil where
// the credential is of another kind.
func CertificateOf(ctx context.Context, cred Credential) (*tls.Certificate, error) {
	if c, ok := cred.(interface {
		Certificate(ctx context.Context) (*tls.Certificate, error)
	}); ok {
		return c.Certificate(ctx)
	}
	return nil, nil
}

// CheckCredential returns what no retry mends: a Credential of this package that
// was made with invalid arguments. The error matches ErrInvalid and names the
// argument. Nil is no proof of the others, whose arguments are judged by TokenOf and
// CertificateOf.
func CheckCredential(_ own.Key, cred Credential) error {
	if c, ok := cred.(interface{ check() error }); ok {
		return c.check()
	}
	return nil
}

// defaultTokenLifetime is that of the official SDKs.
const defaultTokenLifetime = time.Hour

// The shortest and the longest life that SAS accepts for a token. A hub needs
// some minutes of either clock's error to be survived; and a year is what a
// leaked token may do harm for, at the most.
const (
	minTokenLifetime = time.Minute
	maxTokenLifetime = 366 * 24 * time.Hour
)

// SASOptions shape the tokens of SAS; nil means all defaults.
type SASOptions struct {
	// Lifetime of each token, from one minute to 366 days; 0 means an hour.
	Lifetime time.Duration
	// Policy is the name of the hub's shared access policy that the key
	// belongs to; empty means that it is the device's own key. At most 256 bytes
	// of UTF-8, without control characters.
	Policy string
}

// maxPolicy bounds Policy, in bytes. A hub's own limit is lower.
const maxPolicy = 256

// check returns what is wrong with the options, naming the field.
func (o SASOptions) check() error {
	switch {
	case o.Lifetime != 0 && (o.Lifetime < minTokenLifetime || o.Lifetime > maxTokenLifetime):
		return fmt.Errorf("%w: SASOptions.Lifetime is %v; want from %v to %v, or 0 for %v",
			ErrInvalid, o.Lifetime, minTokenLifetime, maxTokenLifetime, defaultTokenLifetime)
	case len(o.Policy) > maxPolicy || !utf8.ValidString(o.Policy) || strings.ContainsFunc(o.Policy, unicode.IsControl):
		return fmt.Errorf("%w: SASOptions.Policy is %.64q; want UTF-8 of up to %d bytes, without control characters",
			ErrInvalid, o.Policy, maxPolicy)
	}
	return nil
}

// SAS is the Credential of a shared key: it signs a new token each time that it
// is asked. The options are copied. Without a signer, or with invalid options,
// device.Client.Connect fails before anything is sent, and so does TokenOf. The
// error matches ErrInvalid and names the field.
func SAS(signer Signer, opts *SASOptions) Credential {
	var o SASOptions
	if opts != nil {
		o = *opts
	}
	s := &sas{policy: o.Policy, lifetime: o.Lifetime, invalid: o.check()}
	if s.lifetime == 0 {
		s.lifetime = defaultTokenLifetime
	}
	switch {
	case s.invalid != nil:
	case signer == nil:
		s.invalid = errNoSigner()
	default:
		s.sign = signer.Sign
		if k, ok := signer.(Key); ok && k.secret == nil {
			s.invalid = errNoKey()
		}
	}
	return s
}

// sas is a pointer as a Credential, so that two may be compared.
type sas struct {
	// A method value in place of the Signer: whatever the signer's type holds
	// stays out of every text, see Key. Nil when none was given.
	sign     signFunc
	policy   string
	lifetime time.Duration
	invalid  error // what is wrong with the arguments of SAS, or nil
}

// Token signs a token that ends one lifetime after now.
func (s *sas) Token(ctx context.Context, audience string, now time.Time) (Token, error) {
	if s.invalid != nil {
		return Token{}, s.invalid
	}
	return signToken(ctx, s.sign, audience, s.policy, now.Add(s.lifetime))
}

func (s *sas) check() error { return s.invalid }

func (*sas) credential() {}

// String tells the kind of credential, its policy and its lifetime.
func (s *sas) String() string {
	of := "device key"
	if s.policy != "" {
		of = fmt.Sprintf("key of policy %q", s.policy)
	}
	return fmt.Sprintf("SAS credential, %s %s, tokens of %v", of, redacted, s.lifetime)
}

// Format is String for every verb.
func (s *sas) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String for slog.
func (s *sas) LogValue() slog.Value { return slog.StringValue(s.String()) }

// StaticToken is the Credential of a ready-made token, used until it ends;
// after that Token fails with ErrTokenExpired. Asked for an audience that the
// token's resource (sr) certainly does not cover, Token fails with ErrInvalid.
// A token for a whole hub, or for all its devices, covers every device in it;
// differences of letter case only the hub judges.
func StaticToken(token Token) Credential { return &given{token} }

// TokenFunc is the Credential of tokens that come from elsewhere: a key service,
// another process, a person. Fetch is asked for each connection, and so again
// before a token ends; it honours ctx, may be called concurrently, and gives a
// token for the audience, such as by ParseToken. Its errors are passed on, and
// asked again later. A token that has ended already fails with ErrTokenExpired,
// and one that certainly does not cover the audience with ErrInvalid, as at
// StaticToken.
func TokenFunc(fetch func(ctx context.Context, audience string) (Token, error)) Credential {
	return &fetched{fetch}
}

// fetched holds a func, so whatever that closes over stays out of every text.
type fetched struct {
	fetch func(ctx context.Context, audience string) (Token, error)
}

// Token fetches a token and looks at its scope and end.
func (f *fetched) Token(ctx context.Context, audience string, now time.Time) (Token, error) {
	if err := f.check(); err != nil {
		return Token{}, err
	}
	token, err := f.fetch(ctx, audience)
	if err != nil {
		return Token{}, err
	}
	return (&given{token}).Token(ctx, audience, now)
}

func (f *fetched) check() error {
	if f.fetch == nil {
		return fmt.Errorf("%w: TokenFunc was given no function", ErrInvalid)
	}
	return nil
}

func (*fetched) credential() {}

// String tells the kind of credential.
func (f *fetched) String() string { return "credential of fetched tokens" }

// Format is String for every verb.
func (f *fetched) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.String()) }

// LogValue is String for slog.
func (f *fetched) LogValue() slog.Value { return slog.StringValue(f.String()) }

type given struct{ token Token }

// Token returns the token while it may be used.
func (g *given) Token(_ context.Context, audience string, now time.Time) (Token, error) {
	if err := g.check(); err != nil {
		return Token{}, err
	}
	if err := g.token.checkCovers(audience); err != nil {
		return Token{}, err
	}
	if !now.Before(g.token.Expires()) {
		return Token{}, fmt.Errorf("%w at %s; the clock says %s: give a new one, or set the clock", ErrTokenExpired,
			utc(g.token.Expires()), utc(now))
	}
	return g.token, nil
}

func (g *given) check() error {
	if g.token.IsZero() {
		return fmt.Errorf("%w: the given token is the zero token; make one with ParseToken", ErrInvalid)
	}
	return nil
}

func (*given) credential() {}

// String tells the kind of credential and when it ends.
func (g *given) String() string { return "given " + g.token.String() }

// Format is String for every verb.
func (g *given) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, g.String()) }

// LogValue is String for slog.
func (g *given) LogValue() slog.Value { return slog.StringValue(g.String()) }

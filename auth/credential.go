package auth

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"
)

// A Credential proves an identity, by tokens or by a certificate. One that
// uses tokens returns no certificate, and the other way round. Package device
// asks it anew for every connection, so a rotated key or certificate is used
// at the next one. Both methods may be called concurrently and honour ctx.
type Credential interface {
	// Token returns a token for the audience that is valid at now, by the
	// device's wall clock; the zero Token when this credential has none.
	Token(ctx context.Context, audience string, now time.Time) (Token, error)
	// Certificate returns the client certificate for TLS; nil when this
	// credential has none.
	Certificate(ctx context.Context) (*tls.Certificate, error)
}

// DefaultTokenLifetime is how long a token lives unless SASOptions says
// otherwise; the official SDKs use the same hour.
const DefaultTokenLifetime = time.Hour

// The shortest and the longest life that SAS accepts for a token. A hub needs
// some minutes of either clock's error to be survived; and a year is what a
// leaked token may do harm for, at the most.
const (
	minTokenLifetime = time.Minute
	maxTokenLifetime = 366 * 24 * time.Hour
)

// SASOptions shape the tokens of SAS; nil means all defaults.
type SASOptions struct {
	// Lifetime of each token; 0 means DefaultTokenLifetime. From one minute
	// to 366 days.
	Lifetime time.Duration
	// Policy is the name of the hub's shared access policy that the key
	// belongs to; empty means that it is the device's own key.
	Policy string
}

// SAS is the Credential of a shared key: it signs tokens.
func SAS(signer Signer, opts *SASOptions) Credential {
	var o SASOptions
	if opts != nil {
		o = *opts
	}
	if o.Lifetime == 0 {
		o.Lifetime = DefaultTokenLifetime
	}
	return sas{signer: signer, opts: o}
}

type sas struct {
	signer Signer
	opts   SASOptions
}

func (s sas) Token(ctx context.Context, audience string, now time.Time) (Token, error) {
	if s.signer == nil {
		return Token{}, fmt.Errorf("%w: SAS was given no signer", ErrInvalid)
	}
	if s.opts.Lifetime < minTokenLifetime || s.opts.Lifetime > maxTokenLifetime {
		return Token{}, fmt.Errorf("%w: a token lifetime of %v; it is from %v to %v",
			ErrInvalid, s.opts.Lifetime, minTokenLifetime, maxTokenLifetime)
	}
	return SignToken(ctx, s.signer, audience, s.opts.Policy, now.Add(s.opts.Lifetime))
}

func (s sas) Certificate(context.Context) (*tls.Certificate, error) { return nil, nil }

// GivenToken is the Credential of a ready-made token, used until it expires;
// after that Token fails with ErrTokenExpired.
func GivenToken(token Token) Credential { return given{token} }

type given struct{ token Token }

func (g given) Token(_ context.Context, _ string, now time.Time) (Token, error) {
	if g.token.IsZero() {
		return Token{}, fmt.Errorf("%w: GivenToken was given the zero token", ErrInvalid)
	}
	if !now.Before(g.token.Expires()) {
		return Token{}, fmt.Errorf("%w at %s", ErrTokenExpired, g.token.Expires().UTC().Format(time.RFC3339))
	}
	return g.token, nil
}

func (g given) Certificate(context.Context) (*tls.Certificate, error) { return nil, nil }

package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// EntraScope is what to ask Microsoft Entra for: the scope of a hub's REST
// interface.
const EntraScope = "https://iothubs.azure.net/.default"

// A TokenSource gives bearer tokens. Package twin/registry/entra makes one of
// any credential of the Azure SDK.
type TokenSource interface {
	// Token returns an access token for EntraScope, without "Bearer ", and
	// when it ends. It may be slow, and honours ctx; one call is under way at
	// a time. It is called again some minutes before the end, and after the
	// hub has refused a token.
	Token(ctx context.Context) (bearer string, expires time.Time, err error)
}

// renewBefore is how long before its end a token is replaced, unless it lives
// so short that half its life is less.
const renewBefore = 9 * time.Minute

// tokens keeps the present Authorization of a client.
type tokens struct {
	fetch func(ctx context.Context, now time.Time) (header string, expires time.Time, err error)
	now   func() time.Time
	turn  chan struct{} // capacity 1: who holds it may look at what follows

	header func() string // a func, so that no format verb shows it; nil for none
	renew  time.Time
}

func newTokens(now func() time.Time, fetch func(context.Context, time.Time) (string, time.Time, error)) *tokens {
	return &tokens{fetch: fetch, now: now, turn: make(chan struct{}, 1)}
}

// get returns the Authorization to send now.
func (t *tokens) get(ctx context.Context) (string, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-t.turn }()
	now := t.now()
	if t.header != nil && now.Before(t.renew) {
		return t.header(), nil
	}
	header, expires, err := t.fetch(ctx, now)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	life := expires.Sub(now)
	if life <= 0 {
		return "", fmt.Errorf("get a token: %w: it ended at %s, by a clock that says %s",
			auth.ErrTokenExpired, expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	t.header = func() string { return header }
	t.renew = expires.Add(-min(renewBefore, life/2))
	return header, nil
}

// refused forgets the token that the hub has refused, unless there is a newer
// one already.
func (t *tokens) refused(header string) {
	select {
	case t.turn <- struct{}{}:
	default:
		return // somebody is at it; at worst, one more request is refused
	}
	defer func() { <-t.turn }()
	if t.header != nil && t.header() == header {
		t.header = nil
	}
}

// signed are tokens that a policy's key signs.
func signed(a policyAccess, life time.Duration) func(context.Context, time.Time) (string, time.Time, error) {
	return func(ctx context.Context, now time.Time) (string, time.Time, error) {
		token, err := auth.SignToken(ctx, a.key, a.host, a.policy, now.Add(life))
		return token.Reveal(), token.Expires(), err
	}
}

// borne are tokens of a source.
func borne(source TokenSource) func(context.Context, time.Time) (string, time.Time, error) {
	return func(ctx context.Context, _ time.Time) (string, time.Time, error) {
		bearer, expires, err := source.Token(ctx)
		bearer = visible.Trim(bearer)
		switch {
		case err != nil:
		case bearer == "":
			err = errors.New("the TokenSource returned an empty token")
		default:
			if bad := visible.Check(bearer, ""); bad != nil {
				err = fmt.Errorf("the TokenSource returned no token: %w", bad)
			}
		}
		return "Bearer " + bearer, expires, err
	}
}

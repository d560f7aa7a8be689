package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// EntraScope is the scope to request from Microsoft Entra for a hub's REST
// interface.
const EntraScope = "https://iothubs.azure.net/.default"

// A TokenSource returns an access token for EntraScope, without "Bearer ", and
// its expiry. Package twin/registry/entra makes one of any credential of the
// Azure SDK. It may block until ctx ends, and is not called concurrently by one
// Client. It is called again nine minutes before the expiry, at half the life of
// a shorter token, and after the hub refused a token.
type TokenSource func(ctx context.Context) (bearer string, expires time.Time, err error)

// renewBefore is how long before its expiry a token is replaced. A token that
// lives less than twice as long is replaced at half its life.
const renewBefore = 9 * time.Minute

// tokens caches the Authorization of a client.
type tokens struct {
	fetch func(ctx context.Context, now time.Time) (header string, expires time.Time, err error)
	now   func() time.Time
	turn  chan struct{} // capacity 1: a mutex that a context can end

	header func() string // a func, so that no format verb shows it; nil if there is none
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
		return "", fmt.Errorf("get a token: %w: it ended at %s, and the clock says %s",
			auth.ErrTokenExpired, expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	t.header = func() string { return header }
	t.renew = expires.Add(-min(renewBefore, life/2))
	return header, nil
}

// refused drops the token that the hub refused, unless it was replaced already.
func (t *tokens) refused(header string) {
	select {
	case t.turn <- struct{}{}:
	default:
		return // it is being replaced; at worst one more request is refused
	}
	defer func() { <-t.turn }()
	if t.header != nil && t.header() == header {
		t.header = nil
	}
}

// signed returns tokens signed by a policy's key.
func signed(a policyAccess, life time.Duration) func(context.Context, time.Time) (string, time.Time, error) {
	return func(ctx context.Context, now time.Time) (string, time.Time, error) {
		token, err := auth.SignToken(own.Key{}, ctx, a.key, a.host, a.policy, now.Add(life))
		return token.Reveal(), token.Expires(), err
	}
}

// fetched returns the tokens of a source.
func fetched(source TokenSource) func(context.Context, time.Time) (string, time.Time, error) {
	return func(ctx context.Context, _ time.Time) (string, time.Time, error) {
		bearer, expires, err := source(ctx)
		bearer = visible.Trim(bearer)
		switch {
		case err != nil:
		case bearer == "":
			err = errors.New("the TokenSource returned an empty token")
		default:
			if bad := visible.Check(bearer, ""); bad != nil {
				err = fmt.Errorf("the TokenSource returned a malformed token: %w", bad)
			}
		}
		return "Bearer " + bearer, expires, err
	}
}

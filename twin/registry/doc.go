// Package registry is the back end's half of a twin: it reads twins, writes
// tags and desired properties, finds devices by query, keeps their identities,
// and calls direct methods, over the hub's REST interface.
//
//	hub, err := registry.New(connectionString, nil)
//	defer hub.Close()
//	t, err := hub.Twin(ctx, "fan1")
//	t, err = hub.UpdateTwin(ctx, "fan1", t.ETag, registry.Change{
//		Tags:    twin.Set("location.plant", "Redmond43"),
//		Desired: twin.Set("fan.rpm", 900),
//	})
//
// An id is "device" or "device/module", everywhere: the same methods serve a
// module's twin and identity. It belongs on servers, not on boards: it links
// net/http.
//
// # Who may
//
// [New] takes the connection string of a shared access policy, and signs tokens
// with its key. [NewWithTokens] takes bearer tokens from a [TokenSource], such
// as Microsoft Entra's: twin/registry/entra makes one of any azcore credential.
// Twins, queries and methods need the policy's ServiceConnect; identities need
// RegistryRead and RegistryWrite.
//
// # Two who write
//
// A twin has an ETag, which changes with each write to it. UpdateTwin,
// ReplaceTwin, UpdateIdentity and DeleteIdentity take the one that was read:
// where somebody else has written since, they fail with an error that matches
// transport.ErrPrecondition, and nothing is changed; read again, and decide
// anew. [AnyETag] writes whatever is there. The empty ETag is an error, so that
// nobody writes blindly by forgetting it.
//
// # What is tried again
//
// A request is sent again, with back-off and jitter and not before the hub's
// Retry-After, up to [Options].MaxAttempts times and within its context:
//
//   - any request that the hub throttled (429), or that never left because no
//     line could be opened: it was not performed;
//   - reads, and writes with an ETag of their own, also when the answer was
//     lost, or was 500, 502, 503 or 504. A write cannot count twice then; but
//     where the lost attempt was performed, the next fails with
//     transport.ErrPrecondition, whose text says so. That is so of a deletion,
//     too, which finds nothing then.
//
// Each attempt is one request: package net/http repeats none by itself. Nothing
// else is sent again: not a write of AnyETag, which might overwrite what came
// after its first attempt, not the creation of an identity, and not a method.
//
// # Where it goes
//
// Requests go to the hub over TLS, and nowhere else: no redirect is followed, with
// an [Options].HTTPClient of your own either. The answer is an error, then, that
// matches transport.ErrProtocol.
//
// # Errors
//
// What the hub says is a *transport.StatusError, with its error code and
// tracking id, and matches one of transport's sentinels: ErrUnauthorized,
// ErrNotFound, ErrPrecondition, ErrRejected, ErrThrottled, ErrQuota,
// ErrUnavailable. This package adds [ErrExists], [ErrOffline] and [ErrNoAnswer].
// Where no answer came, the error matches transport.ErrUnavailable (no line),
// ErrLost, ErrStalled or ErrUntrusted. Wrong configuration and ids match
// auth.ErrInvalid; patches that the hub would refuse match twin.ErrInvalid, and
// are not sent.
package registry

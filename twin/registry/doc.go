// Package registry is the service side of IoT Hub: it reads twins, writes tags and
// desired properties, queries devices, manages their registrations, and calls
// direct methods, over the hub's REST interface.
//
//	hub, err := registry.New(connectionString, nil)
//	defer hub.Close()
//	t, err := hub.Twin(ctx, "fan1")
//	t, err = hub.UpdateTwin(ctx, "fan1", t.ETag, registry.Change{
//		Tags:    twin.Set("location.plant", "Redmond43"),
//		Desired: twin.Set("fan.rpm", 900),
//	})
//
// It is for servers, not for boards: it links net/http.
//
// # Ids and arguments
//
// An id is "device" or "device/module", in arguments and in results, and the same
// methods serve both. Arguments have one order everywhere: the context, the id,
// the ETag, what is written, the options. A method that creates takes no ETag, one
// that finds things by a query takes the query in place of the id, and a method
// has only those of the others that it needs. Nil options are the defaults.
//
// # Authorization
//
// [New] takes the connection string of a shared access policy and signs tokens
// with its key. [NewWithTokens] takes bearer tokens from a [TokenSource], such as
// Microsoft Entra's: package twin/registry/entra makes one of any azcore
// credential. Twins, queries and methods need the permission ServiceConnect.
// Registrations need RegistryRead and RegistryWrite, and UpdateTwins needs
// RegistryWrite too.
//
// # ETags
//
// A twin has an [ETag], which changes with each write to it, the device's included.
// A registration has one of its own. Methods that write take the ETag
// that was read. If another writer was faster, they change nothing and return an
// error that matches transport.ErrPrecondition: read again and decide again, as
// ModifyTwin does. [AnyETag] writes unconditionally. The empty ETag is an error, so
// that nobody overwrites by forgetting it.
//
// # Repeated requests
//
// A request is sent again, with back-off and jitter and not before the hub's
// Retry-After, up to [Options].MaxAttempts times and within its context, if
//
//   - the hub throttled it (429), or no connection could be opened: it was not
//     performed;
//   - it is a read, or a write with an ETag, and the answer was lost or was 500,
//     502, 503 or 504. Such a write cannot count twice. If the lost attempt was
//     performed, the next one fails with transport.ErrPrecondition, and the text
//     of the error says so. The same holds for a deletion.
//
// Nothing else is sent again: not a write with AnyETag, which might overwrite what
// came after its first attempt, not the creation of a registration, and not a
// method. Package net/http repeats none by itself.
//
// # Redirects
//
// Requests go to the hub over TLS and nowhere else. No redirect is followed: the
// error matches transport.ErrProtocol.
//
// # Errors
//
// An error of the hub is a *transport.StatusError with its code and tracking id. It
// matches one of the sentinels of package transport: ErrUnauthorized, ErrNotFound,
// ErrPrecondition, ErrRejected, ErrThrottled, ErrQuota, ErrUnavailable, or one of
// this package: [ErrExists], [ErrOffline], [ErrNoAnswer]. Without an answer, the
// error matches transport.ErrUnavailable (no connection), ErrLost, ErrStalled or
// ErrUntrusted. Invalid options, ids and other arguments match auth.ErrInvalid.
// Patches that the hub would reject match twin.ErrInvalid and are not sent.
package registry

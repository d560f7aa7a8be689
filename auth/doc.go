// Package auth says who a device is and proves it: identities, connection
// strings, shared keys, SAS tokens, and the plausibility of the clock that
// tokens and certificates are judged by. It opens no socket and never asks for
// the time: every function that needs it takes it. Files are read by X509Files
// and X509Reload alone, when a connection needs them.
//
// # From a connection string
//
// The hub hands out one line of text for each device. [ParseConnectionString]
// turns it into the two values that the rest of the library works with:
//
//	id, cred, err := auth.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
//
// Invisible characters around a connection string, a key or a token are skipped.
// An error says where such a character is inside.
//
// # Piece by piece
//
// An [Identity] says who and where: hub, device, perhaps module and gateway.
// It holds no secret and may be logged.
//
// A [Credential] proves an identity, with tokens or with a certificate.
// [SAS] makes tokens from a shared key, [StaticToken] uses a ready-made one
// until it ends, [TokenFunc] fetches them; [X509Files] and [X509] present a
// certificate. Only this package makes one. For what it does not know, give a
// function to [TokenFunc] or [X509Reload].
//
// A [Signer] holds a shared key, wherever that lives. [ParseKey] gives one in
// memory; a type around a TPM, a secure element or PKCS#11 is one method. The
// key of a certificate is any crypto.Signer.
//
// # Certificates
//
// [X509Files] reads PEM files for each connection, and so uses a renewed
// certificate at the next one. [ParseX509] takes PEM in memory, and
// [X509Reload] reads files of any other form. With [X509Options] the key may be
// encrypted, or live elsewhere. The chain is put in order and
// presented whole; a gap in it, a key that does not fit, and a certificate
// that is out of its time are named, before anything is sent. Nothing in a
// PEM file vanishes: an error names the block that cannot be read, also
// that of [ParseRoots], which reads the CAs to trust.
//
// Encrypted keys are opened by package auth/pkcs8, PFX files by auth/pfx, and a
// module in Azure IoT Edge finds its identity by auth/edge: each is linked only
// by firmware that imports it.
//
// A [Token] is what travels: a bearer secret for one audience (see
// [Identity.Audience]), with an end. [ParseToken] reads one, and [TokenOf] asks
// a Credential for one.
//
// # Who asks when
//
// Package device asks the Credential anew for each connection, from one of its
// own goroutines and holding no lock, with the wall clock that it was given. It
// checks that clock first: a board without a battery begins
// in 1970, and a token or certificate judged there fails for a reason that
// names neither. A credential may be used for many clients at once.
//
// # What is redacted
//
// A [Key], a [Token] and the Credentials of this package never show their
// secret in text: not through any verb of package fmt (also where fmt calls no
// methods: in unexported fields of your own types, after a wrong verb), nor
// log/slog, encoding/json and everything else that asks for text, nor a dumper
// that follows pointers by reflection. Errors of this package name the field
// and what to do about it, and never quote a key, a signature, or a part of a
// string that might be one. A token shows itself through [Token.Reveal] only; a
// key not at all. No promise is made about the strings that you pass in, about
// errors of your own Signer, or about memory, which is not wiped.
//
// # Errors
//
// Everything malformed matches [ErrInvalid]: configuration that no retry
// mends. [ErrTokenExpired] wants a new token, [ErrCertificateExpired] a new
// certificate; [ErrClockImplausible] and, most often,
// [ErrCertificateNotYetValid] want a set clock.
package auth

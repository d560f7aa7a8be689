// Package hubtest is an IoT Hub that runs inside a test, or as part of a small
// program: true enough for the official Node.js device SDK, unmodified, over
// MQTT and AMQP, and for back ends over REST. See LIMITS.md for what it does not
// imitate, and for the sources of what it does.
//
// In a test:
//
//	hub := hubtest.New(t, nil)                  // ends with the test
//	at, err := hub.AddDevice("dev1")            // an identity with keys and an empty twin
//	dev := device.New(at.Identity, at.Credential, mqtt.Dialer{Stream: hub.Stream}, nil)
//
// There are three ways to it. [Hub.Stream] is a byte stream in memory, without
// TLS: with it, and in a testing/synctest bubble, a day of token renewals
// passes in milliseconds. (A bubble's clock begins in 2000, which a client
// calls implausible: begin with a time.Sleep to a date of today.) [Hub.DialContext] is the same with TLS on it, for
// transport.TLSOptions. [Hub.Listen] opens a real socket with TLS, for any
// client in any language; [Hub.CAPEM] is the CA that it has to trust. The port,
// or else the first byte, tells which [Protocol] a client speaks. On the port of
// HTTPS it also speaks MQTT and AMQP over WebSocket, with the same logins and
// faults.
//
// # Certificates
//
// [Hub.AddX509Device] adds a device that proves itself by a certificate, which
// the hub makes: below its [Hub.DeviceCA], or self-signed and known by its
// thumbprint. It needs TLS, so Dial or Listen. With [NewCA], [CA.Issue] and
// [Hub.AddCA] a test makes certificates of its own: one that ends tomorrow, one
// without its intermediate, one of a rogue CA.
//
// # The back end's side
//
// [Device.SetDesired] and [Device.ReplaceDesired] do what a service does by PATCH
// and PUT; [Device.Twin] shows the twin with its versions, of which twin.Get
// reads single values; [Device.Wait] and [Device.WaitReported] wait for it without
// polling. Everywhere an id is
// "device" or "device/module". What the hub's rules refuse is a
// *transport.StatusError, for a service as for a device, and changes nothing.
// [Device.SetTags] writes tags, [Device.Call] calls a direct method,
// [Device.Messages] reads the telemetry that a device has sent, and
// [Device.SendMessage] queues a message from cloud to device.
//
// A back end that is to be tested itself speaks HTTPS: twins, identities,
// queries and direct methods, with tokens of a shared access policy
// ([Hub.Policy]) or of Microsoft Entra ([Hub.EntraToken], [Hub.Grant]). With
// this library's twin/registry, and still without a socket:
//
//	p, _ := hub.Policy("service")
//	client, err := registry.New(p.ConnectionString, &registry.Options{Stream: hub.Stream})
//
// # Faults
//
// [Hub.Intercept] takes one message, in or out, and drops, doubles, delays or
// answers it, changes one member of its JSON ([Edit]), or cuts the line around it,
// for as many messages as [Action.Times] says. [PatchNaming] picks the patches that name a property. A service's
// requests are messages, too ([FromService]). [Device.Cut], [Device.SetLine] and
// [Device.Stall] treat whole lines: ended, down, or half-open. [Device.SetEnabled],
// [Device.SetKeys] and [Device.Remove] treat identities, as do
// [Device.SetThumbprints] and [Device.SetX509]; a CA leaves
// by [Hub.RemoveCA]. [Device.Stats] counts
// what a client did, so that a test can bound it.
//
// Faults of telemetry are the same over MQTT and AMQP. FromDevice(id, [Telemetry])
// is a message before it is stored, FromHub(id, [Ack]) its acknowledgement after
// it is stored, and the RequestID of both is the message's id:
//
//	hub.Intercept(hubtest.FromDevice("dev1", hubtest.Telemetry), hubtest.Drop())   // lost
//	hub.Intercept(hubtest.FromHub("dev1", hubtest.Ack), hubtest.Drop())            // stored, and the device does not know
//	hub.Intercept(hubtest.FromHub("dev1", hubtest.Ack), hubtest.Delay(time.Minute)) // stored, and slow
//
// [Device.HoldTelemetry] withholds acknowledgements, and over AMQP credit, until
// the test has seen enough.
//
// Over AMQP, [Connect] is the put-token on $cbs, or the first link of a device
// with a certificate; [Subscribe] and [Unsubscribe] are the twin's PUT and DELETE,
// [Ping] is a heartbeat, which nobody answers, and [Disconnect] the CLOSE;
// [Method] and [MethodAnswer] are on the links for methods, their RequestID the
// correlation id. A connection may carry many identities: what happens to one
// leaves the others alone.
//
// # How true it is
//
// The hub is a judge: it shares no twin logic and no signing with the library,
// counts and merges in its own plain way, and takes the strictest reading
// where the documentation leaves several. It closes the connection wherever a
// real hub does, without a word, and writes the reason to [Options].Logger;
// in a test, that is the test's log.
//
// LIMITS.md in this folder lists what is settled, and by which source, what is
// guessed, and what is left out.
//
// # Restarts
//
// A hub that is to outlive its process takes [Hub.State] along and gives it to
// [Hub.Restore]; [LoadCA] with [Options].CA keeps the CA that boards trust.
// [Hub.Revision] says when there is something to save.
//
// # Goroutines and locks
//
// A connection has two goroutines, one that reads and performs and one that
// writes; neither waits for the other, nothing waits for a client while it
// holds a lock, and user code is called with no lock held. [Hub.Close] waits
// for all of them.
package hubtest

// Package device is the device's side of a twin: a [Client] that keeps it in
// step with the hub for as long as it lives.
//
//	id, cred, err := auth.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
//	…
//	dev := device.New(id, cred, mqtt.Dialer{}, nil)
//	dev.OnDesired("fan.rpm", twin.Typed(setFan), nil)
//	err = dev.Connect(ctx)
//	version, err := dev.UpdateReported(ctx, twin.Set("climate.temperature", 21.5))
//	…
//	err = dev.Shutdown(ctx)
//
// # Promises
//
// Connect starts the client; from then on it connects by itself whenever the
// line allows, until Close. After each connect it subscribes, gets the whole
// twin, and calls every listener with what differs from what it heard last,
// removals included: nobody misses a change that still holds. A patch whose
// version does not follow the last one starts a full GET.
//
// A report is what the device wants the hub to have. UpdateReported returns
// when the hub has it; ReportLater when the client has it. At most one patch
// is in flight; what is reported meanwhile rides together in the next. A patch
// whose answer was lost is decided by the version of the next GET, and so is
// neither lost nor applied twice. UpdateReportedIf demands a version.
//
// Without Options.Store, reports that are not confirmed when the process ends
// are lost with it; Shutdown waits for them. With a store, each report is safe
// from a power cut once ReportLater has returned nil. The whole reported state
// comes back even to a device that was created anew, a durable listener is
// called after a restart only with what changed since it last returned, and
// Desired returns the properties as they were a second before the power went,
// at most.
//
// # The start and the end
//
// New does no I/O. Connect and Run start the client, and so claim its store;
// the first ReportLater claims it, too. A store that is in use or belongs to
// another device is an error of that call, and nothing is written to it.
// ReportLater may come before the start. Calls that wait for the hub wait up to
// 10 s for it, and then fail with ErrNotStarted.
//
//	Shutdown  waits until the hub has what was reported, then closes
//	Close     closes; waits for the store and the callbacks, up to 5 s each
//	Stop      begins to close and returns at once; a listener may call it
//	Run       starts, waits for its context, then calls Shutdown with 10 s
//
// # Contexts
//
// The context of Connect, GetTwin and UpdateReported ends the waiting, nothing
// else: the client goes on connecting, and a report stays wanted. The context
// of a listener ends when the client closes. Where the context of GetTwin, of a
// report or of Shutdown has no deadline, Options.CallTimeout is one.
//
// # Goroutines
//
// A client has one goroutine that owns the others, one that speaks, one that
// reads, one that calls the listeners, and on Linux one that wakes from suspend;
// one for OnState, where it is set, and one for each listener that runs. The
// MQTT connection adds one for its keep-alive. Close waits for all of them.
//
// Listeners run one at a time, in the order of their registration, with no lock
// held. They may call any method but Run; one that calls Close or Shutdown gets
// ErrListenerRuns after 5 s, since these wait for it. See Client.OnDesired for
// how turns are given away, and ListenOptions.Concurrent. No callback and no log
// is called under a lock. A callback that panics, or ends its goroutine, harms
// no other.
//
// # Bounds
//
//	states that wait for a slow OnState          32, the oldest go
//	what waits for a slow listener               one difference, to the newest value
//	lines of the log with the same message       20 a minute, from warnings on
//	memories of durable names without a listener 64, and 64 KB; the oldest go
//	writes of the desired half to the store      one a second
//	attempts at a store that fails               1 s … 2 min apart
//	what waits for a store that hangs            its own bound, then ErrNotStored
//
// # What is retried, and how fast
//
// A delay of d means one picked at random from [d/2, d]. Delays double from
// failure to failure, and are forgotten after a minute online.
//
//	failure                                   retried           told by Connect
//	line cannot be opened, or is lost         1 s … 2 min       no
//	hub unavailable (CONNACK 3)               1 s … 2 min       no
//	no sign of life (keep-alive + 10 s)       1 s … 2 min       no
//	peer breaks the protocol                  1 s … 2 min       no
//	two requests in a row without an answer   1 s … 2 min       no
//	identity refused (CONNACK 2, 4, 5)        15 s … 2 min      yes
//	hub's certificate not trusted             15 s … 2 min      yes
//	given token expired                       15 s … 2 min      yes
//	client certificate out of its time        15 s … 2 min      yes
//	credential fails (file, key in hardware)  1 s … 2 min       yes
//	clock implausible                         every 5 s, local  yes
//	token due for renewal, or Renew           at once           no
//	token that a connection did not take      at once           no
//	wrong local configuration                 never             yes, and the client ends
//
// What the hub answers to a request, on a connection that stays:
//
//	request       answer                       what follows
//	GET           200, whole                   in step
//	GET           200, broken                  asked again, 1 s … 2 min; GetTwin fails
//	GET           429, 5xx                     asked again, 1 s … 2 min or Retry-After; GetTwin waits
//	GET           any other                    asked again, 1 s … 2 min; GetTwin fails
//	GET           none in RequestTimeout       asked again; GetTwin waits
//	patch         204 (AMQP: 200)              the hub has it
//	patch         the same, a version that     the hub has it; one GET
//	              does not follow
//	patch         400, 413, 403 code 403100    refused for good: taken apart until the refused
//	                                           part stands alone, which fails its caller
//	patch         429, 403, 404, 401, …        sent again, 1 s … 2 min or Retry-After
//	patch         412, of UpdateReportedIf     fails its caller
//	patch         5xx, or none in time         one GET decides, then sent again if need be
//	any           403002 (daily quota)         the same after midnight UTC, spread over 5 min
//
// While a GET is owed, reports gather and wait for it: what the hub has must be
// known first. These delays outlive a connection, and end with a success.
//
// Where the transport is a transport.Renewer (AMQP), a token due for renewal is
// replaced on the connection, which stays; Client.Renew connects anew all the
// same.
//
// The same identity on two boards looks, over MQTT, like any other lost line:
// the hub lets the newer connection win. It is not claimed to be known.
package device

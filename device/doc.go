// Package device is the device's side of a twin: a [Client] that keeps it in
// step with the hub for as long as it lives, and sends telemetry.
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
// twin, and calls every listener with the change since the value it last saw,
// including deletions, and the cause. A patch whose version does not follow the
// last one starts a full GET. A change that is lost without a trace, on a line that
// stays up, is found within Options.Resync. A device that was created again at
// the hub is announced by twin.CauseNewTwin.
//
// A report is what the device wants the hub to have. UpdateReported returns
// when the hub has it; ReportLater when the client has it. At most one patch
// is in flight; what is reported meanwhile rides together in the next. A patch
// whose answer was lost is decided by the version of the next GET, and so is
// neither lost nor applied twice. UpdateReportedIf demands a version.
//
// Without Options.Store, reports that are not confirmed when the process ends
// are lost with it. Shutdown waits for them. With a store, each report is safe
// from a power cut once ReportLater has returned nil. The whole reported state
// comes back even to a device that was created again, a durable listener is
// called after a restart only with what changed since it last returned, and
// Desired returns the properties as they were a second before the power went,
// at most.
//
// # Telemetry
//
// A [Message] is anything that the device tells the hub and that is no state of
// it. [Client.Send] returns when the hub has the message; [Client.SendLater] when
// the client has it. The hub gets each message at least once: one whose answer was
// lost with its connection is sent again with the same ID, by which a receiver
// tells it from a new one. Messages that are not urgent arrive in their order, and
// so do urgent ones. A message that the hub puts off, or at which it ends the
// connection, may arrive after newer ones. Memory alone keeps what waits: Shutdown
// sends it, and a power cut takes it.
//
//	Send returns             the message                               send it again
//	nil                      the hub has it                            no
//	transport.ErrMessage     no hub takes it, and it was not sent      never as it is
//	transport.ErrTooLarge    the same, for it is over 256 KiB          in parts
//	transport.ErrRejected    the hub refuses it for good (AMQP)        never as it is
//	ErrPoison                the hub ends the connection at it (MQTT)  never as it is
//	ErrUnknownOutcome        was sent, and the hub has it or not       with the same ID
//	the context's, alone     was not sent, and will not be             as you like
//	ErrClosed, alone         was not sent: the client is closed        with a new client
//
// SendLater returns the second and the third, and ErrQueueFull where
// TelemetryOptions has it refuse what does not fit. What becomes of the message
// later is in the log, and in Stats.Telemetry.
//
// # The start and the end
//
// New does no I/O. Connect and Run start the client, and so claim its store.
// The first ReportLater claims it, too. A store that is in use or belongs to
// another device is an error of that call, and nothing is written to it.
// ReportLater may come before the start. Calls that wait for the hub wait up to
// 10 s for it, and then fail with ErrNotStarted.
//
//	Shutdown  waits until the hub has what was reported, then closes
//	Close     closes, and waits for the store and the callbacks, up to 5 s each
//	Stop      begins to close and returns at once. A listener may call it
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
// reads, one that calls the listeners, and on Linux one that wakes from suspend.
// One for OnState, where it is set, and one for each listener that runs. The
// MQTT connection adds one for its keep-alive. Close waits for all of them.
//
// No callback and no log is called under a lock. A callback that panics, or ends
// its goroutine, harms no other.
//
// # Listeners
//
//	order             one at a time, in the order of their registration, and of versions
//	a slow listener   gets the newest value. It has no queue
//	waits in a call   others run meanwhile, if the call has the listener's context
//	Concurrent        has a goroutine of its own, and never runs beside itself
//	Durable           has a memory in the Store, by a name. See Client.ForgetDurable
//	Acknowledge       200, or what a twin.AckError names, 400 for a bad value, else 500
//	may call          every method but Run, and Stop to end the client
//	Close, Shutdown   called by a listener, return ErrListenerRuns after 5 s
//	an error          is reported to OnListenerError. The change counts as delivered
//	nothing desired   twin.Typed is not called, twin.TypedOr is called with a default,
//	                  twin.Removed is called for a deletion
//
// # Lanes
//
// What shares a connection takes turns, and one kind does not hold up another.
//
//	features   each is opened by itself. One that is refused is left out
//	twin       one request in flight. GETs and patches take turns, reports go on
//	           while the hub refuses GETs
//	telemetry  up to 16 messages in flight, beside the twin's request
//	renewal    a new token is fetched beside both
//
// # Bounds
//
//	states that wait for a slow OnState          32, the oldest go
//	what waits for a slow listener               one difference, to the newest value
//	lines of the log with the same message       20 a minute, from warnings on
//	memories of durable names without a listener 64, and 64 KB. The oldest go
//	writes of the desired half to the store      one a second
//	attempts at a store that fails               1 s … 2 min apart
//	what waits for a store that hangs            its own bound, then ErrNotStored
//	messages of SendLater                        1 MiB. The oldest go
//	JSON of one report, and of one patch         128 KB
//	JSON of all that is reported                 800 KB
//	what is reported before the first GET        values are kept. Beyond 48 KB of JSON,
//	                                             deletions among them are forgotten, and logged
//
// # What is retried, and how fast
//
// A delay of d means one picked at random from [d/2, d]. Delays double from
// failure to failure, and are forgotten after a minute online.
//
//	failure                                   retried           ends Connect's wait
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
//	credential gives something invalid        15 s … 2 min      yes
//	CONNACK 3 four times in a row             15 s … 2 min      yes
//	clock implausible                         every 5 s, local  yes
//	token due for renewal, or Renew           at once           no
//	token that a connection did not take      at once           no
//	wrong local configuration, at the start   never             yes, and the client ends
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
// What the hub has must be known before the first patch: reports gather until the
// first GET has an answer. After 3 GETs in a row that the hub refuses, or 5 that it
// does not answer, values are sent without one. Deletions, replacements and
// UpdateReportedIf wait. A patch of unknown fate waits until a GET decides it.
// After 8 refused GETs in a row, or 12 without an answer, it is sent again without.
// These delays outlive a connection, and end with a success.
//
// # What fails again and again
//
// What the hub cannot take stays wanted, or fails its caller, and costs little:
//
//	what                                   bound
//	a report at which the line ends, or    taken apart into eighths, and the last
//	that gets no answer, 3 times in a row  property travels alone: after 1 min, doubling
//	                                       to 1 h. A new value goes once more
//	a part refused in company              sent alone up to 3 times more
//	a report put off (429 and the like)    taken apart into eighths, each sent alone at
//	10 times in a row                      most 2 min apart, further once the hub takes one
//	all of that together, in an hour       40 connects, 60 GETs, 120 patches
//	other reports meanwhile                wait at most 90 s for that budget, and 2 min
//	                                       while the hub puts off what it is asked
//	a feature that the hub refuses         left out, tried after 30 s, doubling to 1 h
//	a feature at whose opening 3           left out, if a connection without it stays
//	connections in a row end               up for 10 s
//	2 requests in a row without an answer  a new connection
//	GETs that nobody called for            1 s apart
//	the wish of a hub to wait              1 h at most (Retry-After)
//
// State.Missing says which features are left out, and why: a hub of the basic tier
// has no twin. What waits for a twin then fails and matches
// transport.ErrUnsupported.
//
// Where the transport is a transport.Renewer (AMQP), a token due for renewal is
// replaced on the connection, which stays; Client.Renew connects anew all the
// same.
//
// The same identity on two boards looks, over MQTT, like any other lost line:
// the hub lets the newer connection win. It is not claimed to be known.
package device

// Package amqp speaks with an IoT Hub over AMQP 1.0: it implements the contract
// of package transport. Give its [Dialer] to device.New, or one [Pool] to the
// clients of many devices. A program needs nothing else of it, except to look for
// a [*ConditionError].
//
// MQTT is the smaller choice for a device. AMQP's merits are that many devices
// share a connection, that a token is renewed without a new one
// (transport.Renewer), that device ids may hold '#' and '+', and that some
// firewalls let 5671 pass and not 8883.
//
// # What goes over the line
//
//	login                   put-token on $cbs
//	Open TwinResponses      a link pair to /devices/{id}[/modules/{id}]/twin, unless it is there
//	Accepted                once it is there. A link that is refused is a Response
//	Open DesiredChanges     PUT /notifications/twin/properties/desired
//	Accepted                its answer with status 2xx. Any other is a Response
//	Request GetTwin         GET
//	Request PatchReported   PATCH /properties/reported, with the annotation version if there is one
//	Response                the answer with that correlation-id
//	Desired                 a message without correlation-id
//	Telemetry               a message to /devices/{id}[/modules/{id}]/messages/events, or one of a batch
//	Accepted                its outcome accepted. Any other is a Response
//
// An X.509 device puts no token: its certificate is judged when the pair is
// attached, so that is part of its login. No SASL layer is used, like Microsoft's SDKs for Node.js and C#. A
// frame's ID is the correlation-id, a string. Messages are sent settled, since
// the answer acknowledges more than a disposition would.
//
// # The twin's links
//
// They are attached for the first Open of TwinResponses, or the first frame that
// needs them, and what is sent behind it waits in the queue. If the hub refuses them,
// all that waits gets a Response with a status as under Telemetry, and the next such
// frame tries again: a hub of the basic tier has no twin, and takes telemetry. To an
// X.509 device that hub has shown that it knows it, if the status is 400, and Dial
// succeeds.
//
// A hub may take a token and judge its owner at the first link. A link that it
// refuses with a condition that means transport.ErrUnauthorized ends the connection,
// the twin's as well as that for telemetry as long as the twin's are not there.
//
// A hub tells a device by its links that it was disabled or removed, or that another
// has taken its place. One that has no link hears of it when it attaches one or
// renews its token; of the end of the connection it hears in any case, and in a Pool
// of the end of its session at the next frame.
//
// # Telemetry
//
// The link for telemetry is attached for the first message, and again for the
// next one after the hub has ended it: that ends nothing else. All messages that
// wait leave in one transfer, as a batch of up to 256 KB, and the next leaves when
// the hub has answered.
//
// A batch has one outcome. If the hub rejects it for good, each of its messages is
// sent alone and has its own. An outcome that is about the moment, such as a
// throttle, answers all messages that wait, so that none overtakes another. The end
// of a link answers them likewise. A condition becomes the status that
// transport.StatusError understands: 400 and 413 for what is never taken, 401, 403
// with the code 403002, 404, 429, and 503 for anything else. Frame.Again has no
// mark in AMQP.
//
// # What is skipped and what ends the connection
//
// A message that means nothing here is skipped: one without a usable status, or
// with another correlation-id than a string. A link, session or connection that
// the hub ends is a [*ConditionError], if the hub says why. Its texts are cut to
// 256 bytes and quoted, as is every text of a hub's.
//
// go-amqp believes what a hub sends: some frames end in its panic, in a loop, or
// in as much memory as the hub likes. So it reads nothing but frames that the
// guard of internal/amqpwire has written, in which every number is within bounds.
// A hub that sends what is not sound, messages without credit, or floods, ends the
// connection with transport.ErrProtocol. Some of Azure's gateways send FLOW frames
// without next-incoming-id (Azure/go-amqp#326), or detach links without closing
// them: such frames are completed.
//
// # Room
//
// Send never waits for the hub's credit or window. Without either a message waits
// in a queue of 16, and a goroutine that ends with the wait sends it. A full queue
// is transport.ErrBusy. Nothing ends however long the hub gives no room: package
// device gives its requests a time.
//
// Telemetry has a queue of its own, of 16 messages, and a credit of its own. The
// links of a session share its window, in which each transfer claims its place. At
// most one transfer of telemetry on a connection waits to be written: a request to
// a twin leaves behind 256 KB at most. Beyond 64 messages without an answer that
// was received Send returns transport.ErrBusy, too.
//
// # Signs of life
//
// AMQP has no question for a sign of life: each side announces the silence that
// it bears, and the other keeps within it. The hub is asked to be heard in half
// of the login's keep-alive and 10 s. A line that is silent for the whole of
// both is dead, and Receive fails with transport.ErrStalled. So an idle line has
// more traffic than over MQTT. A hub gets a sign of life every second at most. A
// write that does not progress for 10 s ends the connection likewise.
//
// # Goroutines and memory
//
// A connection has two goroutines of its own and five of go-amqp's, in a Pool too
// (one and three with a certificate), and each device in a Pool one of go-amqp's
// more. The twin's links add one and two of go-amqp's to a device, the first message
// of telemetry one and one. Close waits for all of them.
//
// A hub can make a device hold 4 MB: it has credit for 8 messages, of at most 512
// KB each. In a Pool that is each device's, but all messages of which only some
// parts have come take 4 MB at most on a connection. What a hub sends beside messages is
// bounded by a rate: 1,000 frames and 32 for each session at once, and 20 a second
// and 4 for each frame of ours.
//
// go-amqp keeps a queue of 5,000 places for each session and each sender, and two
// for each receiver: on a 64-bit machine 287 KB for a device by itself, and 164 KB
// for each device in a Pool, once the twin's links are there. Most of that is never touched and so takes no RAM at
// first. The garbage collector counts it all the same. README.md has the figures.
//
// # Locks
//
// There are three, taken in this order:
//
//	Pool.mu     lines, seats and rests
//	line.mu     the guard, the line's standing and end, what waits to be written,
//	            tokens that wait for an answer, and each conn's queue
//	fate.Fate's the end of one conn
//
// Nothing waits and nothing of others is called while one is held.
package amqp

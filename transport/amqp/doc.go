// Package amqp speaks with an IoT Hub over AMQP 1.0: it implements the contract
// of package transport. Give its [Dialer] to device.New, or one [Pool] to the
// clients of many devices; a program needs nothing else of it, but may look for a
// [*ConditionError].
//
// MQTT is the smaller choice for a device. AMQP's merits are that many devices
// share a connection, that a token is renewed without a new one
// (transport.Renewer), that device ids may hold '#' and '+', and that some
// firewalls let 5671 pass and not 8883.
//
// # What goes over the line
//
//	login                   put-token on $cbs, then a link pair to /devices/{id}[/modules/{id}]/twin
//	Open TwinResponses      nothing: the pair is there since the login; Accepted at once
//	Open DesiredChanges     PUT /notifications/twin/properties/desired
//	Accepted                its answer with status 2xx; any other is a Response
//	Request GetTwin         GET
//	Request PatchReported   PATCH /properties/reported, with the annotation version if there is one
//	Response                the answer with that correlation-id
//	Desired                 a message without correlation-id
//
// An X.509 device puts no token: its certificate is judged when the pair is
// attached. No SASL layer is used, like Microsoft's SDKs for Node.js and C#. A
// frame's ID is the correlation-id, a string; messages are sent settled, since
// the answer acknowledges more than a disposition would.
//
// # What is skipped and what ends the connection
//
// A message that means nothing here is skipped: one without a usable status, or
// with another correlation-id than a string. A link, session or connection that
// the hub ends is a [*ConditionError], if the hub says why.
//
// go-amqp believes what a hub sends: some frames end in its panic, or in a loop.
// So each is looked at before, and a connection whose hub sends one that is not
// sound ends with transport.ErrProtocol. Some of Azure's gateways send FLOW frames
// without next-incoming-id, at which go-amqp ends its session
// (Azure/go-amqp#326): such frames are completed as they come in.
//
// # Signs of life
//
// AMQP has no question for a sign of life: each side announces the silence that
// it bears, and the other keeps within it. The hub is asked to be heard in half
// of the login's keep-alive and 10 s; a line that is silent for the whole of
// both is dead, and Receive fails with transport.ErrStalled. So an idle line has
// more traffic than over MQTT. A write that does not progress for 10 s ends the
// connection likewise, and so does a hub that lets a message wait for 30 s before
// it gives credit; in a Pool that ends one device's session, as long as the hub
// agrees to its end.
//
// # Goroutines and memory
//
// A connection has two goroutines of its own and seven of go-amqp's (one and five
// with a certificate). In a Pool it has one and five, and each device one and
// three more. Close waits for all of them.
//
// go-amqp keeps a queue of 5,000 places for each session and each sender, and two
// for each receiver: on a 64-bit machine 287 KB for a device by itself, and 164 KB
// for each device in a Pool. Most of that is never touched and so takes no RAM at
// first; the garbage collector counts it all the same. README.md has the figures.
package amqp

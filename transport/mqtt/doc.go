// Package mqtt speaks with an IoT Hub over MQTT 3.1.1: it implements the
// contract of package transport. Give its [Dialer] to device.New; a program
// needs nothing else of it, but may look for a [*ConnackError].
//
// # What goes over the line
//
//	Open TwinResponses      SUBSCRIBE $iothub/twin/res/#, QoS 1
//	Open DesiredChanges     SUBSCRIBE $iothub/twin/PATCH/properties/desired/#, QoS 1
//	Close                   UNSUBSCRIBE
//	Accepted                SUBACK or UNSUBACK. One that refuses is a Response with status 403
//	Request GetTwin         PUBLISH $iothub/twin/GET/?$rid={ID}, QoS 0, no payload
//	Request PatchReported   PUBLISH $iothub/twin/PATCH/properties/reported/?$rid={ID}[&$version={Version}], QoS 0
//	Response                PUBLISH $iothub/twin/res/{Status}/?$rid={ID}[&$version={Version}][&retry-after={RetryAfter}]
//	Desired                 PUBLISH $iothub/twin/PATCH/properties/desired/?$version={Version}
//	Settle Complete         PUBACK
//	Settle Release          nothing. The hub delivers again. Reject is not possible
//
// Requests have QoS 0, since their Response acknowledges more than a PUBACK
// would. So Send never returns transport.ErrBusy.
//
// # What is acknowledged
//
// A message of QoS 1 has a Delivery, and its PUBACK leaves when a Complete
// comes. At most 128 messages wait for that. More of them do not reach
// the receiver, and the hub delivers them again.
//
// The session is not clean. So the hub restores what
// an earlier program of this identity subscribed to, and delivers messages of
// features that are not in use here. They are skipped and not acknowledged, so
// they stay at the hub for a program that takes them. A login with Tidy
// unsubscribes from cloud-to-device messages, module inputs and methods beside
// the first GET, if the hub has restored a session.
//
// # What is skipped and what ends the connection
//
// A packet that breaks MQTT 3.1.1, or that a server may not send, ends the
// connection with transport.ErrProtocol. A well-formed packet that means
// nothing here is skipped: another topic, a response whose status or request
// id is not usable (it pairs with nothing), a SUBACK for no Open. A version
// that is no positive number counts as none.
//
// # Signs of life
//
// When nothing was sent or nothing was received for the keep-alive of the
// login, the hub is asked for a sign of life; a line that is silent for 10 s
// more is dead, and Receive fails with transport.ErrStalled. Sending much does
// not put this off: a half-open line takes bytes for many minutes. A write
// that does not progress for 10 s ends the connection likewise.
//
// A connection has one goroutine, which sleeps until the line has been idle
// for the keep-alive; all reading is done by the caller of Receive.
package mqtt

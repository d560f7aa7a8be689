// Package mqtt speaks with an IoT Hub over MQTT 3.1.1: it implements the
// contract of package transport. Give its [Dialer] to device.New; a program
// needs nothing else of it, but may look for a [*ConnackError].
//
// # What goes over the line
//
//	Open TwinResponses      SUBSCRIBE $iothub/twin/res/#, QoS 1
//	Open DesiredChanges     SUBSCRIBE $iothub/twin/PATCH/properties/desired/#, QoS 1
//	Accepted                SUBACK; one that refuses is a Response with status 403
//	Request GetTwin         PUBLISH $iothub/twin/GET/?$rid={ID}, QoS 0, no payload
//	Request PatchReported   PUBLISH $iothub/twin/PATCH/properties/reported/?$rid={ID}[&$version={Version}], QoS 0
//	Response                PUBLISH $iothub/twin/res/{Status}/?$rid={ID}[&$version={Version}]
//	Desired                 PUBLISH $iothub/twin/PATCH/properties/desired/?$version={Version}
//
// Requests have QoS 0, for their Response acknowledges more than a PUBACK
// would. What a hub publishes with QoS 1 is acknowledged when it is received.
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

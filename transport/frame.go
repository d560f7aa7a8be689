package transport

import "time"

// A Kind says what a Frame is about. It reads as a word, for logs.
type Kind string

// The kinds of frames. Out is from device to hub, in is from hub to device. A
// transport that does not have a kind returns ErrUnsupported from Send.
const (
	// Open asks the hub for a Feature. Out. The hub answers with Accepted, or
	// with a Response that has an error status, and its ID.
	Open Kind = "open"
	// Close gives a Feature back. Out. The hub answers as it answers Open.
	Close Kind = "close"
	// Accepted says that the hub took the frame of that ID. In.
	Accepted Kind = "accepted"
	// GetTwin asks for both halves of the twin. Out. The Response's body is the
	// hub's document {"desired":{…,"$version":n},"reported":{…,"$version":m}}.
	GetTwin Kind = "get twin"
	// PatchReported merges the body into the reported properties. Out. The
	// Response's Version is the one after it.
	PatchReported Kind = "patch reported"
	// Response answers the GetTwin or PatchReported, or the refused Open or Close,
	// of that ID. In.
	Response Kind = "response"
	// Desired brings a change of the desired properties. In, unasked.
	Desired Kind = "desired"
	// Telemetry brings a Message to the hub. Out. It needs no Feature. The hub
	// answers with Accepted once it has the message, or with a Response that has
	// an error status, and its ID. Over MQTT a hub has no word for an error: it
	// ends the connection.
	Telemetry Kind = "telemetry"
	// Complete settles a Delivery: it was taken, and the hub forgets it. Out,
	// without an answer.
	Complete Kind = "complete"
	// Release settles a Delivery: it is given back, and the hub delivers it again,
	// over AMQP at once, over MQTT when its lock ends or at the next connection.
	// Out, without an answer.
	Release Kind = "release"
	// Ready says that the Feature has room for frames again. In. It follows a
	// Send that returned ErrBusy, once.
	Ready Kind = "ready"
)

// A Feature is a part of the hub that a session opens before it can be used. It
// reads as a word, for logs.
type Feature string

// The features.
const (
	// TwinResponses lets answers to GetTwin and PatchReported reach this session. It
	// must be accepted before the first of them, or the answer is lost.
	TwinResponses Feature = "twin responses"
	// DesiredChanges lets Desired frames reach this session.
	DesiredChanges Feature = "desired changes"
	// Events is the way of Telemetry. Nobody opens it; Ready names it.
	Events Feature = "events"
)

// MaxBody is the largest body of a Frame that every transport carries. No hub
// takes as much: 32 KB of a section, with every character escaped, are less.
const MaxBody = 256 << 10

// A Frame is one message between device and hub, whatever the protocol. Only
// the fields that its Kind names are used. The others are zero.
type Frame struct {
	Kind Kind
	// Feature is what Open, Close and Ready are about. The room for GetTwin and
	// PatchReported, and for Open and Close of a feature of the twin, is that of
	// TwinResponses.
	Feature Feature
	// ID pairs an answer with the frame that it answers. The sender of Open,
	// Close, GetTwin and PatchReported chooses it, from the characters 0-9, A-Z, a-z and '-',
	// unique among those that wait for an answer.
	ID string
	// Status is the hub's, HTTP-like: 200, 204, 429, … Response only.
	Status int
	// RetryAfter is the pause that the service asks for, zero for none. Response
	// only.
	RetryAfter time.Duration
	// Version is the version of a section; 0 for none, for a hub's first is 1.
	// Desired: of the desired section after the change. Response to
	// PatchReported: of the reported section after it. PatchReported: the
	// version that the section must have, 0 for any.
	Version int64
	// Delivery is the number of a frame from the hub that waits to be settled,
	// counted from 1 in each Conn. It is 0 for a frame that wants no settling. In
	// Complete and Release it names the frame to settle.
	Delivery uint64
	// Message is what Telemetry brings. It is not kept.
	Message *Message
	// Again says that Message was sent before on another connection, and may have
	// arrived. Telemetry only.
	Again bool
	// Body is JSON, or empty.
	Body []byte
}

package transport

import (
	"strconv"
	"time"
)

// Kind says what a Frame is about.
type Kind uint8

// The kinds of frames. Out is from device to hub, in is from hub to device. A
// transport that does not have a kind returns ErrUnsupported from Send. No
// transport has Method and Incoming yet.
const (
	// Open asks the hub for a Feature. Out. The hub answers with Accepted, or
	// with a Response that has an error status, and its ID.
	Open Kind = iota + 1
	// Close gives a Feature back. Out. The hub answers as it answers Open.
	Close
	// Accepted says that the hub took the frame of that ID. In.
	Accepted
	// Request asks the hub to perform Op. Out. The hub answers with a Response.
	Request
	// Response answers the Request, or the refused Open or Close, of that ID. In.
	Response
	// Desired brings a change of the desired properties. In, unasked.
	Desired
	// Telemetry brings a Message to the hub. Out. It needs no Feature. The hub
	// answers with Accepted once it has the message, or with a Response that has
	// an error status, and its ID. Over MQTT a hub has no word for an error: it
	// ends the connection.
	Telemetry
	// Method brings a call of a direct method. In.
	Method
	// Incoming brings a message from the cloud, or from another module. In.
	Incoming
	// Settle gives the hub this side's word on a Delivery: its Outcome. Out,
	// without an answer.
	Settle
	// Ready says that the Feature has room for frames again. In. It follows a
	// Send that returned ErrBusy, once.
	Ready
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{
		Open: "open", Close: "close", Accepted: "accepted", Request: "request", Response: "response", Desired: "desired",
		Telemetry: "telemetry", Method: "method", Incoming: "incoming", Settle: "settle", Ready: "ready",
	}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Feature is a part of the hub that a session opens before it can be used.
type Feature uint8

// The features.
const (
	// TwinResponses lets answers to Requests reach this session. It must be
	// accepted before the first Request, or the answer is lost.
	TwinResponses Feature = iota + 1
	// DesiredChanges lets Desired frames reach this session.
	DesiredChanges
	// Events is the way of Telemetry. Nobody opens it; Ready names it.
	Events
)

// String names the feature.
func (f Feature) String() string {
	switch f {
	case TwinResponses:
		return "twin responses"
	case DesiredChanges:
		return "desired changes"
	case Events:
		return "telemetry"
	}
	return "feature " + strconv.Itoa(int(f))
}

// Op is what a Request asks for.
type Op uint8

// The operations.
const (
	// GetTwin asks for both halves of the twin; the Response's body is the
	// hub's document {"desired":{…,"$version":n},"reported":{…,"$version":m}}.
	GetTwin Op = iota + 1
	// PatchReported merges the body into the reported properties; the
	// Response's Version is the one after it.
	PatchReported
)

// Outcome is what a Settle says of a delivery.
type Outcome uint8

// The outcomes.
const (
	// Complete says that the delivery was taken. The hub forgets it.
	Complete Outcome = iota + 1
	// Release gives the delivery back. The hub delivers it again: over AMQP at
	// once, over MQTT when its lock ends or at the next connection.
	Release
	// Reject says that the delivery will never be taken. MQTT cannot say it.
	Reject
)

// MaxBody is the largest body of a Frame that every transport carries. No hub
// takes as much: 32 KB of a section, with every character escaped, are less.
const MaxBody = 256 << 10

// A Frame is one message between device and hub, whatever the protocol. Only
// the fields that its Kind names are used. The others are zero.
type Frame struct {
	Kind Kind
	// Feature is what Open, Close and Ready are about. The room for Requests, and
	// for Open and Close of a feature of the twin, is that of TwinResponses.
	Feature Feature
	Op      Op // Request
	// ID pairs an answer with the frame that it answers. The sender of Open,
	// Close and Request chooses it, from the characters 0-9, A-Z, a-z and '-',
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
	// Delivery is the number of a frame from the hub that waits for a Settle,
	// counted from 1 in each Conn. It is 0 for a frame that wants none. In a
	// Settle it names the frame to settle.
	Delivery uint64
	Outcome  Outcome // Settle
	// Message is what Telemetry brings. It is not kept.
	Message *Message
	// Again says that Message was sent before on another connection, and may have
	// arrived. Telemetry only.
	Again bool
	// Body is JSON, or empty.
	Body []byte
}

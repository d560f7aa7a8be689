package transport

import "strconv"

// Kind says what a Frame is about.
type Kind uint8

// The kinds of frames. Out is from device to hub, in is from hub to device.
const (
	// Open asks the hub for a Feature. Out; answered by Accepted with its ID,
	// or by a Response with its ID and an error status.
	Open Kind = iota + 1
	// Accepted says that the hub took the frame of that ID. In.
	Accepted
	// Request asks the hub to perform Op. Out; answered by a Response.
	Request
	// Response answers the Request, or the refused Open, of that ID. In.
	Response
	// Desired brings a change of the desired properties. In, unasked.
	Desired
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Open:
		return "open"
	case Accepted:
		return "accepted"
	case Request:
		return "request"
	case Response:
		return "response"
	case Desired:
		return "desired"
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
)

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

// A Frame is one message between device and hub, whatever the protocol. Only
// the fields that its Kind names are used; the others are zero.
type Frame struct {
	Kind    Kind
	Feature Feature // Open
	Op      Op      // Request
	// ID pairs an answer with what it answers: chosen by the sender of Open
	// and Request, from the characters 0-9, A-Z, a-z and '-', and unique among
	// those that wait for an answer.
	ID string
	// Status is the hub's, HTTP-like: 200, 204, 429, … Response only.
	Status int
	// Version is the version of a section; 0 for none, for a hub's first is 1.
	// Desired: of the desired section after the change. Response to
	// PatchReported: of the reported section after it. PatchReported: the
	// version that the section must have, 0 for any.
	Version int64
	// Body is JSON, or empty.
	Body []byte
}

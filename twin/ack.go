package twin

// The codes of an acknowledgement. They read like HTTP's, and others of that
// kind may be used.
const (
	AckOK      = 200 // the value is in effect
	AckPending = 202 // being worked on; another acknowledgement follows
	AckDefault = 203 // the device's own default, nothing is desired yet: Version 0
	AckBad     = 400 // the value makes no sense
	AckFailed  = 500 // the value made sense but could not be put into effect
)

// An Ack is the answer of IoT Plug and Play to a writable property, reported
// at the same path as the desired property that it answers:
//
//	twin.Replace("targetTemperature", twin.Ack{Value: 21.5, Code: twin.AckOK, Version: 3})
//
// becomes {"targetTemperature":{"value":21.5,"ac":200,"av":3}}. Set would leave
// the Description of the one before, and members of its Value. A listener has
// [Change.Ack].
type Ack struct {
	// Value is the value now in effect, which need not be the desired one.
	Value any `json:"value"`
	// Code is one of AckOK and its siblings.
	Code int `json:"ac"`
	// Version is the desired half's that is being answered.
	Version int64 `json:"av"`
	// Description is text for a person; empty for none.
	Description string `json:"ad,omitempty"`
}

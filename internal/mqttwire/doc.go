// Package mqttwire frames MQTT 3.1.1 packets, bounded and strictly, for both
// ends of a line: the device's transport and the hub in the box.
//
// The packets themselves are those of paho's codec. That codec trusts its
// peer: it allocates what a length announces, fills with zero bytes what a
// text lacks, cuts what is too long, and lets reserved bits pass. Here every
// length and every flag is checked before it sees a byte.
package mqttwire

import "errors"

var (
	// ErrMalformed says that a packet breaks MQTT 3.1.1.
	ErrMalformed = errors.New("malformed MQTT packet")
	// ErrTooLarge says that a packet, or a text in it, is over its limit.
	ErrTooLarge = errors.New("MQTT packet too large")
)

const (
	// maxText is the longest text or byte field: its length has two bytes.
	maxText = 1<<16 - 1
	// maxRemaining is the longest packet behind its fixed header: four bytes
	// of seven bits (MQTT 3.1.1, table 2.4).
	maxRemaining = 1<<28 - 1
)

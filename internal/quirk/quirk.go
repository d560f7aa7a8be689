// Package quirk holds the ways of particular IoT hubs that tests of this module ask
// the hub of device/hubtest to have. Users cannot ask for them.
package quirk

import "time"

// A Set says which quirks a hub has. The zero Set has none.
type Set struct {
	// Merge says what becomes of nulls inside an object that was not there before.
	Merge MergeRule
	// RewriteNumbers makes the hub write numbers as another JSON library would:
	// 1.10 becomes 1.1, and 1e21 becomes 1E+21. Otherwise they keep their text.
	RewriteNumbers bool
	// OmitNextIncomingID leaves a field that AMQP requires out of every FLOW frame,
	// as some gateways of IoT Hub do.
	OmitNextIncomingID bool
	// SuspendLinks ends AMQP links with a DETACH that does not close them, as newer
	// gateways of IoT Hub do. Otherwise closed is true.
	SuspendLinks bool
	// NoTwinLinks refuses AMQP's links for the twin with amqp:not-allowed, once it is
	// judged who wants them: a guess at what a hub of the basic tier does.
	NoTwinLinks bool
	// ConnectionTokens is the number of devices that one AMQP connection carries.
	// If zero, it is 999, as with IoT Hub. One more is refused with code 403005.
	ConnectionTokens int
	// TokenGrace is the time between the end of a token and that of its connection.
	// Real hubs have been seen to wait up to ten minutes.
	TokenGrace time.Duration
	// DisableDeviceSAS and DisableModuleSAS refuse the tokens that a device, or a
	// module, signs with a key of its own. Those of policies are still good.
	DisableDeviceSAS, DisableModuleSAS bool
	// StrictThumbprints refuses a certificate that is known by its thumbprint and
	// has ended, or not begun, by the hub's clock. Otherwise its times are ignored.
	StrictThumbprints bool
}

// A MergeRule is one of the ways in which hubs have been seen to merge a patch.
type MergeRule uint8

// The merge rules. They differ only in nulls that delete nothing.
const (
	// MergeRFC7396 drops such nulls: {} and {"a":{"b":null}} make {"a":{}}.
	MergeRFC7396 MergeRule = iota
	// MergeKeepNulls stores such an object as it is, nulls included, as Azure IoT
	// Edge does.
	MergeKeepNulls
	// MergeEmpties empties an object in which a patch deletes what isn't there,
	// before it merges the rest: {"a":{"b":1}} and {"a":{"c":null}} make {"a":{}}.
	// Azure's own hub was seen to do so in 2020.
	MergeEmpties
)

// Package hubproto is the hub's grammar as literals, shared by the device's
// transports and by the hub in the box. It holds words, no behaviour: each
// side parses and builds with code of its own, so that a mistake on one side
// shows on the other.
package hubproto

import "time"

// APIVersion is what a device announces in its user name.
const APIVersion = "2021-04-12"

// Product is the user agent that a device announces unless it is given another;
// what runs it is added in parentheses.
const Product = "devicetwin-go"

// PortMQTT is the port of MQTT over TLS.
const PortMQTT = 8883

// MaxKeepAlive is the longest keep-alive that a hub honours: it drops a client
// that is silent for 1.5 times its keep-alive, and 1767 s at most.
const MaxKeepAlive = 1177 * time.Second

// MaxPacket bounds an MQTT packet that either side reads. A hub's largest is
// 256 KB; a twin's two halves of 32 KB, escaped at their worst, stay below.
const MaxPacket = 1 << 20

// Topics of the twin. A filter ends in '#', a prefix in '/'; requests and
// answers carry their parameters behind '?', in any order.
const (
	FilterTwinResponses = "$iothub/twin/res/#"
	FilterDesired       = "$iothub/twin/PATCH/properties/desired/#"

	PrefixTwinResponse  = "$iothub/twin/res/"
	PrefixDesired       = "$iothub/twin/PATCH/properties/desired/"
	PrefixGetTwin       = "$iothub/twin/GET/"
	PrefixPatchReported = "$iothub/twin/PATCH/properties/reported/"

	ParamRequestID = "$rid"
	ParamVersion   = "$version"
)

// RetryAfter asks a client for a pause of whole seconds: a topic parameter over
// MQTT, an application property over AMQP. Both are the words of the Device
// Provisioning Service. No document promises them of a hub.
const RetryAfter = "retry-after"

// Parameters of the user name.
const (
	ParamAPIVersion = "api-version"
	ParamClientType = "DeviceClientType"
	ParamModelID    = "model-id"
)

// Topics of other features. FilterMethods is whole. The others follow
// PrefixDevices, the device's id and a slash, for a module also InfixModules, its
// id and a slash.
const (
	FilterMethods     = "$iothub/methods/POST/#"
	FilterDevicebound = "messages/devicebound/#"
	FilterInputs      = "inputs/#"

	SuffixEvents = "messages/events/"

	PrefixDevices = "devices/"
	InfixModules  = "modules/"
)

// The hub's names in the property bag of a message's topic.
const (
	BagID              = "$.mid"
	BagCorrelationID   = "$.cid"
	BagContentType     = "$.ct"
	BagContentEncoding = "$.ce"
	BagComponent       = "$.sub"
	BagOutput          = "$.on"
)

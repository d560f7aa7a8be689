package hubtest

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
)

// DefaultHost is the hub's name unless Options says otherwise.
const DefaultHost = "hub.devicetwin.test"

// Options shape a hub; nil means all defaults.
type Options struct {
	// Host is the hub's full name, which devices use in their user name and
	// tokens; empty means DefaultHost.
	Host string
	// Now is the hub's wall clock: tokens and certificates are judged by it,
	// and metadata is stamped with it. Nil means time.Now. Silences on the
	// line are measured by time.Now's elapsed time, whatever this says.
	Now func() time.Time
	// CA signs the hub's certificate, and is what clients trust. Nil means one
	// that is made when first needed. With LoadCA it outlives the process.
	CA *CA
	// DeviceCA is the root of Hub.DeviceCA, likewise.
	DeviceCA *CA
	// TokenGrace is how long after its token's end a connection is cut; 0 cuts
	// at the end. Real hubs have been seen to wait up to ten minutes.
	TokenGrace time.Duration
	// DisableDeviceSAS and DisableModuleSAS refuse the tokens that a device, or a
	// module, signs with a key of its own; those of policies are good still.
	DisableDeviceSAS, DisableModuleSAS bool
	// StrictThumbprints refuses a certificate that is known by its thumbprint
	// and has ended, or not begun, by Now. Otherwise its times do not matter.
	StrictThumbprints bool
	// Logger hears what the hub does and why it refuses. Nil means that a hub
	// of Start is silent, and that one of New writes to its test's log.
	Logger *slog.Logger
	// RewriteNumbers makes the hub write numbers as another JSON library
	// would: 1.10 becomes 1.1, and 1e21 becomes 1E+21. Otherwise they keep
	// their text.
	RewriteNumbers bool
	// OmitNextIncomingID leaves a field that AMQP asks for out of every FLOW
	// frame, as some gateways of IoT Hub do.
	OmitNextIncomingID bool
	// SuspendLinks ends AMQP links with a DETACH that does not close them, as
	// newer gateways of IoT Hub do. Otherwise closed is true.
	SuspendLinks bool
	// ConnectionTokens is how many devices one AMQP connection carries; 0 means
	// 999, as with IoT Hub. One more is refused with code 403005.
	ConnectionTokens int
	// KeptMessages and KeptBytes bound what Device.Messages yields of the past:
	// so many messages, of about so many bytes in all, of each device or module.
	// 0 means 10,000 and 8 MB. The oldest go.
	KeptMessages, KeptBytes int
	// MergeRule says what becomes of nulls inside an object that was not there
	// before; the zero value is RFC 7396.
	MergeRule MergeRule
}

// MergeRule is one of the ways in which hubs have been seen to merge a patch.
type MergeRule uint8

// The merge rules. They differ only in nulls that delete nothing.
const (
	// MergeRFC7396 drops such nulls: {} and {"a":{"b":null}} make {"a":{}}.
	MergeRFC7396 MergeRule = iota
	// MergeKeepNulls stores such an object as it is, nulls included, as Azure
	// IoT Edge does.
	MergeKeepNulls
	// MergeEmpties empties an object in which a patch deletes what isn't there,
	// before it merges the rest: {"a":{"b":1}} and {"a":{"c":null}} make
	// {"a":{}}. Azure's own hub was seen to do so in 2020.
	MergeEmpties
)

// rules are those of the hub's twins.
func (o *Options) rules() section.Rules {
	r := section.Rules{RewriteNumbers: o.RewriteNumbers}
	switch o.MergeRule {
	case MergeKeepNulls:
		r.Merge = section.KeepNulls
	case MergeEmpties:
		r.Merge = section.Empties
	}
	return r
}

// fill copies the options and completes them.
func (o *Options) fill() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Host == "" {
		out.Host = DefaultHost
	}
	if err := (auth.Identity{Host: out.Host, DeviceID: "any"}).Validate(); err != nil {
		return out, fmt.Errorf("hubtest: Options.Host: %w", err)
	}
	if out.TokenGrace < 0 {
		return out, fmt.Errorf("hubtest: Options.TokenGrace is %v; it is not negative", out.TokenGrace)
	}
	if out.ConnectionTokens < 0 {
		return out, fmt.Errorf("hubtest: Options.ConnectionTokens is %d; it is not negative", out.ConnectionTokens)
	}
	if out.ConnectionTokens == 0 {
		out.ConnectionTokens = 999
	}
	if out.KeptMessages < 0 || out.KeptBytes < 0 {
		return out, fmt.Errorf("hubtest: Options.KeptMessages is %d, KeptBytes %d; neither is negative", out.KeptMessages, out.KeptBytes)
	}
	out.KeptMessages, out.KeptBytes = cmp.Or(out.KeptMessages, defaultKept), cmp.Or(out.KeptBytes, defaultKeptBytes)
	if out.MergeRule > MergeEmpties {
		return out, fmt.Errorf("hubtest: Options.MergeRule is %d; known are 0 to 2", out.MergeRule)
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out, nil
}

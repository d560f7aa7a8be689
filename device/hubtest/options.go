package hubtest

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
)

// defaultHost is the hub's name unless Options says otherwise.
const defaultHost = "hub.devicetwin.test"

// Options shape a hub; nil means all defaults.
type Options struct {
	// Host is the hub's full name, which devices use in their user name and
	// tokens; empty means "hub.devicetwin.test".
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
	// Logger hears what the hub does and why it refuses. Nil means that a hub
	// of Start is silent, and that one of New writes to its test's log.
	Logger *slog.Logger
	// KeptMessages and KeptBytes bound what Device.Messages yields of the past:
	// so many messages, of about so many bytes in all, of each device or module.
	// 0 means 10,000 and 8 MB. The oldest go.
	KeptMessages, KeptBytes int

	quirks quirk.Set
}

// With returns options for a hub with quirks, for tests of this module: a user
// cannot make a quirk.Set.
func (o Options) With(q quirk.Set) *Options {
	o.quirks = q
	return &o
}

// rules are those of the hub's twins.
func (o *Options) rules() section.Rules {
	r := section.Rules{RewriteNumbers: o.quirks.RewriteNumbers}
	switch o.quirks.Merge {
	case quirk.MergeKeepNulls:
		r.Merge = section.KeepNulls
	case quirk.MergeEmpties:
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
		out.Host = defaultHost
	}
	if err := (auth.Identity{Host: out.Host, DeviceID: "any"}).Validate(); err != nil {
		return out, fmt.Errorf("hubtest: Options.Host: %w", err)
	}
	if out.KeptMessages < 0 || out.KeptBytes < 0 {
		return out, fmt.Errorf("hubtest: Options.KeptMessages is %d, KeptBytes %d; neither is negative", out.KeptMessages, out.KeptBytes)
	}
	out.KeptMessages, out.KeptBytes = cmp.Or(out.KeptMessages, defaultKept), cmp.Or(out.KeptBytes, defaultKeptBytes)
	q := &out.quirks
	switch {
	case q.TokenGrace < 0:
		return out, fmt.Errorf("hubtest: quirk TokenGrace is %v; it is not negative", q.TokenGrace)
	case q.ConnectionTokens < 0:
		return out, fmt.Errorf("hubtest: quirk ConnectionTokens is %d; it is not negative", q.ConnectionTokens)
	case q.Merge > quirk.MergeEmpties:
		return out, fmt.Errorf("hubtest: quirk Merge is %d; known are 0 to 2", q.Merge)
	case q.ConnectionTokens == 0:
		q.ConnectionTokens = 999
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out, nil
}

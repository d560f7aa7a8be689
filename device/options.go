package device

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/boottime"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The defaults of Options.
const (
	defaultKeepAlive      = 240 * time.Second
	defaultRequestTimeout = 30 * time.Second
	defaultCallTimeout    = 4 * time.Minute
	defaultResync         = 6 * time.Hour
)

// maxKeepAlive is the hub's: it drops a client that is silent for 1.5 times
// its keep-alive, and 1767 s at most.
const maxKeepAlive = 1177 * time.Second

// Options shape a client; nil means all defaults. New copies them.
type Options struct {
	// ModelID is the Plug and Play model to announce, a DTMI such as
	// "dtmi:com:example:Thermostat;1"; empty means none.
	ModelID string
	// Product is the user agent that the hub's logs show, such as
	// "pump-firmware/2.1", in place of this library's; empty means this
	// library's name. At most 512 bytes, without control characters.
	Product string
	// KeepAlive is the longest silence on the line before the hub is asked for
	// a sign of life; a dead line is noticed within KeepAlive + 10 s, idle or
	// not. 0 means 240 s; from 1 s to 1177 s, the hub's limit.
	// Shorten it where a mobile operator forgets idle connections sooner.
	KeepAlive time.Duration
	// RequestTimeout bounds the wait for the hub's answer to one request, on
	// a line that is up. What was asked is then asked again, after a GET has
	// told what became of it. 0 means 30 s;
	// from 1 s on.
	RequestTimeout time.Duration
	// CallTimeout bounds GetTwin, UpdateReported, UpdateReportedIf and
	// ReportLater where their context has no deadline, so that nothing hangs
	// for ever. Connect and Run wait for the line as long as their context
	// lets them. 0 means 4 minutes, and a negative value means no bound;
	// from 100 ms on.
	CallTimeout time.Duration
	// Resync makes a GET when neither a GET nor a change came for that long,
	// give or take a quarter, to find desired changes that got lost on a line
	// that stayed up: the hub sends them with QoS 0. 0 means 6 hours, a
	// negative value never, else at least a minute. A GET costs two messages of
	// the size of the twin, which hubs bill in units of 4 KB (0.5 KB in the free
	// tier): with a twin of up to 4 KB, the default is 4 billed reads a day.
	Resync time.Duration
	// Logger is told of states, failures and listeners' errors, and never of a
	// secret. Nil means silence. Of warnings and errors with the same message, 20
	// a minute are logged, and the next one says how many were left out.
	Logger *slog.Logger
	// OnState, if not nil, is called with each new state, Closed included, in
	// order, one at a time, on a goroutine of its own and with no lock held. It may
	// call any method of the client except Close, Shutdown and Run. If OnState is
	// slow, only the 32 most recent states are queued.
	OnState func(State)
	// OnListenerError, if not nil, is called with each error of a listener, and
	// with each panic (*PanicError), before the listener's next call, and where
	// an acknowledgement cannot be made. It holds other listeners up as the
	// listener itself does.
	OnListenerError func(c twin.Change, err error)
	// Store, if not nil, keeps what was reported, what durable listeners heard,
	// and the desired properties over a restart and a power cut. See
	// device/store. The client claims it when it starts, which is in Connect, Run
	// or the first ReportLater, and gives it back in Close, for the next client.
	// A nil *store.Store is like nil. Close the store after the client.
	Store Store
	// Telemetry shapes Send and SendLater; the zero value is ready.
	Telemetry TelemetryOptions
	// Now is the wall clock that tokens and certificates are judged by; nil
	// means time.Now.
	Now func() time.Time
	// Elapsed is the clock of everything else, from any start. Nil means the
	// monotonic clock, which on Linux counts while the board is suspended, so
	// that what fell due in its sleep is done when it wakes.
	Elapsed func() time.Duration
}

// withDefaults is a copy with the zeros filled in.
func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	fill := func(d *time.Duration, by time.Duration) {
		if *d == 0 {
			*d = by
		}
	}
	fill(&out.KeepAlive, defaultKeepAlive)
	fill(&out.RequestTimeout, defaultRequestTimeout)
	fill(&out.CallTimeout, defaultCallTimeout)
	fill(&out.Resync, defaultResync)
	if out.Telemetry.QueueBytes == 0 {
		out.Telemetry.QueueBytes = defaultQueueBytes
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Elapsed == nil {
		out.Elapsed = boottime.NewClock()
	}
	return out
}

// The shortest time-outs that make sense: of less than a round trip nothing
// comes.
const (
	minRequestTimeout = time.Second
	minCallTimeout    = 100 * time.Millisecond
)

// maxProduct bounds Product, in bytes, and maxModelID ModelID: a DTMI has 2048
// characters at most.
const (
	maxProduct = 512
	maxModelID = 2048
)

// check says what is wrong with the options; it matches auth.ErrInvalid, like
// all local configuration.
func (o *Options) check() error {
	switch {
	case o.ModelID != "" && !isDTMI(o.ModelID):
		return invalid("ModelID", o.ModelID, "want a DTMI, such as dtmi:com:example:Thermostat;1")
	case len(o.Product) > maxProduct || !utf8.ValidString(o.Product) || strings.ContainsFunc(o.Product, unicode.IsControl):
		return invalid("Product", o.Product, fmt.Sprintf("want UTF-8 of up to %d bytes, without control characters", maxProduct))
	case o.KeepAlive < time.Second || o.KeepAlive > maxKeepAlive:
		return invalid("KeepAlive", o.KeepAlive, fmt.Sprintf("want from 1s to %v, or 0 for %v", maxKeepAlive, defaultKeepAlive))
	case o.RequestTimeout < minRequestTimeout:
		return invalid("RequestTimeout", o.RequestTimeout, fmt.Sprintf("want at least %v, or 0 for %v", minRequestTimeout, defaultRequestTimeout))
	case o.CallTimeout >= 0 && o.CallTimeout < minCallTimeout:
		return invalid("CallTimeout", o.CallTimeout, fmt.Sprintf("want at least %v, 0 for %v, or negative for no bound", minCallTimeout, defaultCallTimeout))
	case o.Telemetry.check() != nil:
		return o.Telemetry.check()
	case o.Resync >= 0 && o.Resync < time.Minute:
		return invalid("Resync", o.Resync, fmt.Sprintf("want at least %v, 0 for %v, or negative for never", time.Minute, defaultResync))
	}
	return nil
}

// invalid is the error of an option.
func invalid(field string, value any, want string) error {
	if s, ok := value.(string); ok {
		value = fmt.Sprintf("%.64q", s)
	}
	return fmt.Errorf("device: %w: Options.%s is %v; %s", errtext.Bare("auth", auth.ErrInvalid), field, value, want)
}

// isDTMI reports whether s is a Digital Twin Model Identifier, by the wider rule of
// DTDL 3: segments of letters, digits and underscores, which begin with no digit
// and end in no underscore, and perhaps a version such as 1 or 1.2.
func isDTMI(s string) bool {
	path, version, versioned := strings.Cut(s, ";")
	segments, ok := strings.CutPrefix(path, "dtmi:")
	if !ok || len(s) > maxModelID {
		return false
	}
	for segment := range strings.SplitSeq(segments, ":") {
		if segment == "" || isDigit(rune(segment[0])) || strings.HasSuffix(segment, "_") ||
			strings.ContainsFunc(segment, func(r rune) bool { return !isLetter(r) && !isDigit(r) && r != '_' }) {
			return false
		}
	}
	major, minor, fraction := strings.Cut(version, ".")
	return !versioned || isVersion(major, 9) && (!fraction || isVersion(minor, 6))
}

// isVersion reports whether s is a number from 1 on of up to so many digits.
func isVersion(s string, digits int) bool {
	return s != "" && len(s) <= digits && s[0] != '0' && !strings.ContainsFunc(s, func(r rune) bool { return !isDigit(r) })
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

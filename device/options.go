package device

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/boottime"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The defaults of Options.
const (
	DefaultKeepAlive      = 240 * time.Second
	DefaultRequestTimeout = 30 * time.Second
	DefaultCallTimeout    = 4 * time.Minute
	DefaultResync         = 6 * time.Hour
)

// maxKeepAlive is the hub's: it drops a client that is silent for 1.5 times
// its keep-alive, and 1767 s at most.
const maxKeepAlive = 1177 * time.Second

// Options shape a client; nil means all defaults. New copies them.
type Options struct {
	// ModelID is the Plug and Play model to announce, such as
	// "dtmi:com:example:Thermostat;1"; empty means none.
	ModelID string
	// Product is the user agent that the hub's logs show, such as
	// "pump-firmware/2.1", in place of this library's; empty means this
	// library's name.
	Product string
	// KeepAlive is the longest silence on the line before the hub is asked for
	// a sign of life; a dead line is noticed within KeepAlive + 10 s, idle or
	// not. 0 means DefaultKeepAlive; from 1 s to 1177 s, the hub's limit.
	// Shorten it where a mobile operator forgets idle connections sooner.
	KeepAlive time.Duration
	// RequestTimeout bounds the wait for the hub's answer to one request, on
	// a line that is up. What was asked is then asked again, after a GET has
	// told what became of it. 0 means DefaultRequestTimeout.
	RequestTimeout time.Duration
	// CallTimeout bounds GetTwin, UpdateReported, UpdateReportedIf and
	// ReportLater where their context has no deadline, so that nothing hangs
	// for ever. Connect and Run wait for the line as long as their context
	// lets them. 0 means DefaultCallTimeout; a negative value means no bound.
	CallTimeout time.Duration
	// Resync makes a GET when neither a GET nor a change came for that long,
	// give or take a quarter, to find desired changes that got lost on a line
	// that stayed up: the hub sends them with QoS 0. 0 means DefaultResync, a
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
	fill(&out.KeepAlive, DefaultKeepAlive)
	fill(&out.RequestTimeout, DefaultRequestTimeout)
	fill(&out.CallTimeout, DefaultCallTimeout)
	fill(&out.Resync, DefaultResync)
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

// check says what is wrong with the options; it matches auth.ErrInvalid, like
// all local configuration.
func (o *Options) check() error {
	if o.KeepAlive < time.Second || o.KeepAlive > maxKeepAlive {
		return fmt.Errorf("%w: Options.KeepAlive is %v; from 1s to %v", auth.ErrInvalid, o.KeepAlive, maxKeepAlive)
	}
	if o.Resync > 0 && o.Resync < time.Minute {
		return fmt.Errorf("%w: Options.Resync is %v; at least a minute, 0 for the default, or negative for never", auth.ErrInvalid, o.Resync)
	}
	if o.RequestTimeout < 0 {
		return fmt.Errorf("%w: Options.RequestTimeout is %v; it must be positive, or 0 for the default", auth.ErrInvalid, o.RequestTimeout)
	}
	return nil
}

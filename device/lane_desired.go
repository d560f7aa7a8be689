package device

import (
	"math/rand/v2"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// notified takes a change of the desired properties. One that can't be read is
// as good as lost.
func (l *twinLane) notified(f transport.Frame) {
	c := l.s.c
	patch, version, err := twin.ParseNotification(tree.Key{}, f.Body)
	if f.Version != 0 {
		version = f.Version // the topic's. Bodies of old hubs lack it
	}
	if err != nil {
		c.log.Warn("desired change cannot be read; getting the twin", "cause", err)
	}
	var outcome catchup.Outcome
	c.with(func() {
		if err != nil {
			outcome = c.desired.Lost()
		} else {
			outcome = c.desired.Notify(patch, version)
		}
		c.stats.PatchesIn++
		c.stats.BytesIn += int64(len(f.Body))
	})
	switch outcome {
	case catchup.Gap:
		l.oweGet(twin.CauseGap)
	case catchup.Applied:
		if l.resync != never {
			l.resync = c.nextResync(l.s.now())
		}
	}
	poke(c.turn) // a gap may have been applied, too
}

// nextResync is when a GET is due that nothing else asks for.
func (c *Client) nextResync(now time.Duration) time.Duration {
	d := c.opts.Resync
	if d < 0 {
		return never
	}
	return now + d - d/4 + rand.N(d/2+1)
}

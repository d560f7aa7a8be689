package mqtt

import (
	"context"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// keep is the keeper: it writes the PUBACKs that Settle queued, and it asks the hub for a sign of life whenever nothing was
// sent [MQTT-3.1.2-23] or nothing was received for the keep-alive. Both, since
// a device that publishes steadily would else never ask, and so never notice a
// line that is dead.
//
// It wakes up when the line may have been idle that long, and at no other time.
// That no sign of life came is noticed where it would come, in ear.
func (c *conn) keep() {
	defer close(c.kept)
	var asked int64
	timer := time.NewTimer(c.keepAlive)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.owed:
			if c.write(context.Background(), nil, c.takeAcks) != nil {
				return // as below
			}
			continue
		case <-c.fate.Closing():
			return
		case <-c.fate.Dead():
			return
		}
		if c.due(asked) <= 0 {
			if c.write(context.Background(), []byte{packets.Pingreq << 4, 0}, nil) != nil {
				return // write has ended the connection, or Close has
			}
			asked = c.now()
		}
		timer.Reset(c.due(asked))
	}
}

// due is the time until the next question, the last one having been asked then:
// as long as it is not answered there is no point in another.
func (c *conn) due(asked int64) time.Duration {
	idle := max(asked, min(c.sent.Load(), c.heard.Load()))
	return c.keepAlive - time.Duration(c.now()-idle)
}

package hubtest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
)

// itemCost is what an item costs beside its body.
const itemCost = 256

var errQueueFull = errors.New("client does not read what it is sent")

// outgoing is one message on its way to the device.
type outgoing struct {
	msg      Message
	packetID uint16 // of the packet that is answered, or of the Devicebound
	qos      byte   // Devicebound
	again    bool   // Devicebound: DUP
	codes    []byte // SUBACK
	present  bool   // CONNACK: session present
	final    bool   // the connection ends after it
	asIs     bool   // Intercept has had it
	pause    int    // seconds for which the device is asked to wait, or 0 for none

	by *amqpOutgoing // nil over MQTT
}

// queue is what waits to be written. Nothing ever waits to put something in.
type queue struct {
	wake chan struct{} // capacity 1: there is something to look at

	mu    sync.Mutex
	items []outgoing
	bytes int
	full  bool // and stays so: the connection is ending
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1)} }

// push hands a message to the writer. The caller holds hub.mu of a hub that is
// not closed, or is a goroutine of the hub.
func (c *conn) push(item outgoing) {
	q := &c.out
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full {
		return
	}
	if q.bytes += item.cost(); q.bytes > maxQueue {
		q.full = true
		// The writer may be stuck, and closing is nothing to do under a lock.
		c.unread.Store(true)
		c.hub.wg.Go(func() { c.close(errQueueFull.Error()) })
		return
	}
	q.items = append(q.items, item)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (o outgoing) cost() int { return itemCost + len(o.msg.Body) }

// take waits for the next message; false when the connection has ended.
func (q *queue) take(done <-chan struct{}) (outgoing, bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			item := q.items[0]
			q.items[0] = outgoing{} // let its body go
			q.items = q.items[1:]
			q.bytes -= item.cost()
			q.mu.Unlock()
			return item, true
		}
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-done:
			return outgoing{}, false
		}
	}
}

// writeAll writes until the connection ends.
func (c *conn) writeAll() {
	for {
		item, ok := c.out.take(c.done)
		if !ok {
			return
		}
		if err := c.deliver(item); err != nil && !c.spare(item, err) {
			c.close(err.Error())
			return
		}
	}
}

// deliver lets a message pass Intercept, then writes it. An error ends the
// connection.
func (c *conn) deliver(item outgoing) error {
	if !c.passGate() {
		return errEnded
	}
	act := Pass()
	if !item.asIs {
		act = c.hub.intercept(item.msg)
	}
	switch act.kind {
	case actDrop:
		return item.end()
	case actDelay, actLate:
		item.asIs = true
		c.hub.after(act.delay, c.done, func() { c.push(item) })
		return nil
	case actCut:
		return errCut
	case actFreeze:
		c.freeze()
		c.passGate()
		return errEnded
	case actAnswer:
		item = c.hub.replace(item, act)
	case actDuplicate:
		if err := c.write(item); err != nil {
			return err
		}
	}
	if err := c.write(item); err != nil {
		return err
	}
	if act.kind == actCutAfter {
		return errCut
	}
	return item.end()
}

func (o outgoing) end() error {
	if o.final {
		return errRefused
	}
	return nil
}

// write writes one message.
func (c *conn) write(item outgoing) error {
	if item.by != nil {
		return c.amqp.write(item)
	}
	c.trace(item.msg)
	p, err := item.packet()
	if err != nil {
		return err
	}
	b, err := mqttwire.Encode(p)
	if err != nil {
		return err
	}
	if err := c.stream.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err = c.stream.Write(b)
	return c.wrote(err)
}

// packet is the message as MQTT says it. Everything that is published is sent
// with QoS 0, whatever was granted, as real hubs do, except for messages from the
// cloud.
func (o outgoing) packet() (packets.ControlPacket, error) {
	switch o.msg.Op {
	case Connect:
		p := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
		p.ReturnCode, p.SessionPresent = byte(o.msg.Status), o.present
		return p, nil
	case Subscribe:
		p := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		p.MessageID, p.ReturnCodes = o.packetID, o.codes
		return p, nil
	case Unsubscribe:
		p := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
		p.MessageID = o.packetID
		return p, nil
	case Ack:
		p := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		p.MessageID = o.packetID
		return p, nil
	case Ping:
		return packets.NewControlPacket(packets.Pingresp), nil
	case GetTwin, PatchReported, Desired, Method, Devicebound:
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload = o.topic(), o.msg.Body
		p.Qos, p.Dup, p.MessageID = o.qos, o.again, o.packetID
		return p, nil
	}
	return nil, fmt.Errorf("no packet for %v", o.msg.Op)
}

// topic is where a message is published.
func (o outgoing) topic() string {
	switch o.msg.Op {
	case Devicebound:
		return o.msg.Topics[0]
	case Method:
		return prefixMethod + o.msg.Method + "/?" + hubproto.ParamRequestID + "=" + o.msg.RequestID
	}
	version := hubproto.ParamVersion + "=" + strconv.FormatInt(o.msg.Version, 10)
	if o.msg.Op == Desired {
		return hubproto.PrefixDesired + "?" + version
	}
	t := hubproto.PrefixTwinResponse + strconv.Itoa(o.msg.Status) + "/?" + hubproto.ParamRequestID + "=" + o.msg.RequestID
	if o.msg.Version != 0 {
		t += "&" + version
	}
	if o.pause > 0 {
		t += "&" + hubproto.RetryAfter + "=" + strconv.Itoa(o.pause)
	}
	return t
}

package hubtest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/transport"
)

const devicebound1 = "devices/dev1/messages/devicebound/"

func sendMessage(t *testing.T, h *Hub, id, body string) {
	t.Helper()
	if err := h.Device(id).SendMessage([]byte(body)); err != nil {
		t.Fatalf("SendMessage(%s): %v", id, err)
	}
}

// TestDevicebound delivers messages from the cloud until they are acknowledged.
func TestDevicebound(t *testing.T) { bubble(t, testDevicebound) }
func testDevicebound(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	sendMessage(t, h, "dev1", "first")
	c := login(t, h, d)
	c.play(`
		< silence
		> SUBSCRIBE 1 [devices/dev1/messages/devicebound/# Q1]
		< SUBACK 1 [1]
		< PUBLISH Q1 1 ` + devicebound1 + ` first`)
	sendMessage(t, h, "dev1", "second")
	c.play(`
		< PUBLISH Q1 2 ` + devicebound1 + ` second
		> PUBACK 1
		> PUBACK 9`)
	// What is not acknowledged comes again after a minute, and no sooner.
	if got := c.receiveIn(messageLock - time.Second); got != "silence" {
		t.Errorf("within the lock: got %s", got)
	}
	if got := c.receiveIn(2 * time.Second); got != "PUBLISH Q1 dup 2 "+devicebound1+" second" {
		t.Errorf("after the lock: got %s", got)
	}
	// At the next login of a session that is not clean the subscription is there.
	c = login(t, h, d)
	c.play(`
		< PUBLISH Q1 dup 2 ` + devicebound1 + ` second
		> UNSUBSCRIBE 2 [devices/dev1/messages/devicebound/#]
		< UNSUBACK 2`)
	if got := c.receiveIn(3 * messageLock); got != "silence" {
		t.Errorf("after UNSUBSCRIBE: got %s", got)
	}
	c = login(t, h, d)
	c.play(`
		< silence
		> SUBSCRIBE 3 [devices/+/messages/devicebound/# Q1]
		< SUBACK 3 [1]
		< PUBLISH Q1 dup 2 ` + devicebound1 + ` second
		> PUBACK 2`)
	if got := c.receiveIn(3 * messageLock); got != "silence" {
		t.Errorf("after PUBACK: got %s", got)
	}
}

// TestDeviceboundIsDropped by a subscription of QoS 0, which completes what is
// sent, and by a clean session.
func TestDeviceboundIsDropped(t *testing.T) { bubble(t, testDeviceboundIsDropped) }
func testDeviceboundIsDropped(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	c.play(`
		> SUBSCRIBE 1 [devices/dev1/messages/devicebound/# Q0]
		< SUBACK 1 [0]`)
	sendMessage(t, h, "dev1", "a")
	c.play(`< PUBLISH Q0 ` + devicebound1 + ` a`)
	c = login(t, h, d)
	c.play("< silence\n> DISCONNECT\n< close")

	sendMessage(t, h, "dev1", "b")
	p := hello(t, h, d)
	p.clean = true
	c = open(t, h)
	c.send(p.bytes())
	c.play(`
		< CONNACK sp=0 rc=0
		> SUBSCRIBE 1 [devices/dev1/messages/devicebound/# Q1]
		< SUBACK 1 [1]
		< silence`)
}

func TestDeviceboundOfAModule(t *testing.T) { bubble(t, testDeviceboundOfAModule) }
func testDeviceboundOfAModule(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	m, err := h.AddDevice("dev1/m1")
	if err != nil {
		t.Fatal(err)
	}
	for _, filter := range []string{"devices/dev1/modules/m1/messages/devicebound/#", "devices/dev1/modules/m1/#"} {
		c := login(t, h, m)
		c.play("> SUBSCRIBE 1 [" + filter + " Q1]\n< SUBACK 1 [1]")
		sendMessage(t, h, "dev1/m1", "x")
		c.play("< PUBLISH Q1 … devices/dev1/modules/m1/messages/devicebound/ x\n> UNSUBSCRIBE 2 [" + filter + "]\n< UNSUBACK 2")
		p := hello(t, h, m)
		p.clean = true
		c = open(t, h)
		c.send(p.bytes())
		c.play("< CONNACK sp=0 rc=0\n> DISCONNECT\n< close")
	}
	c := login(t, h, m)
	c.play("> SUBSCRIBE 1 [devices/+/messages/devicebound/# Q1]\n< close")
}

func TestSendMessageRefuses(t *testing.T) { bubble(t, testSendMessageRefuses) }
func testSendMessageRefuses(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	code := func(err error) int {
		var status *transport.StatusError
		if errors.As(err, &status) {
			return status.Code
		}
		return 0
	}
	if err := h.Device("nobody").SendMessage(nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("to an unknown device: got %v", err)
	}
	if err := h.Device("dev1").SendMessage(bytes.Repeat([]byte("x"), maxDevicebound+1)); code(err) != fault.TooLarge {
		t.Errorf("of more than 64 KB: got %v", err)
	}
	for range maxPending {
		sendMessage(t, h, "dev1", "x")
	}
	if err := h.Device("dev1").SendMessage(nil); code(err) != fault.QueueDepth {
		t.Errorf("over the bound: got %v", err)
	}
}

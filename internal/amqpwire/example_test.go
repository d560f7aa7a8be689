package amqpwire_test

import (
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// A hub feeds what it reads, answers the events, and writes the output. Here a
// client opens a connection, and the hub closes it.
func ExampleConn() {
	now := time.Now()
	c := amqpwire.NewConn(now, nil)
	c.Feed(now, []byte("AMQP\x00\x01\x00\x00"+
		"\x00\x00\x00\x12\x02\x00\x00\x00"+ // a frame of 18 bytes
		"\x00\x53\x10\xc0\x05\x01\xa1\x02d1")) // OPEN by the container d1
	for ev := c.Next(); ev != nil; ev = c.Next() {
		switch ev := ev.(type) {
		case *amqpwire.Opened:
			fmt.Println("opened by", ev.ContainerID)
			c.Close(&amqpwire.Error{Condition: "amqp:connection:forced"})
		case *amqpwire.Closed:
			fmt.Println("closed:", ev.Cause)
		}
	}
	out := c.AppendOutput(now, nil)
	fmt.Printf("%d bytes to write, beginning with %q\n", len(out), out[:4])
	// Output:
	// opened by d1
	// 102 bytes to write, beginning with "AMQP"
}

// Messages are go-amqp's, checked before they are decoded.
func ExampleDecodeMessage() {
	payload, err := amqpwire.EncodeMessage(&amqpwire.Message{
		Annotations: amqpwire.Annotations{"status": int32(200), "version": int64(7)},
		Properties:  &amqpwire.MessageProperties{CorrelationID: "f00d"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := amqpwire.DecodeMessage(payload)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Annotations["status"], m.Annotations["version"], m.Properties.CorrelationID)

	_, err = amqpwire.DecodeMessage(payload[:len(payload)-1])
	fmt.Println(err)
	// Output:
	// 200 7 f00d
	// malformed AMQP message: a section is cut short
}

package amqp_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// A cutter is a hub that obeys AMQP (part 2, sections 2.5.6 and 2.6.7) and cuts its
// messages into many transfers.
type cutter struct {
	net.Conn
	channel byte
	handle  uint32 // ours, of the device's receiver
	in      []byte

	next, window  uint32 // the next transfer-id, and what the client lets us send
	count, credit uint32 // messages, and those that it lets us send
}

// read takes what the client says. It waits until something has come.
func (c *cutter) read() error {
	b := make([]byte, 4<<10)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	c.in = append(c.in, b[:n]...)
	var all [][]byte
	all, c.in = split(c.in)
	for _, f := range all {
		if code(f) != kindFlow || channelOf(f) != uint16(c.channel) {
			continue
		}
		v := numbers(f)
		c.window = v[0] + v[1] - c.next
		if len(v) > 6 && v[4] == c.handle {
			c.credit = v[5] + v[6] - c.count
		}
	}
	return nil
}

// numbers reads the first seven fields of a FLOW, 1<<32-1 for null.
func numbers(f []byte) (v []uint32) {
	b := f[8+3:]
	if b[0] == 0xc0 {
		b = b[3:]
	} else {
		b = b[9:]
	}
	for range 7 {
		switch b[0] {
		case 0x40:
			v, b = append(v, 1<<32-1), b[1:]
		case 0x43:
			v, b = append(v, 0), b[1:]
		case 0x52:
			v, b = append(v, uint32(b[1])), b[2:]
		case 0x70:
			v, b = append(v, binary.BigEndian.Uint32(b[1:])), b[5:]
		}
	}
	return v
}

// send sends messages in so many parts each, as the client lets it.
func (c *cutter) send(messages, parts int, in string) error {
	c.next = 1
	ask := frame(c.channel, kindFlow, "", null, hundred, one, hundred, in, zero, zero, null, null, yes)
	if _, err := io.WriteString(c, ask); err != nil { // for the engine has read what came before
		return err
	}
	for i := range messages {
		body := fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", parts))
		payload := string(binary.BigEndian.AppendUint32([]byte{0, 0x53, 0x75, 0xb0}, uint32(len(body)))) + body
		size := (len(payload) + parts - 1) / parts
		for part := 0; part < parts; part++ {
			for c.window == 0 || part == 0 && c.credit == 0 {
				if err := c.read(); err != nil {
					return fmt.Errorf("after %d messages, with a window of %d and credit of %d: %w", i, c.window, c.credit, err)
				}
			}
			more := yes
			if part == parts-1 {
				more = no
			}
			piece := payload[min(len(payload), part*size):min(len(payload), (part+1)*size)]
			f := frame(c.channel, kindTransfer, piece, in, wide32(i), tag, zero, yes, more)
			if part > 0 { // only the first has to say what it is
				f = frame(c.channel, kindTransfer, piece, in, null, null, null, null, more)
			}
			if _, err := io.WriteString(c, f); err != nil {
				return err
			}
			c.next++
			c.window--
			if part == 0 {
				c.count++
				c.credit--
			}
		}
	}
	return nil
}

// A hub that cuts its messages is heard for longer than any window.
func TestFragments(t *testing.T) {
	messages := 20_000
	if testing.Short() {
		messages = 2_000
	}
	for _, parts := range []int{1, 2, 10, 100} {
		for _, pooled := range []bool{false, true} {
			if pooled && parts != 10 {
				continue
			}
			channel, in, handle := byte(0), "\x52\x03", uint32(3)
			if pooled {
				channel, in, handle = 1, one, 1
			}
			sent := make(chan error, 1)
			hub, stream := newTurncoat(func(w net.Conn) {
				_ = w.SetDeadline(time.Now().Add(time.Minute))
				c := &cutter{Conn: w, channel: channel, handle: handle}
				sent <- c.send(messages, parts, in)
			}, true)
			c, err := dialOver(t, stream, pooled).Dial(t.Context(), anyLogin(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Send(t.Context(), get("g")); err != nil {
				t.Fatal(err)
			}
			for i := range messages {
				f, err := receiveIn(t, c, time.Minute)
				if err != nil || f.Kind != transport.Desired || !strings.HasPrefix(string(f.Body), fmt.Sprintf(`{"n":%d,`, i)) {
					t.Fatalf("in %d parts: change %d: got %+v, %v", parts, i, f, err)
				}
			}
			wantError(t, fmt.Sprintf("a hub that cuts into %d parts", parts), <-sent, nil)
			closeConn(t, c)
			<-hub.done
		}
	}
}

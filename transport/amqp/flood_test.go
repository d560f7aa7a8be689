package amqp_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// maxHeap is how much more heap a device may take under any flood.
const maxHeap = 16 << 20

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// wide32 is a number of four bytes.
func wide32(n int) string { return string(binary.BigEndian.AppendUint32([]byte{0x70}, uint32(n))) }

// bigFrame is a frame of which the fields may be longer than 255 bytes.
func bigFrame(channel, code byte, payload string, fields ...string) string {
	list := strings.Join(fields, "")
	n := 8 + 12 + len(list) + len(payload)
	b := []byte{0, byte(n >> 16), byte(n >> 8), byte(n), 2, 0, 0, channel, 0, 0x53, code, 0xd0}
	b = binary.BigEndian.AppendUint32(b, uint32(len(list)+4))
	b = binary.BigEndian.AppendUint32(b, uint32(len(fields)))
	return string(b) + list + payload
}

// notes is a map of so many bytes, of which each entry is small.
func notes(size int) string {
	var items []byte
	count := 0
	for i := 0; len(items) < size; i++ {
		items = append(items, 0xa3, 3, byte(i>>16), byte(i>>8), byte(i), 0x40)
		count += 2
	}
	b := binary.BigEndian.AppendUint32([]byte{0xd1}, uint32(len(items)+4))
	return string(binary.BigEndian.AppendUint32(b, uint32(count))) + string(items)
}

// data is a message's section of data.
func data(size int) string {
	return string(binary.BigEndian.AppendUint32([]byte{0, 0x53, 0x75, 0xb0}, uint32(size))) + strings.Repeat("x", size)
}

// message is one, in transfers of 60 KB.
func message(channel byte, handle string, id int, payload string) string {
	const most = 60 << 10
	var b strings.Builder
	for first := true; first || len(payload) > 0; first = false {
		n := min(most, len(payload))
		more := yes
		if n == len(payload) {
			more = no
		}
		b.WriteString(bigFrame(channel, kindTransfer, payload[:n], handle, wide32(id), tag, zero, yes, more))
		payload = payload[n:]
	}
	return b.String()
}

// A flood is what a hub says again and again on the device's channel and links.
type flood struct {
	desc string
	says func(channel byte, out, in string, i int) string
}

func floods() []flood {
	flow := func(c byte, fields ...string) string {
		return bigFrame(c, kindFlow, "", append([]string{one, hundred, one, hundred}, fields...)...)
	}
	said := "\x00\x53\x1d\xd0\x00\x00\xea\x69\x00\x00\x00\x02\xb3\x00\x00\xea\x60" + strings.Repeat("\n", 60_000) + null
	return []flood{
		{"messages of 1 MB", func(c byte, _, in string, i int) string { return message(c, in, i, data(1<<20)) }},
		{"messages of 500 KB", func(c byte, _, in string, i int) string { return message(c, in, i, data(500<<10)) }},
		{"messages of 500 KB with echoes", func(c byte, _, in string, i int) string {
			return message(c, in, i, data(500<<10)) + flow(c, in, zero, zero, zero, no, yes)
		}},
		{"small messages", func(c byte, _, in string, i int) string { return message(c, in, i, data(1)) }},
		{"messages that do not end", func(c byte, _, in string, i int) string {
			return bigFrame(c, kindTransfer, strings.Repeat("x", 60<<10), in, zero, tag, zero, yes, yes)
		}},
		{"transfers without payload", func(c byte, _, in string, i int) string {
			return bigFrame(c, kindTransfer, "", in, zero, tag, zero, yes, yes)
		}},
		{"huge annotations", func(c byte, _, in string, i int) string {
			return message(c, in, i, "\x00\x53\x72"+notes(400<<10))
		}},
		{"annotations as large as are taken", func(c byte, _, in string, i int) string {
			return message(c, in, i, "\x00\x53\x72"+notes(6000)+data(400<<10))
		}},
		{"huge values", func(c byte, _, in string, i int) string { return message(c, in, i, "\x00\x53\x77"+notes(400<<10)) }},
		{"messages of many sections", func(c byte, _, in string, i int) string {
			return message(c, in, i, strings.Repeat("\x00\x53\x75\xa0\x00", 80_000))
		}},
		{"echoes", func(c byte, _, _ string, _ int) string { return flow(c, null, null, null, null, null, yes) }},
		{"echoes of the sender", func(c byte, out, _ string, i int) string { return flow(c, out, zero, wide32(i), null, no, yes) }},
		{"echoes of the receiver", func(c byte, _, in string, _ int) string { return flow(c, in, zero, hundred, null, no, yes) }},
		{"drains", func(c byte, out, _ string, i int) string { return flow(c, out, wide32(i), hundred, null, yes) }},
		{"windows that widen", func(c byte, _, _ string, i int) string {
			return bigFrame(c, kindFlow, "", one, wide32(i), one, hundred)
		}},
		{"FLOWs with huge properties", func(c byte, _, in string, _ int) string {
			return flow(c, in, zero, hundred, null, no, yes, notes(60<<10))
		}},
		{"heartbeats", func(byte, string, string, int) string { return heartbeat }},
		{"dispositions", func(c byte, _, _ string, i int) string {
			return bigFrame(c, kindDisposition, "", yes, wide32(i), null, yes)
		}},
		{"huge rejections", func(c byte, _, _ string, i int) string {
			return bigFrame(c, kindDisposition, "", yes, wide32(i), null, yes, "\x00\x53\x25\xd0"+string(binary.BigEndian.AppendUint32(nil, uint32(len(said)+4)))+"\x00\x00\x00\x01"+said)
		}},
		{"many links", func(c byte, _, _ string, i int) string {
			return bigFrame(c, kindAttach, "", "\xa1\x04"+fmt.Sprintf("%04x", i&0xffff), wide32(10+i), yes, null, null, "\x00\x53\x28\x45", "\x00\x53\x29\x45", null, null, zero, null, null, null, notes(50<<10))
		}},
		{"ends of no link", func(c byte, _, _ string, i int) string { return bigFrame(c, kindDetach, "", wide32(10+i), yes, said) }},
		{"messages on no link", func(c byte, _, _ string, i int) string { return message(c, wide32(10+i), i, data(50<<10)) }},
		{"performatives that nobody knows", func(c byte, _, _ string, _ int) string { return bigFrame(c, 0x1f, "", notes(60<<10)) }},
	}
}

// No flood takes more than maxHeap, of a device that is idle and of one that
// receives, of a hub that reads and of one that does not.
func TestFloods(t *testing.T) {
	for _, f := range floods() {
		for variant := range 4 {
			receives, pooled := variant%2 == 1, variant >= 2
			reads := variant == 1 || variant == 2
			name := fmt.Sprintf("%s, receives %v, pooled %v, hub reads %v", f.desc, receives, pooled, reads)
			if testing.Short() && variant > 0 {
				continue
			}
			channel, out, in := byte(0), "\x52\x02", "\x52\x03"
			if pooled {
				channel, out, in = 1, zero, one
			}
			before, most, sent := heap(), int64(0), 0
			hub, stream := newTurncoat(func(w net.Conn) {
				if reads {
					go func() { _, _ = io.Copy(io.Discard, w) }() // ends with the stream
				}
				_ = w.SetWriteDeadline(time.Now().Add(5 * time.Second))
				const enough, look = 32 << 20, 8 << 20
				for i, next := 0, look; sent < enough && i < 400_000; {
					var b strings.Builder
					for ; b.Len() < 64<<10; i++ { // many small frames at a time
						b.WriteString(f.says(channel, out, in, i))
					}
					n, err := io.WriteString(w, b.String())
					sent += n
					if err != nil {
						break
					}
					if sent > next {
						next += look
						most = max(most, heap()-before)
					}
				}
				most = max(most, heap()-before)
			}, false)
			c, err := dialOver(t, stream, pooled).Dial(t.Context(), anyLogin(t))
			if err != nil {
				t.Fatal(err)
			}
			received := make(chan struct{})
			_ = c.Send(t.Context(), get("g")) // the flood may end the line before it returns
			go func() {
				defer close(received)
				for receives {
					if _, err := c.Receive(t.Context()); err != nil {
						return
					}
				}
			}()
			<-hub.done
			most = max(most, heap()-before)
			if most > maxHeap {
				t.Errorf("%s: %d MB of heap, for %d bytes", name, most>>20, sent)
			}
			closeConn(t, c)
			<-received
		}
	}
}

package hubtest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// raw is a client that speaks bytes: it shares no code with the hub or with
// transport/mqtt, so a mistake of theirs shows.
type raw struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func open(t testing.TB, h *Hub) *raw {
	t.Helper()
	conn, err := h.Stream(context.Background(), transport.Target{Host: h.Host(), Port: 8883})
	if err != nil {
		t.Fatalf("Stream: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// login opens a stream and logs in as a device, clean=0.
func login(t testing.TB, h *Hub, d Device) *raw {
	t.Helper()
	c := open(t, h)
	c.send(hello(t, h, d).bytes())
	if got := c.receiveIn(patience); !strings.HasPrefix(got, "CONNACK") || !strings.HasSuffix(got, "rc=0") {
		t.Fatalf("login of %v: got %q", d.Identity, got)
	}
	return c
}

// connectPacket is a CONNECT to be.
type connectPacket struct {
	name      string // protocol
	level     byte
	clean     bool
	keepAlive uint16
	id        string
	user      string // "-" for none
	password  string // "-" for none
	will      string // topic, empty for none
}

// hello is a fit CONNECT of a device.
func hello(t testing.TB, h *Hub, d Device) connectPacket {
	t.Helper()
	token, err := auth.TokenOf(context.Background(), d.Credential, d.Identity.Audience(), h.opts.Now())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	id := joinID(d.Identity.DeviceID, d.Identity.ModuleID)
	return connectPacket{
		name: "MQTT", level: 4, keepAlive: 240, id: id,
		user:     h.Host() + "/" + id + "/?api-version=2021-04-12&DeviceClientType=mysdk%2F1.2.3",
		password: token.Reveal(),
	}
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// frame puts a fixed header before a body.
func frame(first byte, body ...[]byte) []byte {
	n := 0
	for _, b := range body {
		n += len(b)
	}
	out := []byte{first}
	for ; n >= 128; n >>= 7 {
		out = append(out, byte(n)|128)
	}
	out = append(out, byte(n))
	for _, b := range body {
		out = append(out, b...)
	}
	return out
}

func (p connectPacket) bytes() []byte {
	var flags byte
	if p.clean {
		flags |= 2
	}
	body := [][]byte{text(p.name), {p.level, 0}, binary.BigEndian.AppendUint16(nil, p.keepAlive), text(p.id)}
	if p.will != "" {
		flags |= 4
		body = append(body, text(p.will), text("bye"))
	}
	if p.user != "-" {
		flags |= 128
		body = append(body, text(p.user))
	}
	if p.password != "-" {
		flags |= 64
		body = append(body, text(p.password))
	}
	body[1][1] = flags
	return frame(0x10, body...)
}

// packetBytes turns a line such as "SUBSCRIBE 1 [$iothub/twin/res/# Q1]" or
// "PUBLISH Q1 7 topic body" into bytes. Only Q1 has a packet identifier.
func packetBytes(t testing.TB, line string) []byte {
	t.Helper()
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "PUBACK":
		return frame(0x40, number(t, rest))
	case "PINGREQ":
		return []byte{0xc0, 0}
	case "DISCONNECT":
		return []byte{0xe0, 0}
	case "SUBSCRIBE", "UNSUBSCRIBE":
		id, list, _ := strings.Cut(rest, " ")
		body := [][]byte{number(t, id)}
		for _, f := range strings.Split(strings.Trim(list, "[]"), ", ") {
			filter, qos, _ := strings.Cut(f, " Q")
			body = append(body, text(filter))
			if kind == "SUBSCRIBE" {
				body = append(body, []byte{number(t, qos)[1]})
			}
		}
		if kind == "SUBSCRIBE" {
			return frame(0x82, body...)
		}
		return frame(0xa2, body...)
	case "PUBLISH":
		qos, rest, _ := strings.Cut(rest, " ")
		q := qos[1] - '0'
		var id []byte
		if q > 0 {
			var s string
			s, rest, _ = strings.Cut(rest, " ")
			id = number(t, s)
		}
		topic, body, _ := strings.Cut(rest, " ")
		return frame(0x30|q<<1, text(topic), id, []byte(body))
	}
	t.Fatalf("no packet for %q", line)
	return nil
}

func number(t testing.TB, s string) []byte {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		t.Fatalf("number %q: %v", s, err)
	}
	return binary.BigEndian.AppendUint16(nil, uint16(n))
}

func (c *raw) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// patience is how long a packet that must come may take: much in real time on
// a busy machine, and less than the hub's own shortest limit.
const patience = 20 * time.Second

// receive returns the next packet as a line; "close" at the end of the stream,
// "silence" after a second without one.
func (c *raw) receive() string { return c.receiveIn(time.Second) }

func (c *raw) receiveIn(d time.Duration) string {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		c.t.Fatalf("SetReadDeadline: %v", err)
	}
	first, err := c.r.ReadByte()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silence"
	case err != nil:
		return "close"
	}
	size, err := binary.ReadUvarint(c.r) // the same seven bits, low first
	body := make([]byte, size)
	if err == nil {
		_, err = io.ReadFull(c.r, body)
	}
	if err != nil {
		c.t.Fatalf("half a packet: %v", err)
	}
	return line(first, body)
}

// line is a packet of the hub as text.
func line(first byte, body []byte) string {
	switch first >> 4 {
	case 2:
		return fmt.Sprintf("CONNACK sp=%d rc=%d", body[0], body[1])
	case 3:
		n := 2 + int(binary.BigEndian.Uint16(body))
		qos, head := first>>1&3, ""
		topic, body := body[2:n], body[n:]
		if first&8 != 0 {
			head = " dup"
		}
		if qos > 0 {
			head += fmt.Sprint(" ", binary.BigEndian.Uint16(body))
			body = body[2:]
		}
		return strings.TrimSuffix(fmt.Sprintf("PUBLISH Q%d%s %s %s", qos, head, topic, body), " ")
	case 4:
		return fmt.Sprintf("PUBACK %d", binary.BigEndian.Uint16(body))
	case 9:
		return fmt.Sprintf("SUBACK %d %v", binary.BigEndian.Uint16(body), body[2:])
	case 11:
		return fmt.Sprintf("UNSUBACK %d", binary.BigEndian.Uint16(body))
	case 13:
		return "PINGRESP"
	}
	return fmt.Sprintf("type %d: %x", first>>4, body)
}

// play speaks a transcript: "> packet" is sent, "< packet" must come next, "…"
// standing for any text.
func (c *raw) play(script string) {
	c.t.Helper()
	for step := range strings.Lines(script) {
		step = strings.TrimSpace(step)
		if step == "" {
			continue
		}
		if out, ok := strings.CutPrefix(step, "> "); ok {
			c.send(packetBytes(c.t, out))
			continue
		}
		want, limit := strings.TrimPrefix(step, "< "), patience
		if want == "silence" {
			limit = time.Second
		}
		if got := c.receiveIn(limit); !matches(got, want) {
			c.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// matches compares texts; a "…" in want stands for anything.
func matches(got, want string) bool {
	parts := strings.Split(want, "…")
	if len(parts) == 1 {
		return got == want
	}
	got, ok := strings.CutPrefix(got, parts[0])
	for _, p := range parts[1 : len(parts)-1] {
		var found bool
		_, got, found = strings.Cut(got, p)
		ok = ok && found
	}
	return ok && strings.HasSuffix(got, parts[len(parts)-1])
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func addDevice(t testing.TB, h *Hub, id string) Device {
	t.Helper()
	d, err := h.AddDevice(id)
	if err != nil {
		t.Fatalf("AddDevice(%q): %v", id, err)
	}
	return d
}

func setDesired(t testing.TB, h *Hub, id, patch string) int64 {
	t.Helper()
	v, err := h.Device(id).SetDesired(patch)
	if err != nil {
		t.Fatalf("SetDesired(%s): %v", patch, err)
	}
	return v
}

func twinOf(t testing.TB, h *Hub, id string) Twin {
	t.Helper()
	tw, err := h.Device(id).Twin()
	if err != nil {
		t.Fatalf("Twin(%q): %v", id, err)
	}
	return tw
}

// subscribed are the two subscriptions of every client, as a script.
const subscribed = `
	> SUBSCRIBE 1 [$iothub/twin/res/# Q1]
	< SUBACK 1 [1]
	> SUBSCRIBE 2 [$iothub/twin/PATCH/properties/desired/# Q1]
	< SUBACK 2 [1]
`

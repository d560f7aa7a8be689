package hubtest

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// FuzzWebSocket feeds the front arbitrary bytes: as a handshake, or as frames
// after a good one. It answers or closes, says no more than the bytes give
// reason for, and is well for the next.
func FuzzWebSocket(f *testing.F) {
	const good = "GET /$iothub/websocket HTTP/1.1\r\n" + webLines + "Sec-WebSocket-Protocol: mqtt\r\n\r\n"
	connect := string(connectPacket{name: "MQTT", level: 4, id: "dev1", user: defaultHost + "/dev1/?api-version=2021-04-12", password: sasOne}.bytes())
	f.Add(false, []byte(good+string(maskedFrame(fin|opBinary, connect))))
	f.Add(false, []byte(strings.Replace(good, "mqtt", "AMQPWSB10, x", 1)))
	f.Add(false, []byte(strings.Replace(good, "GET", "POST", 1)))
	f.Add(false, []byte(strings.Replace(good, "Key", "\x00", 1)))
	f.Add(true, append(maskedFrame(opBinary, connect[:9]), maskedFrame(fin|opMore, connect[9:])...))
	f.Add(true, append(maskedFrame(fin|opPing, "there?"), maskedFrame(fin|opClose, "\x03\xe8")...))
	f.Add(true, maskedFrame(fin|opText, connect))
	f.Add(true, []byte{fin | opBinary, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Add(true, []byte{opClose, 0x80, 0, 0, 0, 0, 0xf2, 0xff})
	f.Fuzz(func(t *testing.T, upgraded bool, data []byte) {
		bubble(t, func(t *testing.T) {
			h := New(t, &Options{Logger: slog.New(slog.DiscardHandler)})
			d := addDevice(t, h, "dev1")
			conn := httpsStream(t, h)
			if upgraded {
				webOn(t, conn, "")
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second)) // the hub may wait for more
			_, _ = conn.Write(data)
			if n, _ := io.Copy(io.Discard, conn); n > int64(1<<10+200*len(data)) {
				t.Errorf("%d bytes were answered with %d", len(data), n)
			}
			_ = conn.Close()
			c, _ := webLogin(t, h, d)
			c.play(ping)
		})
	})
}

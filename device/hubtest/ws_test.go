package hubtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWebSocketInMemory(t *testing.T) { bubble(t, testWebSocketInMemory) }
func testWebSocketInMemory(t *testing.T) {
	h := New(t, nil)
	playWeb(t, h, func() (*raw, *webClient) { return webOpen(t, h) })
}

func TestWebSocketOverTLSInMemory(t *testing.T) { bubble(t, testWebSocketOverTLSInMemory) }
func testWebSocketOverTLSInMemory(t *testing.T) {
	h := New(t, nil)
	for _, port := range []string{"443", "1"} { // the first byte tells, where the port does not
		playWeb(t, h, func() (*raw, *webClient) {
			return webTLS(t, h, must[net.Conn](t, "Dial")(h.DialContext(context.Background(), "tcp", "hub:"+port)), nil, "?iothub-no-client-cert=true")
		})
	}
}

func TestWebSocketOnASocket(t *testing.T) {
	h := New(t, nil)
	addr := must[net.Addr](t, "Listen")(h.Listen("127.0.0.1:0"))
	playWeb(t, h, func() (*raw, *webClient) {
		return webTLS(t, h, must[net.Conn](t, "Dial")(net.Dial("tcp", addr.String())), nil, "")
	})
}

// playWeb is a device's life on one kind of stream: it logs in, is told, is
// taken over from, and is cut without a goodbye.
func playWeb(t *testing.T, h *Hub, open func() (*raw, *webClient)) {
	t.Helper()
	if err := h.Device("dev1").Remove(); err != nil {
		t.Logf("a new hub: %v", err)
	}
	d := addDevice(t, h, "dev1")
	login := func(size int) (*raw, *webClient) {
		c, ws := open()
		ws.size = size
		c.send(hello(t, h, d).bytes())
		c.play("< CONNACK sp=… rc=0" + subscribed + getTwin + gotTwin)
		return c, ws
	}
	first, firstWS := login(0)
	second, ws := login(3) // every packet spans messages
	if got := firstWS.heardAtTheEnd(); got != "" {
		t.Errorf("taken over: heard %q; want the end, without a goodbye", got)
	}
	_ = first.conn.Close()
	want := `{"text":"` + strings.Repeat("x", 4000) + `","more":["` + strings.Repeat("y", 4000) + `"]}`
	setDesired(t, h, "dev1", want)
	second.play("< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 …")
	if n := slices.Max(ws.sizes); n > maxPiece || len(ws.sizes) < 5 {
		t.Errorf("outbound messages: got sizes %v; want a packet to span several, of %d bytes at most", ws.sizes, maxPiece)
	}
	ws.size = 0
	second.send(slices.Concat(packetBytes(t, "PINGREQ"), packetBytes(t, "PINGREQ"))) // one message, two packets
	second.play("< PINGRESP\n< PINGRESP" + patchOne + patchedTo2)
	if err := h.Device("dev1").Cut(); err != nil {
		t.Errorf("Cut: %v", err)
	}
	if got := ws.heardAtTheEnd(); got != "" {
		t.Errorf("cut: heard %q; want the end, without a goodbye", got)
	}
	_ = second.conn.Close()
}

func TestWebSocketHandshake(t *testing.T) { bubble(t, testWebSocketHandshake) }
func testWebSocketHandshake(t *testing.T) {
	h := New(t, nil)
	const get, mqtt = "GET /$iothub/websocket", "Sec-WebSocket-Protocol: mqtt\r\n"
	for _, tt := range []struct {
		desc, start, lines string
		want               string // status and sub-protocol
	}{
		{"as Node.js asks", get, webLines + mqtt, "101 mqtt"},
		{"as C asks", get, webLines + "Sec-WebSocket-Protocol: MQTT\r\n", "101 MQTT"},
		{"as Java asks", get + "?iothub-no-client-cert=true", webLines + mqtt, "101 mqtt"},
		{"percent-encoded", "GET /%24iothub/websocket", webLines + mqtt, "101 mqtt"},
		{"a web page", get, webLines + mqtt + "Origin: https://elsewhere.example\r\n", "101 mqtt"},
		{"the first that is known", get, webLines + "Sec-WebSocket-Protocol: x, mqtt\r\n", "101 mqtt"},
		{"no sub-protocol", get, webLines, "400 "},
		{"an unknown one", get, webLines + "Sec-WebSocket-Protocol: mqttv5\r\n", "400 "},
		{"AMQP", get, webLines + "Sec-WebSocket-Protocol: AMQPWSB10\r\n", "101 AMQPWSB10"},
		{"version 8", get, strings.Replace(webLines, "13", "8", 1) + mqtt, "400 "},
		{"no key", get, strings.Replace(webLines, "Key", "Lock", 1) + mqtt, "400 "},
		{"no upgrade", get, "Host: hub\r\n" + mqtt, "400 "},
		{"POST", "POST /$iothub/websocket", webLines + mqtt, "405 "},
		{"another path", "GET /$iothub/socket", webLines + mqtt, "404 "},
	} {
		answer, _ := webAnswer(t, httpsStream(t, h), tt.start+" HTTP/1.1\r\n"+tt.lines+"\r\n")
		if got := fmt.Sprint(answer.StatusCode, " ", answer.Header.Get("Sec-Websocket-Protocol")); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.desc, got, tt.want)
		}
	}
	// A connection may serve requests before it is upgraded, as any of HTTP.
	conn := httpsStream(t, h)
	if answer, _ := webAnswer(t, conn, "GET /nothing HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\n\r\n"); answer.StatusCode != 404 {
		t.Errorf("before the upgrade: got %s, want 404", answer.Status)
	} else {
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	c, _ := webOn(t, conn, "")
	c.send(hello(t, h, addDevice(t, h, "dev1")).bytes())
	c.play("< CONNACK sp=0 rc=0" + ping)
	// Who speaks before the answer is cut: whose bytes are they?
	conn = httpsStream(t, h)
	_, _ = io.WriteString(conn, "GET /$iothub/websocket HTTP/1.1\r\n"+webLines+mqtt+"\r\n\x82\x80")
	if got, err := io.ReadAll(conn); len(got) != 0 || err != nil {
		t.Errorf("early bytes: got %q, %v; want the end", got, err)
	}
}

func TestWebSocketFrames(t *testing.T) {
	pings := string(packetBytes(t, "PINGREQ"))
	for _, tt := range []struct {
		desc   string
		frames [][]byte // the last of them after the script
		want   string   // what is heard of control frames up to the end
		script string
	}{
		{"a packet in fragments, a ping between", [][]byte{maskedFrame(opBinary, pings[:1]), maskedFrame(fin|opPing, "there?"), maskedFrame(opMore, ""),
			maskedFrame(fin|opMore, pings[1:]), maskedFrame(fin|opBinary, ""), maskedFrame(fin|opPong, "unasked"), maskedFrame(fin|opClose, "\x03\xe8")}, "pong there?, close 1000", "< PINGRESP"},
		{"a goodbye", [][]byte{maskedFrame(fin|opClose, "\x03\xe9")}, "close 1001", ""},
		{"a goodbye without a code", [][]byte{maskedFrame(fin|opClose, "")}, "close", ""},
		{"a goodbye of a code that is none", [][]byte{maskedFrame(fin|opClose, "\x00\x01")}, "close 1002", ""},
		{"text", [][]byte{maskedFrame(fin|opText, pings)}, "close 1003", ""},
		{"no mask", [][]byte{{fin | opBinary, 1, 'x'}}, "close 1002", ""},
		{"compressed without consent", [][]byte{maskedFrame(fin|0x40|opBinary, "x")}, "close 1002", ""},
		{"an opcode that is none", [][]byte{maskedFrame(fin|0x3, "x")}, "close 1002", ""},
		{"a long ping", [][]byte{maskedFrame(fin|opPing, strings.Repeat("x", 126))}, "close 1002", ""},
		{"a message of a byte too many", [][]byte{{fin | opBinary, 0x80 | 127, 0, 0, 0, 0, 0, 0x10, 0, 1, 1, 2, 3, 4}}, "close 1009", ""},
		{"a message of too many parts", [][]byte{maskedFrame(opBinary, pings), {fin | opMore, 0x80 | 127, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4}}, "close 1009", "< PINGRESP"},
		{"a length of 2^63", [][]byte{{fin | opBinary, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}}, "", ""},
		{"MQTT's own goodbye", [][]byte{maskedFrame(fin|opBinary, string(packetBytes(t, "DISCONNECT")))}, "", ""},
		{"what breaks MQTT", [][]byte{maskedFrame(fin|opBinary, "\x00\x00")}, "", ""},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				c, ws := webLogin(t, h, addDevice(t, h, "dev1"))
				last := len(tt.frames) - 1
				ws.says(t, tt.frames[:last]...)
				c.play(tt.script)
				ws.says(t, tt.frames[last])
				if got := ws.heardAtTheEnd(); got != tt.want {
					t.Errorf("heard %q, want %q", got, tt.want)
				}
				synctest.Wait()
				if twinOf(t, h, "dev1").Connected {
					t.Errorf("at the end the device counts as connected")
				}
			})
		})
	}
}

// A message may hold as much as the hub bears, all packets together.
func TestWebSocketLargestMessage(t *testing.T) { bubble(t, testWebSocketLargestMessage) }
func testWebSocketLargestMessage(t *testing.T) {
	h := New(t, nil)
	c, _ := webLogin(t, h, addDevice(t, h, "dev1"))
	body := strings.Repeat("x", 100<<10)
	var all []byte
	for i := range 10 {
		all = append(all, packetBytes(t, fmt.Sprintf("PUBLISH Q1 %d devices/dev1/messages/events/ %s", i+1, body))...)
	}
	c.send(all)
	for i := range 10 {
		c.play(fmt.Sprint("< PUBACK ", i+1))
	}
}

func TestWebSocketFaults(t *testing.T) { bubble(t, testWebSocketFaults) }
func testWebSocketFaults(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c, ws := webLogin(t, h, d)
	h.Intercept(FromDevice("dev1", GetTwin), Drop())
	c.play(subscribed + getTwin + "< silence" + getTwin + gotTwin)

	if err := h.Device("dev1").Stall(true); err != nil {
		t.Fatalf("Stall: %v", err)
	}
	ws.says(t, maskedFrame(fin|opPing, "1"))
	c.play("< silence")
	if len(ws.heard) != 0 {
		t.Errorf("on a line that stalls: heard %q; want nothing", ws.heard)
	}
	if err := h.Device("dev1").Stall(false); err != nil {
		t.Fatalf("Stall: %v", err)
	}
	c.play("< silence" + ping)
	if got := fmt.Sprint(ws.heard); got != "[pong 1]" {
		t.Errorf("after the stall: heard %s; want the pong", got)
	}

	if err := h.Device("dev1").SetLine(false); err != nil {
		t.Fatalf("SetLine: %v", err)
	}
	if got := ws.heardAtTheEnd(); got != "pong 1" {
		t.Errorf("line down: heard %q; want the end, without a goodbye", got)
	}
	c, ws = webOpen(t, h)
	c.send(hello(t, h, d).bytes())
	if got := ws.heardAtTheEnd(); got != "" {
		t.Errorf("login on a line that is down: heard %q; want the end alone", got)
	}

	// A line that ends while it stalls, a ping unanswered.
	if err := h.Device("dev1").SetLine(true); err != nil {
		t.Fatalf("SetLine: %v", err)
	}
	_, ws = webLogin(t, h, d)
	early := httpsStream(t, h)
	synctest.Wait()
	if err := h.Stall(true); err != nil {
		t.Fatalf("Stall: %v", err)
	}
	ws.says(t, maskedFrame(fin|opPing, "2"))
	synctest.Wait()
	if err := h.Device("dev1").Cut(); err != nil {
		t.Fatalf("Cut: %v", err)
	}
	if got := ws.heardAtTheEnd(); got != "" {
		t.Errorf("cut while it stalls: heard %q; want the end alone", got)
	}
	// Nor is a handshake answered on such a line.
	for _, conn := range []net.Conn{early, httpsStream(t, h)} {
		_, _ = io.WriteString(conn, "GET /$iothub/websocket HTTP/1.1\r\n"+webLines+"Sec-WebSocket-Protocol: mqtt\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("handshake on a line that stalls: got %d bytes, %v; want silence", n, err)
		}
	}
}

// Pings are WebSocket's; MQTT's keep-alive is about packets [MQTT-3.1.2-24].
func TestWebSocketPingIsNoPacket(t *testing.T) { bubble(t, testWebSocketPingIsNoPacket) }
func testWebSocketPingIsNoPacket(t *testing.T) {
	h := New(t, nil)
	_, ws := webLogin(t, h, addDevice(t, h, "dev1")) // keep-alive: 240 s
	start := time.Now()
	for time.Since(start) < 350*time.Second {
		ws.says(t, maskedFrame(fin|opPing, ""))
		time.Sleep(10 * time.Second)
	}
	ws.says(t, maskedFrame(opBinary, "")) // and half a message stays at that
	ws.heardAtTheEnd()
	if got := time.Since(start); got != 360*time.Second {
		t.Errorf("cut after %v; want 6m, by the keep-alive", got)
	}
	if len(ws.heard) != 35 {
		t.Errorf("heard %d pongs, want 35", len(ws.heard))
	}
}

// The token's end by the hub's clock is looked at again when that has moved,
// in the midst of a frame, too.
func TestWebSocketTokenEnd(t *testing.T) { bubble(t, testWebSocketTokenEnd) }
func testWebSocketTokenEnd(t *testing.T) {
	behind := make(chan time.Duration, 1)
	behind <- 0
	h := New(t, &Options{Now: func() time.Time {
		d := <-behind
		behind <- d
		return time.Now().Add(-d)
	}})
	d := addDevice(t, h, "dev1")
	p := hello(t, h, d)
	p.keepAlive = 0
	p.password = sign(t, d.Identity.Audience(), d.PrimaryKey, h.opts.Now().Add(10*time.Minute), "")
	c, ws := webOpen(t, h)
	c.send(p.bytes())
	c.play("< CONNACK sp=0 rc=0")
	start := time.Now()
	<-behind
	behind <- 5 * time.Minute
	half := maskedFrame(fin|opBinary, string(packetBytes(t, "PINGREQ")))
	ws.says(t, half[:3])
	time.Sleep(10*time.Minute + h.opts.quirks.TokenGrace + time.Minute)
	ws.says(t, half[3:])
	c.play("< PINGRESP")
	ws.heardAtTheEnd()
	if got, want := time.Since(start), 15*time.Minute+h.opts.quirks.TokenGrace; got != want {
		t.Errorf("cut after %v; want %v, by the hub's clock", got, want)
	}
}

// A client that reads nothing is cut, also one that only pings.
func TestWebSocketUnread(t *testing.T) { bubble(t, testWebSocketUnread) }
func testWebSocketUnread(t *testing.T) {
	h := New(t, nil)
	_, ws := webLogin(t, h, addDevice(t, h, "dev1"))
	start := time.Now()
	ping := maskedFrame(fin|opPing, strings.Repeat("x", 125))
	for {
		if _, err := ws.Conn.Write(ping); err != nil {
			break
		}
	}
	if got := time.Since(start); got != writeLimit {
		t.Errorf("one that pings: cut after %v; want %v", got, writeLimit)
	}
	c, _ := webLogin(t, h, must[Device](t, "AddDevice")(h.AddDevice("dev2")))
	c.play(subscribed)
	start = time.Now()
	for range 20 {
		setDesired(t, h, "dev2", `{"a":["`+strings.Repeat("x", 4000)+`","`+strings.Repeat("x", 4000)+`"]}`)
	}
	if _, err := h.Device("dev2").Wait(t.Context(), func(tw Twin) bool { return !tw.Connected }); err != nil {
		t.Fatalf("Wait: %v", err)
	}
	if got := time.Since(start); got != writeLimit {
		t.Errorf("one that is told: cut after %v; want %v", got, writeLimit)
	}
}

func TestWebSocketX509(t *testing.T) { bubble(t, testWebSocketX509) }
func testWebSocketX509(t *testing.T) {
	var heard reasons
	h := New(t, &Options{Logger: heard.logger()})
	for _, id := range []string{"authority", "thumbprint"} {
		d := must[Device](t, "AddX509Device")(h.AddX509Device(id, &X509Options{SelfSigned: id == "thumbprint"}))
		for _, tt := range []struct {
			desc, query string
			cert        *tls.Certificate
			want, why   string
		}{
			{"with its certificate", "", pairOf(t, d), letIn, ""},
			{"without one", "", nil, refused, "the client presented no certificate…"},
			{"asking not to be asked for it", "?iothub-no-client-cert=true", pairOf(t, d), refused, "the client presented no certificate…"},
		} {
			plain := must[net.Conn](t, "Dial")(h.DialContext(context.Background(), "tcp", "hub:443"))
			c, _ := webTLS(t, h, plain, tt.cert, tt.query)
			p := bareHello(h, id, "-")
			p.clean = true
			c.send(p.bytes())
			if got := c.receiveIn(patience); got != tt.want {
				t.Errorf("%s, %s: got %s, want %s", id, tt.desc, got, tt.want)
			}
			if why := heard.take(); !matches(why, tt.why) {
				t.Errorf("%s, %s: reason: got %s, want %s", id, tt.desc, why, tt.why)
			}
			_ = c.conn.Close()
			synctest.Wait()
		}
	}
	plain, _ := h.AddX509Device("plain", nil)
	c, _ := webOpen(t, h)
	c.send(bareHello(h, plain.Identity.DeviceID, "-").bytes())
	if got := c.receiveIn(patience); got != refused || !matches(heard.take(), "there is no TLS on this stream…") {
		t.Errorf("without TLS: got %s, want %s", got, refused)
	}
}

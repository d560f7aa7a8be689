package hubtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/transport"
)

// TestClientsThatStay holds that no front keeps a connection for a client that
// sends too little, or reads nothing of what it is sent.
func TestClientsThatStay(t *testing.T) {
	const request = "PATCH /twins/dev1?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\n"
	const unknown = "POST /nowhere HTTP/1.1\r\nHost: h\r\n"
	const upgrade = "GET " + webPath + " HTTP/1.1\r\nHost: h\r\n"
	handshake := "GET " + webPath + " HTTP/1.1\r\n" + webLines + "Sec-WebSocket-Protocol: mqtt\r\n\r\n"
	big := "Content-Length: 1000\r\n\r\n"
	tests := []struct {
		desc  string
		port  Protocol
		first string // is written at once
		drip  string // then this, a byte every ten seconds, again and again
		owner bool   // with a good token
	}{
		{"MQTT, nothing", MQTT, "", "", false},
		{"MQTT, half a CONNECT", MQTT, "\x10\x20\x00\x04MQ", "", false},
		{"MQTT, a slow CONNECT", MQTT, "\x10\xff\x7f", "\x00", false},
		{"MQTT, an endless length", MQTT, "\x10", "\xff", false},
		{"AMQP, nothing", AMQP, "", "", false},
		{"AMQP, half a header", AMQP, "AMQ", "", false},
		{"AMQP, no OPEN", AMQP, "AMQP\x00\x01\x00\x00", "", false},
		{"AMQP with SASL, no mechanism", AMQP, "AMQP\x03\x01\x00\x00", "", false},
		{"AMQP, a slow OPEN", AMQP, "AMQP\x00\x01\x00\x00\x00\x00\x01\x00\x02\x00\x00\x00", "\x00", false},
		{"AMQP, heartbeats and no OPEN", AMQP, "AMQP\x00\x01\x00\x00", "\x00\x00\x00\x08\x02\x00\x00\x00", false},
		{"REST, nothing", HTTPS, "", "", false},
		{"REST, half a header", HTTPS, request, "", false},
		{"REST, a slow header", HTTPS, request, "X: y\r\n", false},
		{"REST, no body", HTTPS, request + big, "", false},
		{"REST, no body, with a token", HTTPS, request + "AUTH" + big, "", true},
		{"REST, half a body", HTTPS, request + big + "{", "", false},
		{"REST, a slow body", HTTPS, request + big, " ", false},
		{"REST, a slow body, with a token", HTTPS, request + "AUTH" + big, " ", true},
		{"REST, no chunk", HTTPS, request + "Transfer-Encoding: chunked\r\n\r\n", "", false},
		{"REST, slow chunks", HTTPS, request + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", false},
		{"REST, a body to be asked for", HTTPS, request + "Expect: 100-continue\r\n" + big, "", false},
		{"REST, a slow body to be asked for", HTTPS, request + "Expect: 100-continue\r\n" + big, " ", false},
		{"REST, an unknown path", HTTPS, unknown + big, "", false},
		{"REST, a slow body at an unknown path", HTTPS, unknown + big, " ", false},
		{"REST, slow chunks at an unknown path", HTTPS, unknown + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", false},
		{"REST, a body that is too large and goes on slowly", HTTPS, request + "Transfer-Encoding: chunked\r\n\r\n" + "80001\r\n" + strings.Repeat(" ", maxBody+1) + "\r\n", "1\r\n \r\n", false},
		{"WebSocket, half a handshake", HTTPS, upgrade, "", false},
		{"WebSocket, a slow handshake", HTTPS, upgrade, "X: y\r\n", false},
		{"WebSocket, a handshake with a body", HTTPS, strings.Replace(handshake, "\r\n\r\n", "\r\n"+big, 1), " ", false},
		{"WebSocket, no CONNECT", HTTPS, handshake, "", false},
		{"WebSocket, half a frame", HTTPS, handshake + "\x82\xfe\x10\x00", "\x00", false},
		{"WebSocket, pings and no CONNECT", HTTPS, handshake, "\x89\x80\x00\x00\x00\x00", false},
	}
	for _, tt := range tests {
		for _, secure := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				addDevice(t, h, "dev1")
				if secure && tt.first+tt.drip != "" {
					return // the handshake of TLS alone is another
				}
				c := lineTo(t, h, tt.port, secure)
				first := strings.Replace(tt.first, "AUTH", "Authorization: "+serviceToken(t, h, "iothubowner", h.Host(), time.Hour)+"\r\n", 1)
				began := time.Now()
				dripped := make(chan struct{})
				go func() {
					defer close(dripped)
					_, err := io.WriteString(c, first)
					for i := 0; err == nil && tt.drip != ""; i = (i + 1) % len(tt.drip) {
						time.Sleep(10 * time.Second)
						_, err = io.WriteString(c, tt.drip[i:i+1])
					}
				}()
				_ = c.SetReadDeadline(began.Add(time.Hour))
				_, err := io.Copy(io.Discard, c)
				if took := time.Since(began); took > 2*firstPacket+linger {
					t.Errorf("%s, TLS %v: it stood for %v (%v)", tt.desc, secure, took, err)
				}
				_ = c.Close()
				<-dripped
				h.wantNobody(t, tt.desc)
			})
		}
	}
}

// lineTo opens a stream to a front.
func lineTo(t testing.TB, h *Hub, p Protocol, secure bool) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	if secure {
		c, err = h.DialContext(context.Background(), "tcp", "hub:"+jsondoc.Int(int64(p)).String())
	} else {
		c, err = h.Stream(context.Background(), transport.Target{Port: int(p)})
	}
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wantNobody checks that the hub has let go of every connection.
func (h *Hub) wantNobody(t testing.TB, what string) {
	t.Helper()
	time.Sleep(2 * linger)
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.conns); n != 0 {
		t.Errorf("%s: %d connections are kept", what, n)
	}
}

// TestClientsThatReadNothing floods each front with what it answers, and reads
// none of it.
func TestClientsThatReadNothing(t *testing.T) {
	const get = "GET /twins/dev1?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\n"
	pings := strings.Repeat(string(packetBytes(t, "PINGREQ")), 1000)
	flood := func(t *testing.T, h *Hub, c net.Conn, text string) {
		began := time.Now()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for {
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
			}
		}()
		time.Sleep(2*writeLimit + linger)
		h.wantNobody(t, t.Name())
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(make([]byte, 1<<16)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it got %d bytes after all, %v; want the end", n, err)
		}
		_ = c.Close()
		<-sent
		if took := time.Since(began); took > 3*writeLimit {
			t.Errorf("it stood for %v", took)
		}
	}
	for desc, run := range map[string]func(t *testing.T, h *Hub, d Device){
		"MQTT": func(t *testing.T, h *Hub, d Device) { c := login(t, h, d); flood(t, h, c.conn, pings) },
		"MQTT over WebSocket": func(t *testing.T, h *Hub, d Device) {
			_, web := webLogin(t, h, d)
			flood(t, h, web.Conn, string(maskedFrame(fin|opBinary, pings)))
		},
		"WebSocket's own pings": func(t *testing.T, h *Hub, d Device) {
			_, web := webLogin(t, h, d)
			flood(t, h, web.Conn, strings.Repeat(string(maskedFrame(fin|opPing, strings.Repeat("x", 100))), 100))
		},
		"AMQP": func(t *testing.T, h *Hub, _ Device) {
			c := lineTo(t, h, AMQP, false)
			const open = "\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x"
			const begin = "\x00\x00\x00\x14\x02\x00\x00\x00\x00\x53\x11\xc0\x07\x04\x40\x43\x52\x01\x52\x01"
			const end = "\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x17\x45"
			if _, err := io.WriteString(c, "AMQP\x00\x01\x00\x00"+open); err != nil {
				t.Fatal(err)
			}
			flood(t, h, c, begin+end)
		},
		"REST": func(t *testing.T, h *Hub, _ Device) { flood(t, h, lineTo(t, h, HTTPS, false), get+"\r\n") },
		"REST with a token": func(t *testing.T, h *Hub, _ Device) {
			flood(t, h, lineTo(t, h, HTTPS, false), get+"Authorization: "+serviceToken(t, h, "iothubowner", h.Host(), time.Hour)+"\r\n\r\n")
		},
		"REST at an unknown path": func(t *testing.T, h *Hub, _ Device) {
			flood(t, h, lineTo(t, h, HTTPS, false), "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")
		},
		"one large answer": func(t *testing.T, h *Hub, _ Device) {
			if _, err := h.Device("dev1").SetTags(`{"a":"` + letters(4000) + `","b":"` + letters(4000) + `"}`); err != nil {
				t.Fatal(err)
			}
			flood(t, h, lineTo(t, h, HTTPS, false), get+"Authorization: "+serviceToken(t, h, "iothubowner", h.Host(), time.Hour)+"\r\n\r\n")
		},
	} {
		t.Run(desc, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				run(t, h, addDevice(t, h, "dev1"))
			})
		})
	}
}

// TestSlowReaders: a client that reads slowly, and reads, gets all of it, and a
// method may take longer than a body.
func TestSlowReaders(t *testing.T) { bubble(t, testSlowReaders) }
func testSlowReaders(t *testing.T) {
	h := New(t, nil)
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		addDevice(t, h, id)
		for _, half := range []string{"x", "y", "z", "u", "v"} {
			setDesired(t, h, id, `{"`+half+`":["`+letters(4000)+`"]}`)
		}
	}
	c := lineTo(t, h, HTTPS, false)
	const body = `{"query":"SELECT * FROM devices"}`
	if _, err := io.WriteString(c, "POST /devices/query?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: "+
		serviceToken(t, h, "iothubowner", h.Host(), time.Hour)+"\r\nContent-Length: "+jsondoc.Int(int64(len(body))).String()+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	var got int
	for {
		time.Sleep(20 * time.Second)
		n, err := io.ReadFull(c, make([]byte, 60<<10))
		got += n
		if err != nil {
			break
		}
	}
	if got < 8*5*4000 {
		t.Errorf("got %d bytes, want all of the twins", got)
	}
	r := owner(t, h).do("POST", "/twins/a/methods", `{"methodName":"x","connectTimeoutInSeconds":300}`)
	if r.code(t) != "404103" || !strings.Contains(r.body, "00:05:00") {
		t.Errorf("a patience of 5 minutes: got %s", r.body)
	}
}

// TestLengths holds that a length in characters is one in .NET's, and no other.
func TestLengths(t *testing.T) { bubble(t, testLengths) }
func testLengths(t *testing.T) {
	h := New(t, nil)
	s := owner(t, h)
	for n, test := range []struct {
		reason string
		status int
	}{
		{strings.Repeat("x", 128), 200}, {strings.Repeat("é", 128), 200}, {strings.Repeat("€", 128), 200}, {strings.Repeat("😀", 64), 200},
		{strings.Repeat("é", 129), 400}, {strings.Repeat("😀", 65), 400},
	} {
		s.do("PUT", "/devices/dev"+jsondoc.Int(int64(n)).String(), `{"statusReason":"`+test.reason+`"}`).want(t, test.reason, test.status)
	}
}

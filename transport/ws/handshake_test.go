package ws_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// TestRequest checks what the hub is asked, by the reference of its protocols.
func TestRequest(t *testing.T) {
	for _, c := range []struct {
		name     string
		target   transport.Target
		uri      string
		host     string
		protocol string
	}{
		{"MQTT with a token", transport.Target{Protocol: "mqtt", Host: "h.example"},
			"/$iothub/websocket?iothub-no-client-cert=true", "h.example", "mqtt"},
		{"MQTT with a certificate", transport.Target{Protocol: "mqtt", Host: "h.example", Certificate: &tls.Certificate{}},
			"/$iothub/websocket", "h.example", "mqtt"},
		{"AMQP with a token", transport.Target{Protocol: "amqp", Host: "h.example", Port: 5671},
			"/$iothub/websocket?iothub-no-client-cert=true", "h.example", "AMQPWSB10"},
		{"AMQP with a certificate", transport.Target{Protocol: "amqp", Host: "h.example", Certificate: &tls.Certificate{}},
			"/$iothub/websocket", "h.example", "AMQPWSB10"},
		{"a gateway by its address", transport.Target{Protocol: "mqtt", Host: "fd00::1", Certificate: &tls.Certificate{}},
			"/$iothub/websocket", "[fd00::1]", "mqtt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFront(t, func(raw net.Conn) {
					in := bufio.NewReader(raw)
					r, err := http.ReadRequest(in)
					if err != nil {
						t.Errorf("the request cannot be read: %v", err)
						return
					}
					if r.RequestURI != c.uri || r.Host != c.host || r.Method != "GET" {
						t.Errorf("got %s %s at host %q; want GET %s at %q", r.Method, r.RequestURI, r.Host, c.uri, c.host)
					}
					for name, want := range map[string]string{
						"Sec-Websocket-Protocol": c.protocol, "Sec-Websocket-Version": "13", "User-Agent": "devicetwin-go",
						"Sec-Websocket-Extensions": "", "Origin": "",
					} {
						if got := r.Header.Get(name); got != want {
							t.Errorf("header %s: got %q; want %q", name, got, want)
						}
					}
					if w, err := upgrade(taken{raw: raw, in: in, header: http.Header{}}, r); err != nil {
						t.Errorf("the front upgrades: %v", err)
					} else {
						w.Close()
					}
				})
				conn, err := ws.Stream(&ws.Options{Stream: f.Stream})(t.Context(), c.target)
				if err != nil {
					t.Fatalf("Stream: %v", err)
				}
				conn.Close()
				below := *f.target.Load()
				if below.Port != 443 || below.Host != c.target.Host || below.Protocol != "websocket" || below.Certificate != c.target.Certificate {
					t.Errorf("the stream below was asked for %+v; want the target's host and certificate at port 443", below)
				}
				f.wantClosed()
			})
		})
	}
}

func TestUnknownProtocol(t *testing.T) {
	_, err := ws.Stream(nil)(t.Context(), transport.Target{Protocol: "coap", Host: "h.example"})
	wantError(t, "Stream", err, transport.ErrUnsupported)
}

// TestDefaultStream dials 127.0.0.0/8 at port 443, where nobody is let in.
func TestDefaultStream(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ws.Stream(nil)(ctx, transport.Target{Protocol: "mqtt", Host: "127.0.0.1", Port: 8883})
	wantError(t, "Stream", err, context.Canceled)
	if !strings.Contains(err.Error(), "127.0.0.1:443") {
		t.Errorf("got error %q; want it to name 127.0.0.1:443, the default", err)
	}
}

// shakeWith opens a stream to a front that reads the request and answers with
// the text.
func shakeWith(t *testing.T, answer string) error {
	t.Helper()
	f := newFront(t, func(raw net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(raw)); err != nil {
			t.Errorf("the request cannot be read: %v", err)
		}
		_, _ = io.WriteString(raw, answer) // it may be hung up on
	})
	_, err := ws.Stream(&ws.Options{Stream: f.Stream})(t.Context(), transport.Target{Protocol: "mqtt", Host: "h.example"})
	if err == nil {
		t.Fatal("Stream: got no error")
	}
	f.wantClosed()
	if len(err.Error()) > 1000 {
		t.Errorf("the error has %d bytes; want at most 1000: %.200s…", len(err.Error()), err)
	}
	return err
}

func TestRefusedByStatus(t *testing.T) {
	for status, want := range map[int]error{
		200: transport.ErrProtocol,
		302: transport.ErrProtocol,
		400: transport.ErrProtocol,
		401: transport.ErrUnauthorized,
		403: transport.ErrUnauthorized,
		404: transport.ErrProtocol,
		407: transport.ErrProtocol,
		426: transport.ErrProtocol,
		429: transport.ErrThrottled,
		500: transport.ErrUnavailable,
		503: transport.ErrUnavailable,
		599: transport.ErrUnavailable,
		600: transport.ErrProtocol,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := strings.Repeat("why ", 1000)
				err := shakeWith(t, fmt.Sprintf("HTTP/1.1 %d Text\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body))
				wantError(t, "Stream", err, want)
				var refused *ws.HandshakeError
				if !errors.As(err, &refused) || refused.Status != status || len(refused.Message) < 150 || len(refused.Message) > 200 {
					t.Errorf("got %#v; want a *HandshakeError with status %d and up to 200 bytes of the body", refused, status)
				}
				if text := err.Error(); !strings.Contains(text, fmt.Sprint(status)) || !strings.Contains(text, "h.example") {
					t.Errorf("got error %q; want it to tell status and host", text)
				}
				for _, other := range []error{transport.ErrProtocol, transport.ErrUnauthorized, transport.ErrThrottled, transport.ErrUnavailable} {
					if other != want && errors.Is(err, other) {
						t.Errorf("status %d also matches %q", status, other)
					}
				}
			})
		})
	}
}

// accepted is the answer of RFC 6455, 4.2.2, but with a wrong key.
const accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

func TestHostileAnswers(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		want         error
	}{
		{"no HTTP", "\x15\x03\x01\x00\x02\x02\x16" + strings.Repeat("x", 5000) + "\r\n\r\n", transport.ErrProtocol},
		{"a broken header", "HTTP/1.1 101 x\r\nno colon here\r\n\r\n", transport.ErrProtocol},
		{"a header without an end", "HTTP/1.1 101 x\r\n" + strings.Repeat("A: b\r\n", 1<<20), transport.ErrProtocol},
		{"a line without an end", "HTTP/1.1 101 " + strings.Repeat("x", 1<<20), transport.ErrProtocol},
		{"another key", accepted + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", transport.ErrProtocol},
		{"nothing", "", io.ErrUnexpectedEOF},
		{"half a line", "HTTP/1.", transport.ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wantError(t, "Stream", shakeWith(t, c.answer), c.want)
			})
		})
	}
}

// TestWrongConsent has a true WebSocket that is not what was asked for.
func TestWrongConsent(t *testing.T) {
	for _, c := range []struct {
		name, told string
		header     http.Header
	}{
		{"no sub-protocol", `""`, http.Header{}},
		{"another sub-protocol", `"soap"`, http.Header{"Sec-Websocket-Protocol": {"soap"}}},
		{"an extension that was not asked for", `"x-gzip"`, http.Header{"Sec-Websocket-Protocol": {"mqtt"}, "Sec-Websocket-Extensions": {"x-gzip"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFront(t, func(raw net.Conn) { consent(t, raw, c.header) })
				_, err := ws.Stream(&ws.Options{Stream: f.Stream})(t.Context(), transport.Target{Protocol: "mqtt", Host: "h.example"})
				wantError(t, "Stream", err, transport.ErrProtocol)
				if !strings.Contains(err.Error(), c.told) {
					t.Errorf("got error %q; want it to tell %s", err, c.told)
				}
				f.wantClosed()
			})
		})
	}
	t.Run("the sub-protocol in capitals is right", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFront(t, func(raw net.Conn) { consent(t, raw, http.Header{"Sec-Websocket-Protocol": {"MQTT"}}) })
			c, err := ws.Stream(&ws.Options{Stream: f.Stream})(t.Context(), transport.Target{Protocol: "mqtt", Host: "h.example"})
			if err != nil {
				t.Fatalf("Stream: %v; names of sub-protocols differ in case between clients", err)
			}
			c.Close()
		})
	})
}

// consent upgrades with the header, word for word.
func consent(t *testing.T, raw net.Conn, header http.Header) {
	in := bufio.NewReader(raw)
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Errorf("the request cannot be read: %v", err)
		return
	}
	extensions := header.Get("Sec-Websocket-Extensions")
	header.Del("Sec-Websocket-Extensions") // the upgrader writes its own
	if extensions != "" {
		header["X-Note: x\r\nSec-Websocket-Extensions"] = []string{extensions}
	}
	r.Header.Del("Sec-Websocket-Protocol")
	var u websocket.Upgrader
	if _, err := u.Upgrade(taken{raw: raw, in: in, header: http.Header{}}, r, header); err != nil {
		t.Errorf("the front upgrades: %v", err)
	}
}

// TestContextEndsHandshake has a front that takes the request and is silent.
func TestContextEndsHandshake(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Minute)
		}, context.DeadlineExceeded},
		{"cancellation", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Minute, cancel)
			return ctx, cancel
		}, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFront(t, func(raw net.Conn) { _, _ = io.Copy(io.Discard, raw) })
				ctx, cancel := c.make(t.Context())
				defer cancel()
				start := time.Now()
				_, err := ws.Stream(&ws.Options{Stream: f.Stream})(ctx, transport.Target{Protocol: "mqtt", Host: "h.example"})
				wantError(t, "Stream", err, c.want)
				if got := time.Since(start); got != time.Minute {
					t.Errorf("Stream returned after %v; want 1m", got)
				}
				f.wantClosed()
			})
		})
	}
}

func TestStreamBelowFails(t *testing.T) {
	no := errors.New("no carrier")
	_, err := ws.Stream(&ws.Options{Stream: func(context.Context, transport.Target) (net.Conn, error) { return nil, no }})(
		t.Context(), transport.Target{Protocol: "mqtt"})
	wantError(t, "Stream", err, no)
}

package ws_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// FuzzAnswer feeds the client any bytes in place of a hub's answer to the
// handshake, and after a good one: it fails or reads, and ends in time.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), false)
	f.Add([]byte("HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 3\r\n\r\nabc"), false)
	f.Add([]byte("\x82\x03abc\x89\x01x\x88\x02\x03\xe8"), true)
	f.Add([]byte("\x02\x01a\x00\x01b\x80\x01c"), true)
	f.Fuzz(func(t *testing.T, answer []byte, good bool) {
		client, server := memconn.Pipe("device", "hub")
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer server.Close()
			_ = server.SetDeadline(time.Now().Add(2 * time.Second))
			r, err := http.ReadRequest(bufio.NewReader(server))
			if err != nil {
				return
			}
			if good {
				sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
				_, _ = io.WriteString(server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: "+
					base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
			}
			_, _ = server.Write(answer)
		}()
		stream := ws.Stream(&ws.Options{Stream: func(context.Context, transport.Target) (net.Conn, error) { return client, nil }})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		c, err := stream(ctx, transport.Target{Protocol: "mqtt", Host: "hub"})
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			if n, _ := io.Copy(io.Discard, c); n > int64(len(answer)) {
				t.Errorf("%d bytes were read of %d", n, len(answer))
			}
			_ = c.Close()
		}
		_ = client.Close()
		<-done
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

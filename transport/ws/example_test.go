package ws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// MQTT over port 443, with fallback from 8883 where that is blocked.
func ExampleStream() {
	over443 := mqtt.Dialer{Stream: ws.Stream(nil)}
	_ = transport.Fallback(mqtt.Dialer{}, over443, nil) // give it to device.New
}

// The stream below is any; here a web server that is no hub's, without TLS.
func ExampleHandshakeError() {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	stream := ws.Stream(&ws.Options{Stream: func(ctx context.Context, _ transport.Target) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", server.Listener.Addr().String())
	}})

	_, err := stream(context.Background(), transport.Target{Protocol: "mqtt", Host: "www.example.com"})
	fmt.Println(err)
	var refused *ws.HandshakeError
	if errors.As(err, &refused) {
		fmt.Println("status", refused.Status)
	}
	fmt.Println("no hub:", errors.Is(err, transport.ErrProtocol))
	// Output:
	// ws: WebSocket handshake with www.example.com: it answered 404: no hub speaks WebSocket there; check the host name, and for a proxy in between (it says "404 page not found")
	// status 404
	// no hub: true
}

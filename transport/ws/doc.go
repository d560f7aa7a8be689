// Package ws carries a hub's protocol over WebSocket on port 443, where a
// firewall lets nothing else out. Give its stream to a transport:
//
//	dev := device.New(id, cred, mqtt.Dialer{Stream: ws.Stream(nil)}, nil)
//
// It stands on any encrypted stream, so also on one that leads through a proxy
// (package proxy), and it verifies nothing itself: TLS below it does. It knows
// nothing of packets; MQTT and AMQP both are a stream of bytes to it.
//
// A program that does not import this package does not link it, nor net/http.
//
// # Why github.com/gorilla/websocket
//
// Framing and handshake are the library's. Two are well kept; measured as
// examples/sas for linux/arm (GOARM=7, CGO_ENABLED=0, -trimpath,
// -ldflags="-s -w") with go1.26.8:
//
//	examples/sas over TLS on 8883          5,505,186 bytes
//	  over gorilla/websocket v1.5.3        6,291,618 bytes   +0.79 MB
//	  over coder/websocket v1.8.15         6,815,906 bytes   +1.31 MB
//
// Nearly all of that is net/http: coder's handshake needs its client and
// connection pool, gorilla's only its request and response. Gorilla's has
// stood in this module's graph all along, through the MQTT codec; it depends
// on nothing, starts no goroutine and waits on channels, which virtual time
// wants. That coder's takes contexts where gorilla's takes deadlines is no gain
// here: what is needed is a net.Conn, and there both let a passed deadline end
// the connection.
package ws

package ws_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// hubPeer is the far end of the suite's cases: a hub behind a web server.
type hubPeer struct {
	*hubtest.Hub
	stream  transport.StreamFunc
	devices map[string]hubtest.Device
}

func (p hubPeer) Dialer(wrap transporttest.Wrap) transport.Dialer {
	if wrap == nil {
		return mqtt.Dialer{Stream: p.stream}
	}
	return mqtt.Dialer{Stream: func(ctx context.Context, target transport.Target) (net.Conn, error) {
		stream, err := p.stream(ctx, target)
		if err != nil {
			return nil, err
		}
		return wrap(stream)
	}}
}

func (p hubPeer) Login(id string, keepAlive time.Duration) (transport.Login, error) {
	d, known := p.devices[id]
	if !known {
		var err error
		if d, err = p.AddDevice(id); err != nil {
			return transport.Login{}, err
		}
		p.devices[id] = d
	}
	key, err := auth.ParseKey(d.PrimaryKey)
	if err != nil {
		return transport.Login{}, err
	}
	// Some cases last longer than the usual hour, at whose end a hub hangs up.
	credential := auth.SAS(key, &auth.SASOptions{Lifetime: 48 * time.Hour})
	token, err := credential.Token(context.Background(), d.Identity.Audience(), time.Now())
	return transport.Login{Identity: d.Identity, Token: token, KeepAlive: keepAlive}, err
}

// mqttOf opens the hub's own stream.
func mqttOf(hub *hubtest.Hub) (net.Conn, error) {
	return hub.Stream(context.Background(), transport.Target{Protocol: "mqtt", Port: 8883})
}

// inMemory is a WebSocket over pipes.
func inMemory(t *testing.T) hubPeer {
	var hub *hubtest.Hub
	f := newFront(t, upgraded(func(c *websocket.Conn) {
		stream, err := mqttOf(hub)
		if err != nil {
			return
		}
		join(c, stream)
	}))
	hub = hubtest.New(t, nil)
	return hubPeer{hub, ws.Stream(&ws.Options{Stream: f.Stream}), map[string]hubtest.Device{}}
}

// overTLS is a WebSocket on a real web server.
func overTLS(t *testing.T) hubPeer {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	hub := hubtest.New(t, nil)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg.Add(1)
		defer wg.Done()
		c, err := upgrade(w, r)
		if err != nil {
			return
		}
		stream, err := mqttOf(hub)
		if err != nil {
			return
		}
		join(c, stream)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	stream := ws.Stream(&ws.Options{Stream: transport.TLS(&transport.TLSOptions{
		Config:  &tls.Config{RootCAs: roots, ServerName: "example.com"}, // httptest's name
		Address: server.Listener.Addr().String(),
	})})
	return hubPeer{hub, stream, map[string]hubtest.Device{}}
}

// TestConformance runs every case of the contract with MQTT over WebSocket.
func TestConformance(t *testing.T) {
	for _, c := range transporttest.Cases() {
		t.Run("memory/"+c.Name, func(t *testing.T) {
			t.Log("rule:", c.Rule)
			synctest.Test(t, func(t *testing.T) { c.Run(t, inMemory(t)) })
		})
		if c.Virtual {
			continue // it takes too long for real sockets
		}
		t.Run("TLS over TCP/"+c.Name, func(t *testing.T) {
			t.Log("rule:", c.Rule)
			c.Run(t, overTLS(t))
		})
	}
}

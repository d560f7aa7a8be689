package ws_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest/hubpeer"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// protocols are what is spoken over WebSocket.
func protocols() map[string]func(transport.StreamFunc) transport.Dialer {
	return map[string]func(transport.StreamFunc) transport.Dialer{
		"MQTT": func(s transport.StreamFunc) transport.Dialer { return mqtt.Dialer{Stream: s} },
		"AMQP": func(s transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: s} },
	}
}

// newPeer is a new hub at the end of a WebSocket.
func newPeer(t *testing.T, way hubpeer.Way, protocol string) hubpeer.Peer {
	t.Helper()
	hub := hubtest.New(t, nil)
	return hubpeer.New(hub, ws.Stream(&ws.Options{Stream: way.Stream(t, hub, hubtest.HTTPS)}), protocols()[protocol])
}

// runOver runs a test in virtual time where the way allows it.
func runOver(t *testing.T, way hubpeer.Way, name string, f func(*testing.T)) {
	t.Run(way.Name+"/"+name, func(t *testing.T) {
		if way.Real {
			f(t)
			return
		}
		synctest.Test(t, f)
	})
}

// TestConformance runs every case of the contract with both protocols over
// WebSocket.
func TestConformance(t *testing.T) {
	for protocol := range protocols() {
		for _, way := range hubpeer.Ways() {
			for _, c := range transporttest.Cases() {
				if way.Real && c.Virtual {
					continue // it takes too long for real sockets
				}
				runOver(t, way, protocol+"/"+c.Name, func(t *testing.T) {
					t.Log("rule:", c.Rule)
					c.Run(t, newPeer(t, way, protocol))
				})
			}
		}
	}
}

// TestX509 has a certificate of the TLS below prove who the device is.
func TestX509(t *testing.T) {
	for _, way := range hubpeer.Ways()[1:] {
		for _, kind := range []string{"MQTT, self-signed", "MQTT, of a CA", "AMQP, self-signed", "AMQP, of a CA"} {
			runOver(t, way, kind, func(t *testing.T) {
				selfSigned := strings.HasSuffix(kind, "self-signed")
				p := newPeer(t, way, kind[:4])
				d, err := p.AddX509Device("dev1", &hubtest.X509Options{SelfSigned: selfSigned})
				if err != nil {
					t.Fatal(err)
				}
				cert, err := auth.CertificateOf(t.Context(), d.Credential)
				if err != nil {
					t.Fatal(err)
				}
				login := transport.Login{Identity: d.Identity, Certificate: cert, KeepAlive: time.Minute}
				c, err := p.Dialer(nil).Dial(t.Context(), login)
				if err != nil {
					t.Fatalf("with its certificate: %v", err)
				}
				c.Close()
				login.Certificate = nil
				_, err = p.Dialer(nil).Dial(t.Context(), login)
				wantError(t, "without its certificate", err, transport.ErrUnauthorized)
			})
		}
	}
}

package transport_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// TestPins offers a server's chain to clients that pin one key or another, at
// first and on a resumed session.
func TestPins(t *testing.T) {
	ca, other := newAuthority(t, "Test CA"), newAuthority(t, "Other CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	refused := errors.New("the program's own judge refuses")
	tests := []struct {
		name string
		pins []transport.Pin
		own  func(tls.ConnectionState) error
		want error // nil for a stream
	}{
		{"the root's key", []transport.Pin{transport.PinOf(ca.cert)}, nil, nil},
		{"a key of two", []transport.Pin{transport.PinOf(other.cert), transport.PinOf(ca.cert)}, nil, nil},
		{"another key", []transport.Pin{transport.PinOf(other.cert)}, nil, transport.ErrUntrusted},
		{"beside an own judge", []transport.Pin{transport.PinOf(ca.cert)}, func(tls.ConnectionState) error { return refused }, refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := ca.config()
			config.VerifyConnection = tt.own
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			stream := transport.TLS(&transport.TLSOptions{Config: config, Address: address, Pins: tt.pins})
			if tt.want == nil {
				for i, resumed := range []bool{false, true} {
					if s := open(t, stream, transport.Target{Host: hubName}); s.DidResume != resumed {
						t.Errorf("connection %d: resumed is %t, want %t", i+1, s.DidResume, resumed)
					}
				}
				return
			}
			_, err := stream(t.Context(), transport.Target{Host: hubName})
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.want == transport.ErrUntrusted && !strings.Contains(err.Error(), transport.PinOf(ca.cert).String()) {
				t.Errorf("%v does not tell the pin of what was offered", err)
			}
		})
	}
}

// TestPinOnResumedSession has a session resumed by a client that pins another
// key meanwhile.
func TestPinOnResumedSession(t *testing.T) {
	ca, other := newAuthority(t, "Test CA"), newAuthority(t, "Other CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	target := transport.Target{Host: hubName, Sessions: tls.NewLRUClientSessionCache(1)}
	open(t, transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address}), target)
	pinned := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address, Pins: []transport.Pin{transport.PinOf(other.cert)}})
	if _, err := pinned(t.Context(), target); !errors.Is(err, transport.ErrUntrusted) {
		t.Errorf("a session from before: got %v, want %v", err, transport.ErrUntrusted)
	}
}

func TestParsePin(t *testing.T) {
	pin := transport.PinOf(newAuthority(t, "Test CA").cert)
	if got, err := transport.ParsePin(pin.String()); got != pin || err != nil {
		t.Errorf("got %v, %v; want %v", got, err, pin)
	}
	if got, err := transport.ParsePin("\ufeff" + pin.String() + "\u00a0\r\n"); got != pin || err != nil {
		t.Errorf("with what nobody sees around it: got %v, %v; want %v", got, err, pin)
	}
	if _, err := transport.ParsePin(pin.String()[:9] + "\u200b" + pin.String()[9:]); err == nil || !strings.Contains(err.Error(), "zero-width space, U+200B) stands at byte 9") {
		t.Errorf("with a zero-width space inside: got %v", err)
	}
	for _, text := range []string{"", "AAAA", pin.String() + "=", "not base64"} {
		if _, err := transport.ParsePin(text); err == nil {
			t.Errorf("%q is taken for a pin", text)
		}
	}
}

// TestUnverified holds that nobody skips verification by one field alone.
func TestUnverified(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	skip := &tls.Config{InsecureSkipVerify: true}
	_, err := transport.TLS(&transport.TLSOptions{Config: skip, Address: address})(t.Context(), transport.Target{Host: hubName})
	if !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("without a judge: got %v, want %v", err, auth.ErrInvalid)
	}
	// A judge of its own may look at a pin alone.
	skip.VerifyConnection = func(tls.ConnectionState) error { return nil }
	leaf := transport.TLS(&transport.TLSOptions{Config: skip, Address: address, Pins: []transport.Pin{transport.PinOf(ca.cert)}})
	if _, err := leaf(t.Context(), transport.Target{Host: hubName}); !errors.Is(err, transport.ErrUntrusted) {
		t.Errorf("a pin above the leaf that nobody verified: got %v, want %v", err, transport.ErrUntrusted)
	}
	open(t, transport.TLS(&transport.TLSOptions{Config: skip, Address: address}), transport.Target{Host: hubName})
}

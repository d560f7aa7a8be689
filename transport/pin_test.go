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
		pins []string
		own  func(tls.ConnectionState) error
		want error // nil for a stream
	}{
		{"the root's key", []string{transport.PinOf(ca.cert)}, nil, nil},
		{"a key of two", []string{transport.PinOf(other.cert), transport.PinOf(ca.cert)}, nil, nil},
		{"another key", []string{transport.PinOf(other.cert)}, nil, transport.ErrUntrusted},
		{"beside an own judge", []string{transport.PinOf(ca.cert)}, func(tls.ConnectionState) error { return refused }, refused},
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
			if tt.want == transport.ErrUntrusted && !strings.Contains(err.Error(), transport.PinOf(ca.cert)) {
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
	pinned := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address, Pins: []string{transport.PinOf(other.cert)}})
	if _, err := pinned(t.Context(), target); !errors.Is(err, transport.ErrUntrusted) {
		t.Errorf("a session from before: got %v, want %v", err, transport.ErrUntrusted)
	}
}

// TestPinsAreRead has pins in the forms that people and files bring.
func TestPinsAreRead(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	pin := transport.PinOf(ca.cert)
	stream := func(pin string) transport.StreamFunc {
		return transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address, Pins: []string{pin}})
	}
	open(t, stream("\ufeff"+pin+"\u00a0\r\n"), transport.Target{Host: hubName})
	for _, tt := range []struct{ pin, says string }{
		{"", `TLSOptions.Pins[0] is ""`},
		{"AAAA", `TLSOptions.Pins[0] is "AAAA"; want the base64 of 32 bytes`},
		{pin + "=", "TLSOptions.Pins[0] is "},
		{"not base64", `"not base64"`},
		{pin[:9] + "\u200b" + pin[9:], "zero-width space, U+200B) stands at byte 9"},
	} {
		_, err := stream(tt.pin)(t.Context(), transport.Target{Host: hubName})
		if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: got %v, want %v that says %q", tt.pin, err, auth.ErrInvalid, tt.says)
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
	leaf := transport.TLS(&transport.TLSOptions{Config: skip, Address: address, Pins: []string{transport.PinOf(ca.cert)}})
	if _, err := leaf(t.Context(), transport.Target{Host: hubName}); !errors.Is(err, transport.ErrUntrusted) {
		t.Errorf("a pin above the leaf that nobody verified: got %v, want %v", err, transport.ErrUntrusted)
	}
	open(t, transport.TLS(&transport.TLSOptions{Config: skip, Address: address}), transport.Target{Host: hubName})
}

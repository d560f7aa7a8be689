package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/devicetwin/devicetwin-go/transport"
)

// TestTextsAreCutAt512Bytes, and an ellipsis follows.
func TestTextsAreCutAt512Bytes(t *testing.T) {
	for n, cut := range map[int]bool{512: false, 513: true} {
		e := transport.NewStatusError(400, []byte(`{"message":"`+strings.Repeat("x", n)+`","trackingId":"`+strings.Repeat("y", n)+`"}`))
		for _, s := range []string{e.Message, e.TrackingID} {
			if got := strings.HasSuffix(s, "…"); got != cut || len(strings.TrimSuffix(s, "…")) != 512 {
				t.Errorf("of %d bytes %d are kept, cut: %t", n, len(s), got)
			}
		}
	}
}

// TestBodyIsNotKept: the error stays as it is when the buffer is used again.
func TestBodyIsNotKept(t *testing.T) {
	body := []byte(`{"errorCode":400004,"message":"bad","trackingId":"t1"}`)
	e := transport.NewStatusError(400, body)
	was := e.Error()
	for i := range body {
		body[i] = 'x'
	}
	if got := e.Error(); got != was {
		t.Errorf("%q became %q", was, got)
	}
}

// TestSentinelsAreMatchedThroughWrapping.
func TestSentinelsAreMatchedThroughWrapping(t *testing.T) {
	for name, sentinel := range sentinels() {
		if err := fmt.Errorf("a: %w", fmt.Errorf("b: %w", errors.Join(errors.New("c"), sentinel))); !errors.Is(err, sentinel) {
			t.Errorf("%s is not matched", name)
		}
	}
}

// TestTLSAtOnce: one StreamFunc serves many targets concurrently.
func TestTLSAtOnce(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	names := []string{"a.test", "b.test", "c.test", "d.test"}
	byName := map[string]*tls.Certificate{}
	for _, name := range names {
		cert := ca.issue(t, name)
		byName[name] = &cert
	}
	address, _ := serveTLS(t, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return byName[h.ServerName], nil }})
	stream := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address})
	var wg sync.WaitGroup
	for _, name := range names {
		for range 2 {
			wg.Go(func() {
				conn, err := stream(context.Background(), transport.Target{Host: name, Port: 8883})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if got := conn.(*tls.Conn).ConnectionState().ServerName; got != name {
					t.Errorf("a stream to %s asked for %s", name, got)
				}
				_ = conn.Close()
			})
		}
	}
	wg.Wait()
}

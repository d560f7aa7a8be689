//go:build unix

package transport_test

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"

	"github.com/devicetwin/devicetwin-go/transport"
)

// A modem is not woken by TCP's own probes.
func TestTLSKeepAliveIsOff(t *testing.T) {
	ca := newAuthority(t, "Test CA")
	address, _ := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, hubName)}})
	conn, err := transport.TLS(&transport.TLSOptions{Config: ca.config(), Address: address})(t.Context(), transport.Target{Host: hubName})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*tls.Conn).NetConn().(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got, failed := 0, error(nil)
	if err := raw.Control(func(fd uintptr) {
		got, failed = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if got != 0 {
		t.Errorf("SO_KEEPALIVE = %d, want 0", got)
	}
}

package transport_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// A stream may take any way to the hub; the TLS above it is checked against
// the hub's name all the same.
func ExampleTLS() {
	stream := transport.TLS(&transport.TLSOptions{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			fmt.Println("dialing", network, address)
			return nil, errors.New("the modem has no carrier")
		},
	})
	_, err := stream(context.Background(), transport.Target{Host: "myhub.azure-devices.net", Port: 8883})
	fmt.Println(err)
	// Output:
	// dialing tcp myhub.azure-devices.net:8883
	// transport: connect to myhub.azure-devices.net:8883: the modem has no carrier
}

// A gateway with a certificate of a private CA, at an address of its own. Give
// the StreamFunc to a Dialer, such as mqtt.Dialer{Stream: stream}.
func ExampleTLS_privateCA() {
	pem, err := os.ReadFile("/etc/ssl/factory-ca.pem")
	if err != nil {
		fmt.Println(err)
		return
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		fmt.Println("no certificate in that file")
		return
	}
	stream := transport.TLS(&transport.TLSOptions{
		RootCAs: roots,
		Address: "192.168.7.1:8883", // verified is the target's name, not this
	})
	_ = stream
}

// The hub's answer matches one sentinel, and carries the details.
func ExampleStatusError() {
	err := fmt.Errorf("report: %w", transport.NewStatusError(403,
		[]byte(`{"errorCode":403002,"message":"Total number of messages exceeded the allocated quota.","trackingId":"c3c3"}`)))

	fmt.Println(errors.Is(err, transport.ErrQuota), errors.Is(err, transport.ErrThrottled))
	var status *transport.StatusError
	if errors.As(err, &status) {
		fmt.Println(status.Status, status.Code, status.TrackingID)
	}
	fmt.Println(err)
	// Output:
	// true false
	// 403 403002 c3c3
	// report: transport: hub answered 403 (403002): "Total number of messages exceeded the allocated quota." [tracking id "c3c3"]
}

// What a program does about an error hangs on its sentinel.
func Example_errors() {
	for _, status := range []int{401, 404, 412, 413, 429, 503} {
		err := error(transport.NewStatusError(status, nil))
		switch {
		case errors.Is(err, transport.ErrUnauthorized):
			fmt.Println(status, "check id, key and clock")
		case errors.Is(err, transport.ErrNotFound):
			fmt.Println(status, "the device is not registered")
		case errors.Is(err, transport.ErrPrecondition):
			fmt.Println(status, "get the twin again")
		case errors.Is(err, transport.ErrRejected):
			fmt.Println(status, "mend the patch")
		case errors.Is(err, transport.ErrThrottled), errors.Is(err, transport.ErrUnavailable):
			fmt.Println(status, "later")
		}
	}
	// Output:
	// 401 check id, key and clock
	// 404 the device is not registered
	// 412 get the twin again
	// 413 mend the patch
	// 429 later
	// 503 later
}

// A path is a Dialer for the example.
type path func() error

func (p path) Dial(context.Context, transport.Login) (transport.Conn, error) { return nil, p() }

// Two ways of the same protocol are mqtt.Dialer{} and
// mqtt.Dialer{Stream: ws.Stream(nil)}; here are two that fail.
func ExampleFallback() {
	dialer := transport.Fallback(
		path(func() error { return fmt.Errorf("%w: port 8883: connection refused", transport.ErrUnavailable) }),
		path(func() error { return fmt.Errorf("%w over port 443", transport.ErrUnauthorized) }),
		&transport.FallbackOptions{Wait: 5 * time.Second},
	)
	_, err := dialer.Dial(context.Background(), transport.Login{})
	fmt.Println("unauthorized:", errors.Is(err, transport.ErrUnauthorized))
	fmt.Println(err)
	// Output:
	// unauthorized: true
	// transport: hub refused the identity; check device id, key or certificate, whether the device exists and is enabled, and the clock over port 443 (before that, the other way failed: hub is unavailable: port 8883: connection refused)
}

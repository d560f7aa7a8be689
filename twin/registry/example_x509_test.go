package registry_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// A board that made its own key and certificate, in a secure element perhaps,
// is known by the certificate's thumbprint. One whose certificate a CA of the
// hub's has signed needs CertificateAuthority alone.
func ExampleClient_CreateRegistration_certificate() {
	hub, policy := fleet()
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	board, err := hubtest.SelfSigned("fan1", nil)
	if err != nil {
		log.Fatal(err)
	}

	fan, err := client.CreateRegistration(ctx, "fan1", registry.Registration{
		Authentication:    registry.AuthenticationSelfSigned,
		PrimaryThumbprint: fmt.Sprintf("%X", sha256.Sum256(board.Certificate.Leaf.Raw)),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fan.Authentication, len(fan.PrimaryThumbprint))

	// The board's side, from here on.
	who := auth.Identity{Host: hub.Host(), DeviceID: "fan1"}
	dev := device.New(who, auth.X509(board.Certificate), mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{
		RootCAs: hub.RootCAs(), DialContext: hub.DialContext,
	})}, nil)
	defer dev.Close()
	fmt.Println(dev.Connect(ctx))
	// Output:
	// selfSigned 64
	// <nil>
}

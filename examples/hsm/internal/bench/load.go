package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"sync"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// Renewals of RenewUnderLoad, and how many others use the hardware meanwhile.
const (
	renewals = 10
	others   = 4
)

// RenewUnderLoad has a device renew its proof again and again, while others sign
// by a key in the same hardware. The hub has to take every one.
func (b *Bench) RenewUnderLoad(cred auth.Credential, key crypto.Signer) {
	b.Helper()
	stream := transport.TLS(&transport.TLSOptions{RootCAs: b.Hub.RootCAs(), DialContext: b.Hub.DialContext})
	dev := device.New(b.Dev.Identity, cred, mqtt.Dialer{Stream: stream}, nil)
	defer dev.Close()
	if err := dev.Connect(b.Ctx); err != nil {
		b.Fatal(err)
	}
	busy, stop := context.WithCancel(b.Ctx)
	var signing sync.WaitGroup
	defer signing.Wait()
	defer stop()
	for range others {
		signing.Go(func() {
			digest := make([]byte, crypto.SHA256.Size())
			for busy.Err() == nil {
				_, _ = rand.Read(digest)
				if _, err := key.Sign(nil, digest, crypto.SHA256); err != nil {
					b.Errorf("sign under load: %v", err)
					return
				}
			}
		})
	}
	for n := range renewals {
		if err := dev.Renew(); err != nil {
			b.Fatal(err)
		}
		b.Connected(n + 2)
	}
	if got := b.Hub.Device(Device).Stats(); got.Refused != 0 {
		b.Errorf("the hub refused %d proofs, want none", got.Refused)
	}
}

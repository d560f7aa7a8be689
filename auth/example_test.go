package auth_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

func ExampleParseConnectionString() {
	id, cred, err := auth.ParseConnectionString("HostName=myhub.azure-devices.net;DeviceId=dev1;" +
		"SharedAccessKey=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(id)
	fmt.Println(cred)
	// Output:
	// dev1@myhub.azure-devices.net
	// SAS credential, device key REDACTED, tokens of 1h0m0s
}

// A device with a certificate has a string without a secret, and brings a
// credential of its own.
func ExampleParseConnectionString_x509() {
	id, cred, err := auth.ParseConnectionString("HostName=myhub.azure-devices.net;DeviceId=dev1;x509=true")
	fmt.Println(id, cred == nil, err)
	// Output:
	// dev1@myhub.azure-devices.net true <nil>
}

// Errors name the field and quote no secret: here the key lost its last
// character, which is the '='.
func ExampleParseConnectionString_errors() {
	for _, s := range []string{
		"HostName=myhub.azure-devices.net;DeviceId=dev1;SharedAccessKey=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
		"HostName=myhub.azure-devices.net;DeviceId=living room;SharedAccessKey=MDEy",
		"HostName=myhub.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=MDEy",
	} {
		_, _, err := auth.ParseConnectionString(s)
		if errors.Is(err, auth.ErrInvalid) { // no retry helps
			fmt.Println(err)
		}
	}
	// Output:
	// connection string: SharedAccessKey: invalid configuration: the key is not base64; copy it whole, with its closing '='
	// connection string: invalid configuration: DeviceId holds ' ' at offset 6; allowed are ASCII letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '
	// connection string: invalid configuration: DeviceId is missing; this looks like a string for services; copy the whole string of the device from the hub
}

// tpm stands for a chip that keeps the key and computes with it.
type tpm struct {
	hmac func(data []byte) ([]byte, error) // the chip's own command
}

func (c tpm) Sign(ctx context.Context, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.hmac(data)
}

// The key may live where no program can read it.
func ExampleSAS() {
	chip := tpm{hmac: func(data []byte) ([]byte, error) {
		mac := hmac.New(sha256.New, []byte("0123456789abcdef0123456789abcdef"))
		mac.Write(data)
		return mac.Sum(nil), nil
	}}
	cred := auth.SAS(chip, &auth.SASOptions{Lifetime: 2 * time.Hour})

	id := auth.Identity{Host: "myhub.azure-devices.net", DeviceID: "dev1"}
	now := time.Date(2025, 12, 31, 22, 0, 0, 0, time.UTC)
	token, err := cred.Token(context.Background(), id.Audience(), now)
	fmt.Println(token, err)
	// Output:
	// SAS token REDACTED, ends 2026-01-01T00:00:00Z <nil>
}

// A token for another program, such as an HTTP client of the hub's REST API.
func ExampleSignToken() {
	key, err := auth.ParseKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		fmt.Println(err)
		return
	}
	end := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	token, err := auth.SignToken(context.Background(), key, "myhub.azure-devices.net/devices/dev1", "", end)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token)          // what logs show
	fmt.Println(token.Reveal()) // what goes over the wire
	// Output:
	// SAS token REDACTED, ends 2026-01-01T00:00:00Z
	// SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600
}

func ExampleParseToken() {
	token, err := auth.ParseToken("SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1" +
		"&sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600")
	fmt.Println(token.Expires().UTC(), err)

	_, err = auth.ParseToken("SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=v3cEShKGdw")
	fmt.Println(err)
	// Output:
	// 2026-01-01 00:00:00 +0000 UTC <nil>
	// invalid configuration: SAS token: field sig is not the base64 of 32 bytes; copy the token whole
}

// A device may be given a token in place of a key. When it ends, somebody must
// bring another.
func ExampleGivenToken() {
	token, err := auth.ParseToken("SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1" +
		"&sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600")
	if err != nil {
		fmt.Println(err)
		return
	}
	cred := auth.GivenToken(token)

	ctx := context.Background()
	now := time.Date(2026, 1, 1, 0, 0, 5, 0, time.UTC)
	_, err = cred.Token(ctx, "myhub.azure-devices.net/devices/dev1", now)
	fmt.Println(errors.Is(err, auth.ErrTokenExpired), err)
	_, err = cred.Token(ctx, "myhub.azure-devices.net/devices/dev2", now)
	fmt.Println(errors.Is(err, auth.ErrInvalid), err)
	// Output:
	// true the given SAS token expired at 2026-01-01T00:00:00Z; the clock says 2026-01-01T00:00:05Z: give a new one, or set the clock
	// true invalid configuration: the given token is for "myhub.azure-devices.net/devices/dev1", which does not cover "myhub.azure-devices.net/devices/dev2": check its sr field
}

// A board without a battery begins in 1970.
func ExampleCheckClock() {
	err := auth.CheckClock(time.Unix(12, 0))
	fmt.Println(errors.Is(err, auth.ErrClockImplausible))
	fmt.Println(err)
	fmt.Println(auth.CheckClock(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)))
	// Output:
	// true
	// implausible clock: the device's clock says 1970-01-01T00:00:12Z, which is before 2025-01-01; set it (NTP, RTC, modem) before tokens and certificates can work
	// <nil>
}

// An identity that comes from settings of your own is checked before its use.
func ExampleIdentity_Validate() {
	id := auth.Identity{Host: "https://myhub.azure-devices.net", DeviceID: "dev1"}
	fmt.Println(id.Validate())
	id.Host = "myhub.azure-devices.net"
	fmt.Println(id.Validate())
	// Output:
	// invalid configuration: HostName holds ':' at offset 5; it is a bare host name, without scheme, port or path
	// <nil>
}

// A Key, like a Token, shows its secret in no text, wherever it stands.
func ExampleKey() {
	key, err := auth.ParseKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		fmt.Println(err)
		return
	}
	settings := struct {
		Device string
		Key    auth.Key
	}{"dev1", key}
	fmt.Printf("%v\n%x\n%+v\n", key, key, settings)
	// Output:
	// key REDACTED
	// key REDACTED
	// {Device:dev1 Key:key REDACTED}
}

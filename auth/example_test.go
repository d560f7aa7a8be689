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
	if errors.Is(err, auth.ErrWantsCertificate) {
		fmt.Println(err)
		cred, err = auth.X509Files("cert.pem", "key.pem", nil), nil
	}
	fmt.Println(id, cred, err)
	// Output:
	// auth: connection string: invalid configuration: with x509=true it holds no credential; take the identity, and give the device's certificate, such as by auth.X509Files
	// dev1@myhub.azure-devices.net X.509 credential, key REDACTED <nil>
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
	// auth: connection string: SharedAccessKey: invalid configuration: the key is not base64; copy it whole, with its closing '='
	// auth: connection string: invalid configuration: DeviceId holds ' ' at offset 6; allowed are ASCII letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '
	// auth: connection string: invalid configuration: DeviceId is missing; this looks like a string for services; copy the whole string of the device from the hub
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
	token, err := auth.TokenOf(context.Background(), cred, id.Audience(), now)
	fmt.Println(token, err)
	// Output:
	// SAS token REDACTED, ends 2026-01-01T00:00:00Z <nil>
}

// A token for another program, such as an HTTP client of the hub's REST API.
func ExampleTokenOf() {
	id := auth.Identity{Host: "myhub.azure-devices.net", DeviceID: "dev1"}
	key, err := auth.ParseKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC)
	token, err := auth.TokenOf(context.Background(), auth.SAS(key, nil), id.Audience(), now)
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
	// auth: invalid configuration: SAS token: field sig is not the base64 of 32 bytes; copy the token whole
}

// A device may be given a token in place of a key. When it ends, somebody must
// bring another.
func ExampleStaticToken() {
	token, err := auth.ParseToken("SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1" +
		"&sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600")
	if err != nil {
		fmt.Println(err)
		return
	}
	cred := auth.StaticToken(token)

	ctx := context.Background()
	now := time.Date(2026, 1, 1, 0, 0, 5, 0, time.UTC)
	_, err = auth.TokenOf(ctx, cred, "myhub.azure-devices.net/devices/dev1", now)
	fmt.Println(errors.Is(err, auth.ErrTokenExpired), err)
	_, err = auth.TokenOf(ctx, cred, "myhub.azure-devices.net/devices/dev2", now)
	fmt.Println(errors.Is(err, auth.ErrInvalid), err)
	// Output:
	// true auth: the given SAS token expired at 2026-01-01T00:00:00Z; the clock says 2026-01-01T00:00:05Z: give a new one, or set the clock
	// true auth: invalid configuration: the given token is for "myhub.azure-devices.net/devices/dev1", which does not cover "myhub.azure-devices.net/devices/dev2": check its sr field
}

// An identity that comes from settings of your own is checked before its use.
func ExampleIdentity_Validate() {
	id := auth.Identity{Host: "https://myhub.azure-devices.net", DeviceID: "dev1"}
	fmt.Println(id.Validate())
	id.Host = "myhub.azure-devices.net"
	fmt.Println(id.Validate())
	// Output:
	// auth: invalid configuration: HostName holds ':' at offset 5; it is a bare host name, without scheme, port or path
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

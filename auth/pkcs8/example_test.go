package pkcs8_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pkcs8"
)

// Firmware that names pkcs8.Decrypt links it; any other does not. The files are
// read when a connection needs them, and again when they were replaced.
func Example() {
	passphrase := "correct-horse" // from a secure element, a sealed file, a person
	cred := auth.X509Files("/data/device.crt", "/data/device.key", &auth.X509Options{
		Passphrase: passphrase,
		Decrypt:    pkcs8.Decrypt,
	})
	fmt.Println(cred)
	// Output:
	// X.509 credential, key REDACTED
}

func ExampleDecrypt() {
	text, err := os.ReadFile("testdata/p256-aes-256-cbc.pem")
	if err != nil {
		fmt.Println(err)
		return
	}
	block, _ := pem.Decode(text)
	key, err := pkcs8.Decrypt(block, "correct-horse")
	fmt.Printf("%T %v\n", key, err)

	_, err = pkcs8.Decrypt(block, "correct-house")
	fmt.Println(errors.Is(err, auth.ErrInvalid)) // no retry helps
	fmt.Println(err)
	// Output:
	// *ecdsa.PrivateKey <nil>
	// true
	// auth: invalid configuration: the passphrase does not open the private key; check it, and that it is this file's (a damaged file, or a key of a kind that TLS does not know, looks the same)
}

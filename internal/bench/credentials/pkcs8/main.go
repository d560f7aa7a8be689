// Command pkcs8 proves its identity by a certificate whose key is encrypted.
package main

import (
	"os"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pkcs8"
	"github.com/devicetwin/devicetwin-go/internal/bench/credentials/board"
)

func main() {
	opts := &auth.X509Options{Passphrase: os.Getenv("PASSPHRASE"), Decrypt: pkcs8.Decrypt}
	board.Run(board.Identity(), auth.X509Files("cert.pem", "key.pem", opts), nil)
}

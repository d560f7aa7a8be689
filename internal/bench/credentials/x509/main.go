// Command x509 proves its identity by a certificate in PEM files.
package main

import (
	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/bench/credentials/board"
)

func main() { board.Run(board.Identity(), auth.X509Files("cert.pem", "key.pem", nil), nil) }

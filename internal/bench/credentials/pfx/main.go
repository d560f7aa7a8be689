// Command pfx proves its identity by a certificate in a PFX file.
package main

import (
	"os"

	"github.com/devicetwin/devicetwin-go/auth/pfx"
	"github.com/devicetwin/devicetwin-go/internal/bench/credentials/board"
)

func main() { board.Run(board.Identity(), pfx.File("device.pfx", os.Getenv("PASSPHRASE")), nil) }

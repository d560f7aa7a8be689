// Command edge is a module of IoT Edge, whose key stays with the daemon.
package main

import (
	"log"
	"os"

	"github.com/devicetwin/devicetwin-go/auth/edge"
	"github.com/devicetwin/devicetwin-go/internal/bench/credentials/board"
)

func main() {
	module, err := edge.FromEnvironment(os.Getenv, nil)
	if err != nil {
		log.Fatal(err)
	}
	board.Run(module.Identity, module.Credential, module.TLS(nil))
}

// Command sas proves its identity by a shared key.
package main

import (
	"log"
	"os"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/bench/credentials/board"
)

func main() {
	key, err := auth.ParseKey(os.Getenv("KEY"))
	if err != nil {
		log.Fatal(err)
	}
	board.Run(board.Identity(), auth.SAS(key, nil), nil)
}

//go:build !cgo

// Command pkcs11 needs cgo; see main.go.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "pkcs11: this was built without cgo, and a PKCS#11 module is a C library. Build it with a C compiler for the device: CGO_ENABLED=1 CC=<compiler> GOARCH=<device's> go build")
	os.Exit(2)
}

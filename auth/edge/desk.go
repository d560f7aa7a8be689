package edge

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// atDesk is the module under development, outside of IoT Edge.
func atDesk(getenv func(string) string) (*Module, error) {
	id, cred, err := auth.ParseConnectionString(getenv(varConnection))
	if errors.Is(err, auth.ErrWantsCertificate) {
		return nil, invalid("%s asks for a certificate; a module at a desk has a SharedAccessKey", varConnection)
	}
	file := getenv(varCAFile)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", varConnection, errtext.Bare("auth", err))
	case id.ModuleID == "":
		return nil, invalid("%s has no ModuleId; take the string of the module, not of its device", varConnection)
	case id.Gateway == "":
		return nil, invalid("%s has no GatewayHostName; add the name of the gateway, or connect to the hub itself by auth.ParseConnectionString", varConnection)
	case file == "":
		return nil, invalid("%s is not set; name the PEM file with the gateway's roots, for the system's are never used for a gateway", varCAFile)
	}
	return &Module{
		Identity: id, Credential: cred,
		roots: func(context.Context) (*x509.CertPool, error) { return rootsFromFile(file) },
	}, nil
}

// rootsFromFile reads the file anew each time, as the trust bundle is.
func rootsFromFile(name string) (*x509.CertPool, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w: no roots for the gateway: %w; does %s name the right file?", transport.ErrUntrusted, err, varCAFile)
	}
	roots, err := auth.ParseRoots(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s, which %s names: %v", transport.ErrUntrusted, name, varCAFile, errtext.Bare("auth", err))
	}
	return roots, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("%s has more than %d bytes", name, maxAnswer)
	}
	return text, err
}

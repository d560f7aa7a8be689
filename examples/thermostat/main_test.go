package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

// TestWrongCommandLines: what is wrong is named, and no secret is printed.
func TestWrongCommandLines(t *testing.T) {
	hub := hubtest.New(t, nil)
	dev, err := hub.AddX509Device("hall", nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cert, key, none := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"), filepath.Join(folder, "none.pem")
	for name, text := range map[string][]byte{cert: dev.CertificatePEM, key: dev.KeyPEM} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := map[string]string{desk.DeviceVariable: dev.ConnectionString}
	state := filepath.Join(folder, "twin")
	desktest.Check(t, "thermostat", func(args []string, c desk.Console) int { return run(t.Context(), args, c) }, []desktest.Wrong{
		{Args: []string{cert, key}, Env: good, Names: []string{"STORE"}},
		{Args: []string{cert, none, state}, Env: good, Names: []string{none}},
		{Args: []string{"-ca", none, cert, key, state}, Env: good, Names: []string{"-ca", none}},
		{Args: []string{"-x"}, Env: good, Names: []string{`"-x"`}},
		{Args: []string{cert, key, state}, Names: []string{desk.DeviceVariable}},
	})
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("got %v, want no store after a wrong command line", err)
	}
	var stderr strings.Builder
	if code := run(t.Context(), []string{"-h"}, desk.Console{Stderr: &stderr}); code != desk.ExitDone || !strings.HasPrefix(stderr.String(), about) {
		t.Errorf("-h: got status %d, stderr %q; want 0 and the usage", code, &stderr)
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWrongCommandLines: what is wrong is named, and no secret is printed.
func TestWrongCommandLines(t *testing.T) {
	folder := t.TempDir()
	none, rubbish := filepath.Join(folder, "none.pem"), filepath.Join(folder, "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := hubtest.New(t, nil)
	dev, err := hub.AddX509Device("dev1", nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for name, text := range map[string][]byte{cert: dev.CertificatePEM, key: dev.KeyPEM} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all []desktest.Wrong
	wrong := func(connection string, args []string, names ...string) {
		all = append(all, desktest.Wrong{Args: args, Env: map[string]string{desk.DeviceVariable: connection}, Names: names})
	}
	words := func(w ...string) []string { return w }
	const good = "HostName=hub.example.org;DeviceId=dev1;x509=true"
	wrong(good, nil, "CERTIFICATE", "KEY")
	wrong(good, words(cert), "KEY")
	wrong(good, words(cert, key, "more"), `"more"`)
	wrong(good, words("-x"), `"-x"`)
	wrong(good, words("-ca"), "-ca")
	wrong(good, words(cert, none), none)
	wrong(good, words(none, key), none)
	wrong(good, words(rubbish, key), rubbish)
	wrong(good, words("SharedAccessKey="+desktest.Key, key))
	wrong("", words(cert, key), desk.DeviceVariable)
	wrong("HostName=hub.example.org;x509=true", words(cert, key), desk.DeviceVariable, "DeviceId")
	wrong("HostName=hub;DeviceId=dev1;x509=true", words(cert, key), desk.DeviceVariable, "hub")
	wrong(good, words("-ca", none, cert, key), "-ca", none)
	wrong(good, words("-ca", rubbish, cert, key), "-ca", rubbish)
	wrong(good, words("-endpoint", "localhost", cert, key), "-endpoint", `"localhost"`)
	desktest.Check(t, "x509", func(args []string, c desk.Console) int { return run(t.Context(), args, c) }, all)

	var stderr strings.Builder
	if code := run(t.Context(), words("-h"), desk.Console{Stderr: &stderr}); code != desk.ExitDone || !strings.HasPrefix(stderr.String(), about) {
		t.Errorf("-h: got status %d, stderr %q; want 0 and the usage", code, stderr.String())
	}
}

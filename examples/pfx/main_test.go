package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
)

// TestWrongCommandLines: what is wrong is named, and no secret is printed.
func TestWrongCommandLines(t *testing.T) {
	folder := t.TempDir()
	none, rubbish := filepath.Join(folder, "none.pfx"), filepath.Join(folder, "rubbish.pfx")
	if err := os.WriteFile(rubbish, []byte("no PFX"), 0o600); err != nil {
		t.Fatal(err)
	}
	words := func(w ...string) []string { return w }
	good := map[string]string{desk.DeviceVariable: "HostName=hub.example.org;DeviceId=dev1;x509=true", "DEVICE_PFX_PASSPHRASE": desktest.Key}
	desktest.Check(t, "pfx", func(args []string, c desk.Console) int { return run(t.Context(), args, c) }, []desktest.Wrong{
		{Args: nil, Env: good, Names: words("FILE")},
		{Args: words(rubbish, "more"), Env: good, Names: words(`"more"`)},
		{Args: words("-pass", "x", rubbish), Env: good, Names: words(`"-pass"`)},
		{Args: words(none), Env: good, Names: words(none)},
		{Args: words(folder), Env: good, Names: words(folder)},
		{Args: words(rubbish), Env: good, Names: words(rubbish)},
		{Args: words(rubbish), Names: words(desk.DeviceVariable)},
		{Args: words("-endpoint", ":1", rubbish), Env: good, Names: words(rubbish)},
	})

	var stderr strings.Builder
	if code := run(t.Context(), words("-h"), desk.Console{Stderr: &stderr}); code != desk.ExitDone || !strings.HasPrefix(stderr.String(), about) {
		t.Errorf("-h: got status %d, stderr %q; want 0 and the usage", code, stderr.String())
	}
}

package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The roots that Microsoft tells devices to trust: hubs chain to the first,
// and are to move among these.
func hubRoots() []string {
	return []string{
		"DigiCert Global Root G2", "DigiCert Global Root G3",
		"Microsoft RSA Root Certificate Authority 2017", "Microsoft ECC Root Certificate Authority 2017",
	}
}

const bare = "DEVICETWIN_BARE_BOARD"

// TestBareBoard starts this test again where there are no roots: Go looks for
// them once, when the program starts.
func TestBareBoard(t *testing.T) {
	if os.Getenv(bare) != "" {
		onBareBoard(t)
		return
	}
	empty := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestBareBoard$", "-test.v")
	cmd.Env = append(os.Environ(), bare+"=1", "SSL_CERT_DIR="+empty, "SSL_CERT_FILE="+filepath.Join(empty, "none"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "4 roots are trusted") {
		t.Fatalf("on a board without roots: %v\n%s", err, out)
	}
}

func onBareBoard(t *testing.T) {
	wanted := hubRoots()
	trusted := 0
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.Index(wanted, cert.Subject.CommonName)
		if i < 0 {
			continue
		}
		if _, err := cert.Verify(x509.VerifyOptions{}); err != nil { // by the roots that TLS would use
			t.Errorf("%s: %v", cert.Subject, err)
		}
		if left := time.Until(cert.NotAfter); left < 2*365*24*time.Hour {
			t.Errorf("%s ends in %v: bring newer roots", cert.Subject, left)
		}
		trusted++
	}
	t.Logf("%d roots are trusted", trusted)
}

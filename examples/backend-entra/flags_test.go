package main

import (
	"bytes"
	"context"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

func TestUsage(t *testing.T) {
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
	hub := []string{"-hub", "myhub.azure-devices.net"}
	for _, tt := range []struct {
		desc  string
		words []string
		says  string
	}{
		{"no hub", []string{"-device", "fan1"}, "missing -hub"},
		{"nothing to do", hub, "nothing to do"},
		{"an unknown flag", append(hub, "-secret", "x"), "-secret"},
		{"a query without quotes", append(hub, "-query", "SELECT", "*", "FROM", "devices"), "quote"},
		{"a change of nobody", append(hub, "-query", "SELECT * FROM devices", "-tags", "{}"), `-tags "{}"`},
		{"tags that are no JSON", append(hub, "-device", "fan1", "-tags", "plant"), `-tags "plant": `},
		{"a desired that is no object", append(hub, "-device", "fan1", "-desired", "[900]"), `-desired "[900]": `},
		{"no time", append(hub, "-device", "fan1", "-timeout", "0s"), "-timeout"},
		{"a time before now", append(hub, "-device", "fan1", "-every", "-5m"), "-every"},
		{"a CA file that is not there", append(hub, "-device", "fan1", "-ca", filepath.Join(t.TempDir(), "none")), `-ca "`},
		{"a CA file without a CA", append(hub, "-device", "fan1", "-ca", "go.mod"), "no certificate"},
		{"an endpoint without a port", append(hub, "-device", "fan1", "-endpoint", "127.0.0.1"), "-endpoint"},
		{"a hub's URL", []string{"-hub", "https://myhub.azure-devices.net", "-device", "fan1"}, "host"},
		{"an id that none has", append(hub, "-device", "fan 1"), "DeviceId holds"},
		{"a key that none has", append(hub, "-device", "fan1", "-desired", `{"a.b":1}`), "a.b"},
	} {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing is to be sent
		err := run(ctx, tt.words, &out)
		if err == nil || desk.ExitStatus(err) != 2 || !strings.Contains(err.Error(), tt.says) || out.Len() != 0 {
			t.Errorf("%s: got %v, stdout %q; want wrong usage that says %q", tt.desc, err, &out, tt.says)
		}
	}
	if got := desk.ExitStatus(context.Canceled); got != 1 {
		t.Errorf("another failure: got status %d, want 1", got)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &out); err != nil || out.String() != usage {
		t.Errorf("got %v and\n%s\nwant the usage", err, &out)
	}
}

// TestNobodyReads: an output that cannot be written is an error.
func TestNobodyReads(t *testing.T) {
	d := newRig(t)
	for _, words := range [][]string{{"-device", "fan1"}, {"-query", "SELECT * FROM devices"}} {
		read, write := io.Pipe()
		_ = read.Close()
		if err := run(d.ctx, append(append([]string{}, d.flags...), words...), write); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%q: got %v, want ErrClosedPipe", words, err)
		}
	}
}

// TestQueryFails: what the hub says of a query is told.
func TestQueryFails(t *testing.T) {
	d := newRig(t)
	if _, err := d.run(d.ctx, "-query", "SELECT"); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("got %v, want the hub's 400", err)
	}
}

// TestWrongEnvironment: azidentity's own words on its variables.
func TestWrongEnvironment(t *testing.T) {
	d := newRig(t)
	t.Setenv("AZURE_TENANT_ID", "")
	if _, err := d.run(d.ctx, "-device", "fan1"); err == nil || !strings.Contains(err.Error(), "AZURE_TENANT_ID") {
		t.Errorf("no tenant: got %v, want the variable's name", err)
	}
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "Environment")
	if _, err := d.run(d.ctx, "-device", "fan1"); err == nil || !strings.Contains(err.Error(), "sign in: invalid AZURE_TOKEN_CREDENTIALS") {
		t.Errorf("a credential that there is not: got %v, want what there is", err)
	}
	d.wantAsked(0, 0, 0, 0)
}

// TestUsageIsThePackagesComment holds the two copies together.
func TestUsageIsThePackagesComment(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.ReplaceAll(file.Doc.Text(), "\n\t", "\n")
	if !strings.HasSuffix(doc, "\n"+usage) {
		t.Errorf("the package's comment does not end in usage; copy it there:\n%s\n---\n%s", doc, usage)
	}
}

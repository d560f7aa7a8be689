// Command backend-entra is a back end that signs in with Microsoft Entra: it
// reads a device's twin, changes tags and desired properties unless somebody else
// does so meanwhile, and queries. A module of its own, so that the library does not
// depend on the Azure SDK:
//
//	export AZURE_TENANT_ID=… AZURE_CLIENT_ID=… AZURE_CLIENT_SECRET=…
//	backend-entra -hub myhub.azure-devices.net -device fan1 -desired '{"fan":{"rpm":900}}'
//
// Who it is, azidentity.NewDefaultAzureCredential finds out: a service principal by
// the environment, a workload's or managed identity in Azure, a developer by the
// login of az. README.md says what each needs.
//
//	Usage: backend-entra -hub NAME [flags]
//
//	  -hub NAME       the hub's name, such as myhub.azure-devices.net
//	  -device ID      print the twin of this device, or device/module
//	  -tags JSON      merge this object into its tags, where null deletes, and
//	  -desired JSON   this one into its desired properties, before the twin is printed;
//	                  a twin that has it all already is not written to
//	  -query SQL      print what this finds, such as
//	                  SELECT * FROM devices WHERE tags.plant = 'Redmond43'
//	  -every TIME     do all that again after this time, such as 5m, until Ctrl-C
//	                  or the first failure
//	  -timeout TIME   how long it may take, each time; 1m by default
//	  -ca FILE        trust the CAs in this PEM file instead of the system's, for
//	                  the hub and for Entra
//	  -endpoint H:P   connect to this host and port instead of the hub's own
//	  -private        AZURE_AUTHORITY_HOST is no host of Microsoft's: do not ask
//	                  Microsoft whether it is genuine
//
//	Results are JSON on stdout, one document a line. All else is on stderr.
//
//	Exit status: 0 done, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/twin/registry"
	"github.com/devicetwin/devicetwin-go/twin/registry/entra"
)

func main() {
	desk.Main(func(ctx context.Context, args []string, c desk.Console) int {
		err := run(ctx, args, c.Stdout)
		desk.Explain(c.Stderr, "backend-entra", err)
		return desk.ExitStatus(err)
	})
}

// run is the whole program. The environment is read by azidentity alone.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	j, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err = io.WriteString(stdout, usage)
		return err
	}
	if err != nil {
		return err
	}
	return j.run(ctx, stdout)
}

// run signs in and does the job. No line is left open after it.
func (j *job) run(ctx context.Context, stdout io.Writer) error {
	client := &http.Client{Transport: j.entra}
	defer client.CloseIdleConnections()
	cred, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions:            azcore.ClientOptions{Transport: client},
		DisableInstanceDiscovery: j.private,
	})
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	hub, err := registry.NewWithTokens(j.hub, entra.Tokens(cred), &registry.Options{Stream: j.stream})
	if err != nil {
		return fmt.Errorf("-hub %s: %w", desk.Quote(j.hub), err)
	}
	defer func() { _ = hub.Close() }() // it only ends idle lines
	return j.rounds(ctx, hub, stdout)
}

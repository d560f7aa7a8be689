package entra_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin/registry"
	"github.com/devicetwin/devicetwin-go/twin/registry/entra"
)

// credential is an Azure credential whose tokens the hub in the box trusts.
type credential struct {
	hub   *hubtest.Hub
	asked [][]string
	err   error
}

func (c *credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.asked = append(c.asked, o.Scopes)
	if c.err != nil {
		return azcore.AccessToken{}, c.err
	}
	token, err := c.hub.EntraToken("back-end", "", time.Hour)
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, err
}

func TestTokens(t *testing.T) {
	hub := hubtest.New(t, nil)
	if _, err := hub.AddDevice("fan1"); err != nil {
		t.Fatal(err)
	}
	hub.Grant("back-end", "IoT Hub Data Reader")
	cred := &credential{hub: hub}
	client, err := registry.NewWithTokens(hub.Host(), entra.Tokens(cred), &registry.Options{Stream: hub.Stream})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 2 {
		if tw, err := client.Twin(t.Context(), "fan1"); err != nil || tw.ID != "fan1" {
			t.Errorf("got %v, %v; want the twin of fan1", tw, err)
		}
	}
	if got, want := fmt.Sprint(cred.asked), "[[https://iothubs.azure.net/.default]]"; got != want {
		t.Errorf("asked for: got %s, want once %s", got, want)
	}

	broken := errors.New("no login")
	if _, _, err := entra.Tokens(&credential{err: broken})(t.Context()); !errors.Is(err, broken) {
		t.Errorf("a credential that fails: got %v, want its error", err)
	}
	if _, _, err := entra.Tokens(nil)(t.Context()); err == nil || !strings.Contains(err.Error(), "azidentity") {
		t.Errorf("no credential: got %v, want what to do", err)
	}
}

func ExampleTokens() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	if _, err := hub.AddDevice("fan1"); err != nil {
		log.Fatal(err)
	}
	hub.Grant("back-end", "IoT Hub Twin Contributor")
	cred := &credential{hub: hub} // of a real hub: azidentity's

	client, err := registry.NewWithTokens(hub.Host(), entra.Tokens(cred), &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	t, err := client.Twin(context.Background(), "fan1")
	fmt.Println(t.ID, err)
	// Output: fan1 <nil>
}

// Package entra lets a registry.Client authenticate with the credentials of the
// Azure SDK for Go, such as a managed identity, a service principal, or a
// developer's own login.
//
//	cred, err := azidentity.NewDefaultAzureCredential(nil)
//	hub, err := registry.NewWithTokens("myhub.azure-devices.net", entra.Tokens(cred), nil)
//
// The principal needs a role on the hub, such as IoT Hub Data Reader or IoT Hub
// Twin Contributor.
package entra

import (
	"context"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// Tokens returns a TokenSource of an Azure credential, which requests
// registry.EntraScope. Errors of the credential are returned unchanged. A nil
// credential is an error when the first token is needed.
func Tokens(credential azcore.TokenCredential) registry.TokenSource {
	return func(ctx context.Context) (string, time.Time, error) {
		if credential == nil {
			return "", time.Time{}, errors.New("entra: the credential is nil; make one with azidentity")
		}
		t, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{registry.EntraScope}})
		if err != nil {
			return "", time.Time{}, err
		}
		return t.Token, t.ExpiresOn, nil
	}
}

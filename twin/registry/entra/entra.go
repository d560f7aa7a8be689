// Package entra lets a registry.Client use the credentials of the Azure SDK for
// Go: whatever azidentity makes, such as a managed identity, a service
// principal, or a developer's own login.
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

// Tokens is the TokenSource of an Azure credential: it asks for
// registry.EntraScope. A credential's errors are passed on as they are; a nil
// credential fails when it is asked.
func Tokens(credential azcore.TokenCredential) registry.TokenSource {
	return source{credential}
}

type source struct{ credential azcore.TokenCredential }

// Token asks the credential.
func (s source) Token(ctx context.Context) (string, time.Time, error) {
	if s.credential == nil {
		return "", time.Time{}, errors.New("entra: the credential is nil; make one with azidentity")
	}
	t, err := s.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{registry.EntraScope}})
	if err != nil {
		return "", time.Time{}, err
	}
	return t.Token, t.ExpiresOn, nil
}

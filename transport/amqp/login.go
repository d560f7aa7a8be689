package amqp

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

// path is an identity as addresses and audiences have it.
func path(id auth.Identity) string {
	s := "/devices/" + percent(id.DeviceID)
	if id.ModuleID != "" {
		s += "/modules/" + percent(id.ModuleID)
	}
	return s
}

// audience is what an identity's token is for.
func audience(id auth.Identity) string { return id.Host + path(id) }

// percent encodes an id, as C#'s SDK does.
func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// properties returns the properties of a device's links.
func properties(login transport.Login) map[string]any {
	product := login.Product
	if product == "" {
		product = hubproto.Product + " (" + runtime.Version() + "; " + runtime.GOOS + "/" + runtime.GOARCH + ")"
	}
	p := map[string]any{
		"com.microsoft:client-version": product,
		"com.microsoft:api-version":    hubproto.APIVersion,
	}
	if login.ModelID != "" {
		p["com.microsoft:model-id"] = login.ModelID
	}
	return p
}

// Renew implements transport.Renewer: it puts another token on the same
// connection. The error of a refused one matches transport.ErrUnauthorized. The
// connection then goes on with the token before. For a connection that began
// without a token it is transport.ErrUnsupported. When ctx ends it, the token may
// or may not have been taken.
func (c *conn) Renew(ctx context.Context, token auth.Token) error {
	if err := c.err(); err != nil {
		return err
	}
	if c.line.tokens == nil || token.IsZero() {
		return fmt.Errorf("%w: a certificate, or no token, cannot be renewed on a connection", transport.ErrUnsupported)
	}
	// The end of this device's part ends the wait, too.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	err := c.line.tokens.give(ctx, c.audience, token)
	if err == nil {
		if c.renewed != nil {
			c.renewed(token)
		}
		return nil
	}
	if cause := c.err(); cause != nil {
		return cause
	}
	if end := ctx.Err(); end != nil {
		return fmt.Errorf("transport: renew: %w", end)
	}
	return c.line.amqpError(err)
}

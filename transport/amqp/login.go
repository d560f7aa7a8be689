package amqp

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// addressCBS is where tokens are put.
	addressCBS = "$cbs"
	// twinCredit is how many messages the hub may send ahead of Receive.
	twinCredit = 16
	// maxStrays bounds how many answers to nobody are passed over.
	maxStrays = 16
)

// path is an identity as addresses and audiences have it.
func path(id auth.Identity) string {
	s := "/devices/" + percent(id.DeviceID)
	if id.ModuleID != "" {
		s += "/modules/" + percent(id.ModuleID)
	}
	return s
}

// percent encodes an id, as C#'s SDK does.
func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// properties are what the twin's links tell of the device; what pairs them is
// the same on both.
func properties(login transport.Login) map[string]any {
	product := login.Product
	if product == "" {
		product = hubproto.Product + " (" + runtime.Version() + "; " + runtime.GOOS + "/" + runtime.GOARCH + ")"
	}
	p := map[string]any{
		"com.microsoft:client-version":         product,
		"com.microsoft:api-version":            hubproto.APIVersion,
		"com.microsoft:channel-correlation-id": "twin:" + rand.Text(),
	}
	if login.ModelID != "" {
		p["com.microsoft:model-id"] = login.ModelID
	}
	return p
}

// attach opens the twin's pair of links: sending first, as a hub expects it.
func (c *conn) attach(ctx context.Context, login transport.Login) (err error) {
	address := path(login.Identity) + "/twin"
	props := properties(login)
	c.out, err = c.session.NewSender(ctx, address, &amqp.SenderOptions{
		Properties: props, SettlementMode: amqp.SenderSettleModeSettled.Ptr(),
	})
	if err != nil {
		return err
	}
	c.in, err = c.session.NewReceiver(ctx, address, &amqp.ReceiverOptions{
		Properties: props, Credit: twinCredit, RequestedSenderSettleMode: amqp.SenderSettleModeSettled.Ptr(),
	})
	return err
}

// openCBS opens the pair of links for tokens, and puts the first.
func (c *conn) openCBS(ctx context.Context, login transport.Login) (err error) {
	if c.put, err = c.session.NewSender(ctx, addressCBS, nil); err != nil {
		return err
	}
	if c.answers, err = c.session.NewReceiver(ctx, addressCBS, nil); err != nil {
		return err
	}
	return c.putToken(ctx, login.Token)
}

// Renew implements transport.Renewer: it puts another token on the same
// connection. The error of a refused one matches transport.ErrUnauthorized; the
// connection stands then, on the token before. For a connection that began
// without a token it is transport.ErrUnsupported. When ctx ends it, the token may
// or may not have been taken.
func (c *conn) Renew(ctx context.Context, token auth.Token) error {
	if err := c.err(); err != nil {
		return err
	}
	if c.put == nil || token.IsZero() {
		return fmt.Errorf("%w: a certificate, or no token, cannot be renewed on a connection", transport.ErrUnsupported)
	}
	select {
	case c.cbs <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("renew: %w", ctx.Err())
	case <-c.dead:
		return c.err()
	case <-c.closing:
		return c.err()
	}
	defer func() { <-c.cbs }()
	err := c.putToken(ctx, token)
	if err == nil {
		return nil
	}
	if cause := c.err(); cause != nil {
		return cause
	}
	if end := ctx.Err(); end != nil {
		return fmt.Errorf("renew: %w", end)
	}
	return c.amqpError(err)
}

// putToken puts a token and waits for the hub's word on it. One caller at a
// time.
func (c *conn) putToken(ctx context.Context, token auth.Token) error {
	c.puts++
	id := "put-" + strconv.Itoa(c.puts)
	err := c.put.Send(ctx, &amqp.Message{
		Properties: &amqp.MessageProperties{MessageID: id, To: ptr(addressCBS), ReplyTo: ptr("cbs")},
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": c.audience,
		},
		Value: token.Reveal(),
	}, nil)
	if err != nil {
		return err
	}
	for range maxStrays {
		m, err := c.answers.Receive(ctx, nil)
		if err != nil {
			return err
		}
		if err := c.answers.AcceptMessage(ctx, m); err != nil {
			return err
		}
		if m.Properties == nil || m.Properties.CorrelationID != any(id) {
			continue // of a put-token that was given up
		}
		status := wholeNumber(m.ApplicationProperties["status-code"])
		if status == 200 {
			return nil
		}
		text, _ := m.ApplicationProperties["status-description"].(string)
		return tokenRefused(int(status), text)
	}
	return fmt.Errorf("%w: it answers another put-token than ours", transport.ErrProtocol)
}

func ptr(s string) *string { return &s }

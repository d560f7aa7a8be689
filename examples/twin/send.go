package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// sendFlags defines the flags of send.
func (t *tool) sendFlags(f *flag.FlagSet) {
	f.StringVar(&t.message.ContentType, "content-type", "", "")
	f.Func("property", "", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return errors.New("want NAME=VALUE, such as alert=true")
		}
		if _, given := t.message.Properties[name]; given {
			return errors.New("this property was given before")
		}
		if t.message.Properties == nil {
			t.message.Properties = map[string]string{}
		}
		t.message.Properties[name] = value
		return nil
	})
}

// readMessage makes the message of send. The hub reads a body by its properties
// if it is JSON in UTF-8 and the message says so.
func (t *tool) readMessage(ctx context.Context, words []string, stdin reader) error {
	_, body, err := t.argument(ctx, words, stdin, "body", `want one text, quoted for the shell: send '{"temperature":21.5}', or @FILE, or -`)
	if err != nil {
		return err
	}
	t.message.ID, t.message.Body = rand.Text(), body
	if t.message.ContentType == "application/json" && utf8.Valid(body) {
		t.message.ContentEncoding = "utf-8"
	}
	return nil
}

// send sends the message, and prints its ID once the hub has it.
func (t *tool) send(ctx context.Context, dev *device.Client, out *json.Encoder) error {
	err := dev.Send(ctx, t.message)
	if errors.Is(err, device.ErrUnknownOutcome) {
		return fmt.Errorf("the hub did not confirm the message; it may have it or not: %w", context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	return emit(out, struct {
		ID string `json:"id"`
	}{t.message.ID})
}

// checkMessage refuses a message that no hub takes.
func (t *tool) checkMessage() error {
	if t.command != "send" {
		return nil
	}
	if err := t.message.Check(t.id); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// onlySend refuses the flags of send with another command.
func (t *tool) onlySend(f *flag.FlagSet) error {
	for _, name := range []string{"property", "content-type"} {
		if t.command != "send" && desk.Given(f, name) {
			return desk.Usagef("-%s with %s: want send", name, desk.Quote(t.command))
		}
	}
	return nil
}

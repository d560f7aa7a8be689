package firmware

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// keyTime bounds how long a connection waits for the key of its certificate.
const keyTime = 30 * time.Second

// X509Credential is the credential of a certificate (and its chain) in a PEM
// file, whose key is asked for when a connection needs it: hardware that is late,
// at a start, is a failure that the client tries again.
func X509Credential(file string, key func(ctx context.Context) (crypto.Signer, error)) auth.Credential {
	return auth.X509Reload(func(files [][]byte) (tls.Certificate, error) {
		ctx, cancel := context.WithTimeout(context.Background(), keyTime)
		defer cancel()
		signer, err := key(ctx)
		if err != nil {
			return tls.Certificate{}, err
		}
		return auth.ParseX509(files[0], nil, &auth.X509Options{Key: signer})
	}, file)
}

// credential is what the hardware's key proves.
func (t *task) credential(h *Hardware) auth.Credential {
	if t.kind == SAS {
		return auth.SAS(h.Signer, nil)
	}
	return X509Credential(t.file, h.Key)
}

// keep keeps the twin in step until ctx ends, as examples/sas does.
func (t *task) keep(ctx context.Context, h *Hardware, stderr io.Writer) error {
	level := slog.LevelInfo
	if t.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	dev := device.New(t.id, t.credential(h), mqtt.Dialer{Stream: t.stream}, &device.Options{Logger: log})
	defer dev.Close()
	_, err := dev.OnDesired("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		log.Info("fan.rpm is to be set", "rpm", rpm, "version", c.Version)
		return dev.ReportLater(ctx, c.Ack(twin.AckOK, ""))
	}), nil)
	if err != nil {
		return err
	}
	// The logger and Run report all other failures, and the client goes on trying.
	// A wrong PIN or key is not tried again: hardware locks itself at that.
	if err := dev.Connect(ctx); errors.Is(err, auth.ErrInvalid) {
		return fmt.Errorf("run: %w", err)
	}
	_ = dev.ReportLater(ctx, twin.Set("climate.temperature", 21.5))
	if err := dev.Run(ctx); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

package firmware

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1" // a thumbprint, as hubs take it; nothing rests on it
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// undoTime bounds the removal of a key that is of no use.
const undoTime = time.Minute

// provisionSAS brings the shared access key into the hardware, and believes it
// to be there when both sign alike.
func (t *task) provisionSAS(ctx context.Context, h *Hardware, c Console) error {
	text, err := readSecret(t.file, c.Stdin)
	if err != nil {
		return desk.Usagef("provision sas %s: %w", desk.Quote(t.file), err)
	}
	defer clear(text)
	known, err := auth.ParseKey(string(text))
	if err != nil {
		return fmt.Errorf("provision sas %s: %w", desk.Quote(t.file), err)
	}
	text = bytes.TrimSpace(text)
	secret := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(secret)
	n, err := base64.StdEncoding.Decode(secret, text)
	if err != nil {
		return desk.Usagef("provision sas %s: no base64 in the file", desk.Quote(t.file))
	}
	if err := h.Import(ctx, secret[:n]); err != nil {
		return fmt.Errorf("import the shared access key: %w", err)
	}
	if err := signAlike(ctx, known, h.Signer); err != nil {
		return undo(ctx, h, err)
	}
	_, err = fmt.Fprintf(c.Stdout, "the shared access key is in %s, and signs as it should; destroy the copy that you have given\n", h.Place)
	return err
}

// signAlike compares two holders of one key.
func signAlike(ctx context.Context, a, b auth.Signer) error {
	challenge := make([]byte, sha256.Size)
	_, _ = rand.Read(challenge) // it never fails
	want, err := a.Sign(ctx, challenge)
	if err != nil {
		return err
	}
	got, err := b.Sign(ctx, challenge)
	if err != nil {
		return fmt.Errorf("sign with the key: %w", err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("the hardware took the key, and signs otherwise than the key does: it cannot be used for this")
	}
	return nil
}

// provisionX509 has the hardware make a key, and writes what makes it known.
func (t *task) provisionX509(ctx context.Context, h *Hardware, stdout io.Writer) error {
	if _, err := os.Lstat(t.file); err == nil {
		return desk.Usagef("provision x509 %s: the file exists already; name a new one", desk.Quote(t.file))
	}
	now := time.Now()
	if now.Year() < 2025 { // the certificate would begin and end at some other time
		return fmt.Errorf("the clock says %s; set it first", now.Format(time.RFC3339))
	}
	key, err := h.Generate(ctx)
	if err != nil {
		return fmt.Errorf("generate a key: %w", err)
	}
	write := selfSigned
	if t.csr {
		write = request
	}
	block, err := write(key, t.id.DeviceID, now, now.AddDate(0, 0, t.days))
	if err != nil {
		return undo(ctx, h, fmt.Errorf("sign with the new key: %w", err))
	}
	if err := writeNew(t.file, pem.EncodeToMemory(block)); err != nil {
		return undo(ctx, h, fmt.Errorf("write the certificate to %s: %w", desk.Quote(t.file), desk.Nameless(err)))
	}
	if t.csr {
		_, err = fmt.Fprintf(stdout, "the key is in %s; have your CA sign the request\n", h.Place)
		return err
	}
	_, err = fmt.Fprintf(stdout, "the key is in %s; give the hub one of the thumbprints\nsha256 %X\nsha1   %X\n",
		h.Place, sha256.Sum256(block.Bytes), sha1.Sum(block.Bytes))
	return err
}

// undo removes a key that came to nothing, so that the next try finds room. It
// has time of its own: that the other ran out may be the reason.
func undo(ctx context.Context, h *Hardware, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := h.Remove(ctx); err != nil {
		return fmt.Errorf("%w; and the key stays in %s: %w", cause, h.Place, err)
	}
	return cause
}

// earlier is how much a certificate begins before it was made, for hubs whose
// clock is behind.
const earlier = time.Hour

func selfSigned(key crypto.Signer, device string, now, end time.Time) (*pem.Block, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: device}, // a hub wants the id here
		NotBefore: now.Add(-earlier), NotAfter: end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return &pem.Block{Type: "CERTIFICATE", Bytes: der}, err
}

func request(key crypto.Signer, device string, _, _ time.Time) (*pem.Block, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: device}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	return &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}, err
}

// writeNew writes a file that is not there yet, and leaves none that is cut.
func writeNew(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return err
}

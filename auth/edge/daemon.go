package edge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// What an answer of the daemon may take. A trust bundle has some kilobytes, one
// with all the public roots less than 300.
const (
	maxAnswer  = 1 << 20
	maxHeaders = 64 << 10
)

// A daemon is the workload API for one module. It implements auth.Signer.
type daemon struct {
	at      address
	client  *http.Client
	timeout time.Duration

	sign, bundle string // URLs
}

func newDaemon(at address, module, generation, version string, timeout time.Duration) *daemon {
	base, query := "http://"+at.host, "?api-version="+url.QueryEscape(version)
	dialer := &net.Dialer{}
	return &daemon{
		at: at, timeout: timeout,
		// QueryEscape, since every sign that an id may have means something to
		// somebody: $edgeAgent is %24edgeAgent in the daemon's own log. It
		// differs from a path's encoding in the space, which no id has.
		sign:   base + "/modules/" + url.QueryEscape(module) + "/genid/" + url.QueryEscape(generation) + "/sign" + query,
		bundle: base + "/trust-bundle" + query,
		client: &http.Client{
			Transport: &http.Transport{
				// No Proxy: the daemon is on this board, whatever the
				// environment says about the internet.
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return dialer.DialContext(ctx, at.network, at.address)
				},
				// A request an hour: nothing is kept open for the next, which
				// would meet a daemon that was restarted in between.
				DisableKeepAlives:      true,
				DisableCompression:     true,
				MaxResponseHeaderBytes: maxHeaders,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Sign implements auth.Signer with the module's key, which the daemon keeps.
// No error holds any of the answer but a refusal's message.
func (d *daemon) Sign(ctx context.Context, data []byte) ([]byte, error) {
	request, err := json.Marshal(struct {
		KeyID string `json:"keyId"`
		Algo  string `json:"algo"`
		Data  []byte `json:"data"`
	}{"primary", "HMACSHA256", data})
	if err != nil {
		return nil, err
	}
	answer, err := d.ask(ctx, http.MethodPost, d.sign, request)
	if err == nil {
		answer, err = parseDigest(answer)
	}
	if err != nil {
		return nil, fmt.Errorf("no signature from IoT Edge's daemon: %w", err)
	}
	return answer, nil
}

// parseDigest reads the answer to a request to sign. Package auth would call a
// wrong size a wrong configuration, that no retry mends; a daemon may be mended.
func parseDigest(answer []byte) ([]byte, error) {
	var b struct {
		Digest string `json:"digest"`
	}
	if json.Unmarshal(answer, &b) != nil { // its error may quote the answer
		return nil, errors.New("its answer is not the JSON that it should be; is that IoT Edge?")
	}
	digest, err := base64.StdEncoding.DecodeString(b.Digest)
	if err != nil {
		return nil, errors.New("the digest in its answer is not base64")
	}
	if len(digest) != sha256.Size {
		return nil, fmt.Errorf("the digest in its answer has %d bytes; HMAC-SHA256 has %d", len(digest), sha256.Size)
	}
	return digest, nil
}

// roots asks for the trust bundle.
func (d *daemon) roots(ctx context.Context) (*x509.CertPool, error) {
	answer, err := d.ask(ctx, http.MethodGet, d.bundle, nil)
	if err != nil {
		return nil, fmt.Errorf("no trust bundle from IoT Edge's daemon: %w", err)
	}
	return parseBundle(answer)
}

func parseBundle(answer []byte) (*x509.CertPool, error) {
	var b struct {
		Certificate string `json:"certificate"`
	}
	if json.Unmarshal(answer, &b) != nil {
		return nil, fmt.Errorf("%w: the trust bundle of IoT Edge's daemon is not the JSON that it should be; is that IoT Edge?", transport.ErrUntrusted)
	}
	if b.Certificate == "" {
		return nil, fmt.Errorf("%w: the trust bundle of IoT Edge's daemon is empty; does trust_bundle_cert in the device's /etc/aziot/config.toml name a good file?", transport.ErrUntrusted)
	}
	// A certificate that cannot be read is left out, as the daemon does itself:
	// that trusts less, not more. One at least must be left.
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(b.Certificate)) {
		return nil, fmt.Errorf("%w: the trust bundle of IoT Edge's daemon holds no certificate in PEM", transport.ErrUntrusted)
	}
	return pool, nil
}

// ask makes one request and returns the body of a 200.
func (d *daemon) ask(ctx context.Context, method, to string, body []byte) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	answer, err := d.exchange(bounded, method, to, body)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w, while waiting for %s", ctx.Err(), d.at.address)
	case bounded.Err() != nil:
		return nil, fmt.Errorf("%w: no answer from %s in %v; is it busy, or stopped?", os.ErrDeadlineExceeded, d.at.address, d.timeout)
	}
	return nil, err
}

func (d *daemon) exchange(ctx context.Context, method, to string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "devicetwin-go")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := d.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w; is it running, and does %s lead to it?", lineError(err), varWorkload)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case response.StatusCode != http.StatusOK: // a part of its text is enough
		return nil, newStatusError(response.StatusCode, answer)
	case err != nil:
		return nil, fmt.Errorf("its answer broke off: %w", lineError(err))
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("its answer has more than %d bytes; is that IoT Edge?", maxAnswer)
	}
	return answer, nil
}

// lineError keeps of an error what the network says. Package net/http quotes
// what it cannot read, and that may be a signature.
func lineError(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return op
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it hung up: %w", io.ErrUnexpectedEOF)
	}
	return errors.New("it does not answer in HTTP")
}

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errs"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// A Target is where a byte stream leads, and as whom.
type Target struct {
	// Protocol is what will be spoken on the stream, such as "mqtt".
	Protocol string
	// Host is the name to connect to and to verify: the hub's, or its
	// gateway's.
	Host string
	// Port is the protocol's standard port, such as 8883.
	Port int
	// Certificate is the client certificate to present, nil for none.
	Certificate *tls.Certificate
	// Now is the wall clock that certificates are judged by; nil for time.Now.
	Now func() time.Time
	// Sessions is the TLS session cache to resume from; nil for none.
	Sessions tls.ClientSessionCache
}

// Target says where the login's byte stream leads.
func (l Login) Target(protocol string, port int) Target {
	host := l.Identity.Host
	if l.Identity.Gateway != "" {
		host = l.Identity.Gateway
	}
	return Target{
		Protocol: protocol, Host: host, Port: port,
		Certificate: l.Certificate, Now: l.Now, Sessions: l.Sessions,
	}
}

// A StreamFunc opens a byte stream that is ready for the protocol: encrypted,
// and verified to end at the target. The default of every Dialer is TLS(nil).
//
// The stream must support deadlines; closing it must end reads and writes
// under way.
type StreamFunc func(ctx context.Context, target Target) (net.Conn, error)

// TLSOptions shape the streams of TLS; nil means all defaults.
type TLSOptions struct {
	// RootCAs are the CAs to trust instead of the system's, as for a gateway
	// or a test hub. It is not combined with Config.RootCAs: with both, opening
	// a stream fails with auth.ErrInvalid.
	RootCAs *x509.CertPool
	// Config holds what else is special about TLS here. It is cloned. ServerName, GetClientCertificate, Time and
	// ClientSessionCache are filled in from the target where they are unset;
	// with the target's certificate, renegotiation is allowed once on MQTT's
	// own port. Nil means the system's roots and Go's defaults. At least TLS
	// 1.2 is asked for, whatever it says. With InsecureSkipVerify it needs a
	// VerifyConnection that judges in place of Go: without one, opening a
	// stream fails with auth.ErrInvalid.
	Config *tls.Config
	// Pins, if any, are SHA-256 hashes of public keys in base64, as PinOf makes
	// them. They are no secrets, and survive a renewal of the certificate with the
	// same key. White space and other invisible characters around a pin are skipped.
	// With a pin of another form, opening a stream fails with auth.ErrInvalid.
	// Besides what Config asks for, one certificate of the verified chain must have one of these keys,
	// or the stream fails with ErrUntrusted. Microsoft advises never to pin a
	// hub's leaf or intermediate, since these change without notice: pin
	// roots, two at least, or the CA of a gateway of your own.
	Pins []string
	// Address is the host:port to connect to where that is not the target's
	// own: the name that is verified stays the target's.
	Address string
	// DialContext opens the stream below TLS; nil means TCP. TCP keep-alive probes
	// are off then: they wake a modem every 15 s, and the protocols above have
	// a sign of life of their own.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// TLS opens streams over TLS 1.2 or 1.3. Connecting and handshake honour ctx and
// have no limit of their own; a stream that fails leaves no socket behind. The
// StreamFunc may be used concurrently and for many targets.
//
// The error wraps the one of net, crypto/tls or crypto/x509, so errors.As finds
// a *tls.CertificateVerificationError; its text adds whose certificate was
// offered, who issued it, and what to check.
func TLS(opts *TLSOptions) StreamFunc {
	var o TLSOptions
	if opts != nil {
		o = *opts
	}
	if o.Config == nil {
		o.Config = &tls.Config{}
	}
	config := o.Config.Clone()
	twice := o.RootCAs != nil && config.RootCAs != nil
	if o.RootCAs != nil {
		config.RootCAs = o.RootCAs
	}
	unverified := config.InsecureSkipVerify && config.VerifyConnection == nil
	pins, badPin := parsePins(o.Pins)
	config.VerifyConnection = pinned(pins, config.VerifyConnection)
	if config.MinVersion < tls.VersionTLS12 {
		config.MinVersion = tls.VersionTLS12
	}
	dial := o.DialContext
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	return func(ctx context.Context, target Target) (net.Conn, error) {
		if unverified {
			return nil, fmt.Errorf("transport: %w: TLSOptions.Config has InsecureSkipVerify and no VerifyConnection, so that anybody could play the hub; put the CA into RootCAs", errtext.Bare("auth", auth.ErrInvalid))
		}
		if badPin != nil {
			return nil, badPin
		}
		if twice {
			return nil, fmt.Errorf("transport: %w: TLSOptions has RootCAs, and so has its Config; give one of them", errtext.Bare("auth", auth.ErrInvalid))
		}
		address := o.Address
		if address == "" {
			address = net.JoinHostPort(target.Host, strconv.Itoa(target.Port))
		}
		raw, err := dial(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("transport: connect to %s: %w", address, errtext.Bare("transport", err))
		}
		c := clientConfig(config, target)
		conn := tls.Client(raw, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			text := hint(err)
			if _, untrusted := errs.As[*tls.CertificateVerificationError](err); untrusted {
				err = fmt.Errorf("%w: %w", ErrUntrusted, err)
			}
			return nil, errors.Join(
				fmt.Errorf("transport: TLS handshake with %s as %q: %w%s", address, c.ServerName, errtext.Bare("transport", err), text),
				closeQuietly(raw))
		}
		return conn, nil
	}
}

// mqttPort is the port of MQTT over TLS.
const mqttPort = 8883

// clientConfig completes a configuration for one target.
func clientConfig(base *tls.Config, target Target) *tls.Config {
	c := base.Clone()
	if c.ServerName == "" {
		c.ServerName = target.Host
	}
	if c.Time == nil {
		c.Time = target.Now
	}
	if c.ClientSessionCache == nil {
		c.ClientSessionCache = target.Sessions
	}
	if cert := target.Certificate; cert != nil && c.GetClientCertificate == nil {
		// Given this way the certificate is always presented; in Certificates,
		// Go withholds one whose issuer the hub did not name.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return cert, nil
		}
		// A hub that asks for the certificate only once it knows who is there
		// does so by a second handshake (TLS 1.2), as IoT Hub's documents still
		// say in places of MQTT on 8883: without this it hung up at the first
		// publish (lf-edge/ekuiper#2241). Nothing else is known to need it.
		if c.Renegotiation == tls.RenegotiateNever && target.Protocol == "mqtt" && target.Port == mqttPort {
			c.Renegotiation = tls.RenegotiateOnceAsClient
		}
	}
	return c
}

// closeQuietly closes what is of no use any more; that it was closed already
// is no news.
func closeQuietly(c net.Conn) error {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

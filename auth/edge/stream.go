package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"

	"github.com/devicetwin/devicetwin-go/transport"
)

// Roots asks for the certificates by which the gateway is verified: the
// daemon's trust bundle, or at a desk what the PEM file holds. They may be
// others the next time. There is never an empty pool without an error.
//
// TLS does so for each connection; Roots is for whoever speaks to the gateway
// in another way.
func (m *Module) Roots(ctx context.Context) (*x509.CertPool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m == nil || m.roots == nil {
		return nil, invalid("the zero Module; make one with FromEnvironment")
	}
	return m.roots(ctx)
}

// TLS is transport.TLS for the module's gateway, and for use as the Stream of a
// Dialer: each stream is verified by what Roots gives at that moment, and by
// nothing else. So RootCAs of opts' Config is replaced, sessions are not
// resumed, and opening a stream fails with auth.ErrInvalid where
// InsecureSkipVerify is set. All else of opts holds; nil means all defaults.
//
// Where Roots fails, no stream is opened, and the error is that of Roots.
func (m *Module) TLS(opts *transport.TLSOptions) transport.StreamFunc {
	var o transport.TLSOptions
	if opts != nil {
		o = *opts
	}
	if o.Config == nil {
		o.Config = &tls.Config{}
	}
	base := o.Config.Clone()
	return func(ctx context.Context, target transport.Target) (net.Conn, error) {
		if base.InsecureSkipVerify {
			return nil, invalid("TLSOptions.Config has InsecureSkipVerify; a module verifies its gateway by the trust bundle")
		}
		roots, err := m.Roots(ctx)
		if err != nil {
			return nil, err
		}
		with := o
		with.Config = base.Clone()
		with.Config.RootCAs = roots
		// A session that is resumed was verified by the roots of its day. The
		// gateway is near, so a whole handshake costs little.
		with.Config.ClientSessionCache, target.Sessions = nil, nil
		return transport.TLS(&with)(ctx, target)
	}
}

package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// proof is what a client shows of itself, in any protocol.
type proof struct {
	token string               // empty for none
	peer  *tls.ConnectionState // nil where no TLS is spoken
}

// maxReason bounds what a stranger's certificate adds to the log.
const maxReason = 200

// peerOf is the TLS state of a stream, nil for one without TLS.
func peerOf(stream net.Conn) *tls.ConnectionState {
	s, ok := stream.(*tls.Conn)
	if !ok {
		return nil
	}
	state := s.ConnectionState()
	return &state
}

// errDisabled is why a disabled identity is refused. MQTT has another word for
// it than for a bad proof.
var errDisabled = errors.New("identity is disabled")

// enabled finds an identity that may log in. h.mu is held.
func (h *Hub) enabled(id string) (*identity, error) {
	who := h.identities[id]
	if who == nil {
		return nil, fmt.Errorf("there is no identity %q", id)
	}
	if parent := h.identities[who.device]; who.disabled || parent == nil || parent.disabled {
		return nil, errDisabled
	}
	return who, nil
}

// judge says whether the proof is this identity's, at a moment, and until when
// a connection may stand on it: zero for ever. The error says why not, for the
// hub's log: a device is only told that. h.mu is held.
func (h *Hub) judge(who *identity, p proof, now time.Time) (time.Time, error) {
	if who.proof.kind == authSAS {
		if p.token == "" {
			return time.Time{}, errors.New("there is no token: the identity proves itself by one (sas), and a certificate does not count")
		}
		return h.authorize(who, p.token, now)
	}
	if p.token != "" {
		return time.Time{}, fmt.Errorf("there is a token: the identity proves itself by a certificate (%s)", who.proof.kind)
	}
	if p.peer == nil {
		return time.Time{}, errors.New("there is no TLS on this stream, so no client certificate: use Hub.DialContext (as transport.TLSOptions.DialContext) or Hub.Listen in place of Hub.Stream")
	}
	// A resumed session has the certificates of the session that it goes on
	// with: that is what the hub sees, and judges.
	chain := p.peer.PeerCertificates
	if len(chain) == 0 {
		return time.Time{}, fmt.Errorf("the client presented no certificate: the identity proves itself by one (%s)", who.proof.kind)
	}
	if who.proof.kind == authSelfSigned {
		return time.Time{}, h.judgeThumbprint(who, chain[0], now)
	}
	return time.Time{}, h.judgeChain(who, chain, now)
}

// judgeThumbprint looks for the leaf among the two that the identity is known
// by. Its name and its issuer do not matter.
func (h *Hub) judgeThumbprint(who *identity, leaf *x509.Certificate, now time.Time) error {
	one, two := fmt.Sprintf("%X", sha1.Sum(leaf.Raw)), fmt.Sprintf("%X", sha256.Sum256(leaf.Raw))
	known := who.proof.thumbprints
	if !slices.Contains(known[:], one) && !slices.Contains(known[:], two) {
		//lint:ignore ST1005 these are the words of a real hub's log
		return fmt.Errorf("Thumbprint does not match configuration: Thumbprint: SHA1Hash=%s, SHA2Hash=%s; Configuration: PrimaryThumbprint=%s, SecondaryThumbprint=%s",
			one, two, known[0], known[1])
	}
	if h.opts.quirks.StrictThumbprints {
		return inTime(leaf, now)
	}
	return nil
}

// judgeChain follows the chain to a CA that the hub knows, by the intermediates
// that the client presented and no others.
func (h *Hub) judgeChain(who *identity, chain []*x509.Certificate, now time.Time) error {
	leaf := chain[0]
	if leaf.Subject.CommonName != who.id {
		return fmt.Errorf("the certificate's common name is %.*q, and the identity %q", maxReason, leaf.Subject.CommonName, who.id)
	}
	if err := inTime(leaf, now); err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	roots, count := h.caPool()
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err == nil {
		return nil
	}
	for _, c := range chain[1:] {
		if late := inTime(c, now); late != nil {
			return late
		}
	}
	return fmt.Errorf("the certificate of %q, with %d more presented, leads to none of the hub's %d CAs: %.*s",
		who.id, len(chain)-1, count, maxReason, err.Error())
}

// inTime checks a certificate's validity, both ends included.
func inTime(c *x509.Certificate, now time.Time) error {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("the certificate of %.*q ended at %s, and the hub's clock says %s", maxReason, c.Subject.String(), at(c.NotAfter), at(now))
	case now.Before(c.NotBefore):
		return fmt.Errorf("the certificate of %.*q begins at %s, and the hub's clock says %s", maxReason, c.Subject.String(), at(c.NotBefore), at(now))
	}
	return nil
}

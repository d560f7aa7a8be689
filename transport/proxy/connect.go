package proxy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// maxHead bounds a proxy's answer. One is some hundred bytes; one that
	// refuses may carry cookies and several offers of a login.
	maxHead = 16 << 10
	// maxText bounds what a proxy's text may add to an error and so to a log.
	maxText = 100
)

// connect asks by HTTP CONNECT (RFC 9110, 9.3.6).
func (s server) connect(c net.Conn, address string) (net.Conn, error) {
	ask := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: " + hubproto.Product + "\r\n"
	if s.login {
		// At once and not only when asked (407): it saves a round trip, and
		// proxies there are that hang up with the 407.
		ask += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s.user+":"+s.password)) + "\r\n"
	}
	if _, err := io.WriteString(c, ask+"\r\n"); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", address, bare(err))
	}
	head, rest, err := readHead(c)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", address, bare(err))
	}
	if err := s.judge(head); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", address, bare(err))
	}
	if len(rest) > 0 {
		return &begun{Conn: c, rest: rest}, nil
	}
	return c, nil
}

// A head is what matters of a proxy's answer.
type head struct {
	status int
	reason string   // the proxy's word for it, cut
	offers []string // the ways to log in that it offers, cut
}

// errEndless is an answer without an end.
var errEndless = fmt.Errorf("%w: the proxy's answer has no end after %d bytes; is it a proxy?", transport.ErrUnavailable, maxHead)

// readHead reads the answer, and what of the tunnel came along with it. Answers
// that announce another (1xx) are passed over.
func readHead(r io.Reader) (h head, rest []byte, err error) {
	var got []byte
	left := maxHead
	chunk := make([]byte, 1<<10)
	for {
		for {
			text, after, whole := cutHead(got)
			if !whole {
				break
			}
			if h, err = parseHead(text); err != nil || h.status >= 200 {
				return h, after, err
			}
			got = after
		}
		if left == 0 {
			return head{}, nil, errEndless
		}
		n, err := r.Read(chunk[:min(len(chunk), left)])
		left -= n
		got = append(got, chunk[:n]...)
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			return head{}, nil, fmt.Errorf("%w: the proxy hung up without an answer: %w", transport.ErrUnavailable, io.ErrUnexpectedEOF)
		case err != nil:
			return head{}, nil, err
		}
	}
}

// cutHead finds the empty line that ends a head.
func cutHead(b []byte) (text string, rest []byte, whole bool) {
	end, skip := bytes.Index(b, []byte("\n\r\n")), 3
	if bare := bytes.Index(b, []byte("\n\n")); bare >= 0 && (end < 0 || bare < end) { // RFC 9112, 2.2
		end, skip = bare, 2
	}
	if end < 0 {
		return "", nil, false
	}
	return string(b[:end]), b[end+skip:], true
}

// parseHead reads status line and fields (RFC 9112, 4 and 5).
func parseHead(text string) (head, error) {
	lines := strings.Split(text, "\n")
	version, status, _ := strings.Cut(strings.TrimSuffix(lines[0], "\r"), " ")
	code, reason, _ := strings.Cut(status, " ")
	if len(version) != len("HTTP/1.x") || !strings.HasPrefix(version, "HTTP/1.") || len(code) != 3 {
		return head{}, notHTTP(lines[0])
	}
	h := head{reason: clip(reason)}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return head{}, notHTTP(lines[0])
		}
		h.status = 10*h.status + int(c-'0')
	}
	if h.status < 100 {
		return head{}, notHTTP(lines[0])
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		scheme, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		if strings.EqualFold(name, "Proxy-Authenticate") && scheme != "" && len(h.offers) < 4 {
			h.offers = append(h.offers, clip(scheme))
		}
	}
	return h, nil
}

func notHTTP(line string) error {
	return fmt.Errorf("%w: the proxy answered %q, which is not HTTP; check its host, port and scheme", transport.ErrUnavailable, clip(line))
}

// judge says what a final answer means. What a body would add is not read.
func (s server) judge(h head) error {
	switch {
	case h.status <= 299:
		return nil
	case h.status != 407 && h.status != 401: // tinyproxy's word to another login
		return fmt.Errorf("%w: it answered %d %q", ErrRefused, h.status, h.reason)
	case s.login && !h.offersBasic():
		return fmt.Errorf("%w: it answered %d and wants %q, not Basic, which is all that is spoken here", ErrLogin, h.status, h.offers)
	case s.login:
		return fmt.Errorf("%w: it answered %d to those", ErrLogin, h.status)
	}
	return fmt.Errorf("%w: it answered %d, and the URL holds none", ErrLogin, h.status)
}

func (h head) offersBasic() bool {
	for _, o := range h.offers {
		if strings.EqualFold(o, "Basic") {
			return true
		}
	}
	return len(h.offers) == 0 // it does not say
}

// clip cuts a stranger's text.
func clip(s string) string { return s[:min(len(s), maxText)] }

// A begun stream starts with bytes that were read already.
type begun struct {
	net.Conn
	rest []byte // owned by the reader
}

// Read returns what was read already, then what comes.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

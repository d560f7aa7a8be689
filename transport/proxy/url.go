package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// ErrInvalid says that a setting is not well formed. A proxy's URL is never
// shown, for it may hold a password.
var ErrInvalid = errors.New("proxy: setting is not well formed")

// wantURL is what a proxy's URL looks like, for an error's text.
const wantURL = "; want http://, https:// or socks5://, then host:port, and before that user:password@, percent-encoded, where it takes a login"

// A server is a proxy as its URL names it.
type server struct {
	scheme         string // "http", "https" or "socks5"
	address        string // host:port
	host           string
	login          bool // user and password are given
	user, password string
}

// String tells the proxy without its login.
func (s server) String() string { return s.scheme + "://" + s.address }

// standardPort is the one of a URL without a port; 1080 is of RFC 1928.
func standardPort(scheme string) (string, bool) {
	switch scheme {
	case "http":
		return "80", true
	case "https":
		return "443", true
	case "socks5":
		return "1080", true
	}
	return "", false
}

// parseURL reads a proxy's URL. No error of package url passes through it:
// they quote what they could not read.
func parseURL(raw string) (server, error) {
	raw = visible.Trim(raw)
	if err := visible.Check(raw, ""); err != nil {
		return server{}, fmt.Errorf("%w: the URL: %w", ErrInvalid, err)
	}
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw // as every tool takes it
	}
	u, err := url.Parse(raw)
	if err != nil {
		return server{}, fmt.Errorf("%w: the URL cannot be parsed%s", ErrInvalid, wantURL)
	}
	s := server{scheme: u.Scheme, host: u.Hostname()}
	if s.scheme == "socks5h" {
		s.scheme = "socks5" // names are the proxy's to look up in any case
	}
	port, ok := standardPort(s.scheme)
	if !ok {
		return server{}, fmt.Errorf("%w: the URL's scheme is none of http, https, socks5 and socks5h%s", ErrInvalid, wantURL)
	}
	if given := u.Port(); given != "" {
		port = given
	}
	if !isPort(port) {
		return server{}, fmt.Errorf("%w: the URL's port is not from 1 to 65535%s", ErrInvalid, wantURL)
	}
	switch {
	case !isHost(s.host):
		return server{}, fmt.Errorf("%w: the URL's host is missing, or no name or address%s", ErrInvalid, wantURL)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return server{}, fmt.Errorf("%w: something follows the URL's port%s", ErrInvalid, wantURL)
	}
	s.address = net.JoinHostPort(s.host, port)
	if u.User == nil {
		return s, nil
	}
	s.login = true
	s.user = u.User.Username()
	s.password, _ = u.User.Password()
	return s, s.checkLogin()
}

// isHost wants a name or an address: it keeps out what would mean something
// else in a header.
func isHost(host string) bool {
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil && !strings.ContainsFunc(host, isStrange) // it may have a zone
	}
	return host != "" && len(host) <= 255 && !strings.ContainsFunc(host, isStrange)
}

func isStrange(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"\/?#@<>[]`, r)
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// isAddress wants the host:port that a proxy can be asked for.
func isAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return err == nil && isHost(host) && isPort(port)
}

// checkLogin refuses what the proxy's protocol cannot carry.
func (s server) checkLogin() error {
	switch {
	case s.user == "":
		return fmt.Errorf("%w: the URL's user is empty%s", ErrInvalid, wantURL)
	case s.scheme == "socks5" && (s.password == "" || len(s.user) > 255 || len(s.password) > 255): // RFC 1929, 2
		return fmt.Errorf("%w: SOCKS5 takes a user and a password of 1 to 255 bytes each", ErrInvalid)
	case s.scheme != "socks5" && strings.Contains(s.user, ":"): // RFC 7617, 2
		return fmt.Errorf("%w: HTTP takes no user with a colon", ErrInvalid)
	}
	return nil
}

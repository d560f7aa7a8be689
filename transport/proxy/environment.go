package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// maxExcept bounds the entries of NO_PROXY, which every dial walks through.
const maxExcept = 1000

// FromEnvironment makes a dial function that goes the way that a system's
// variables tell; getenv reads one of them, as os.Getenv does:
//
//	HTTPS_PROXY, https_proxy, ALL_PROXY, all_proxy   the first that is set is the proxy, as for New
//	NO_PROXY, no_proxy                               what is reached directly
//
// NO_PROXY is a list with commas, of host names (example.com with all below it,
// .example.com and *.example.com for only what is below), IP addresses and
// CIDR blocks, each but the last with :port to mean this port only; * is
// everything. Localhost and loopback addresses are always reached directly.
// Without a proxy, or without getenv, all is.
//
// The variables are read now, not at each dial. A proxy's URL that is not well
// formed matches ErrInvalid, and the error names its variable; so does a CIDR
// block or port in NO_PROXY, or more than 1000 entries.
func FromEnvironment(getenv func(name string) string, opts *Options) (DialFunc, error) {
	o := opts.withDefaults()
	if getenv == nil {
		return o.Dial, nil
	}
	name, value := firstSet(getenv, "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
	if value == "" {
		return o.Dial, nil
	}
	s, err := parseURL(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	name, value = firstSet(getenv, "NO_PROXY", "no_proxy")
	direct, err := parseExceptions(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	through := s.dialer(o)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if direct.match(address) {
			return o.Dial(ctx, network, address)
		}
		return through(ctx, network, address)
	}, nil
}

func firstSet(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

// An exception is one entry of NO_PROXY.
type exception struct {
	block netip.Prefix // of addresses; not valid for a name
	name  string       // in lower case, without dots around it
	below bool         // only what is below the name
	port  string       // only this port; empty for all
}

type exceptions struct {
	all  bool // reach everything directly
	list []exception
}

// badException tells an entry that means nothing: a typing error here would send
// a device the wrong way in silence.
func badException(entry string) error {
	return fmt.Errorf("%w: the entry %.*q is none of name, name:port, address, address:port and block", ErrInvalid, maxText, entry)
}

func parseExceptions(list string) (exceptions, error) {
	var all exceptions
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		switch {
		case entry == "":
			continue
		case entry == "*":
			all.all = true
			continue
		case len(all.list) == maxExcept:
			return exceptions{}, fmt.Errorf("%w: more than %d entries", ErrInvalid, maxExcept)
		}
		e, err := parseException(entry)
		if err != nil {
			return exceptions{}, err
		}
		all.list = append(all.list, e)
	}
	return all, nil
}

func parseException(entry string) (exception, error) {
	if block, err := netip.ParsePrefix(entry); err == nil {
		return exception{block: block.Masked()}, nil
	}
	var e exception
	host := entry
	if h, port, err := net.SplitHostPort(entry); err == nil {
		if !isPort(port) {
			return exception{}, badException(entry)
		}
		host, e.port = h, port
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		e.block = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())
		return e, nil
	}
	name, star := strings.CutPrefix(host, "*.")
	name, dot := strings.CutPrefix(name, ".")
	e.name, e.below = strings.TrimSuffix(name, "."), star || dot
	if !isHost(e.name) || strings.ContainsAny(e.name, ":*[]") {
		return exception{}, badException(entry)
	}
	return e, nil
}

// match reports whether an address is reached directly.
func (all exceptions) match(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap().WithZone("")
	if all.all || host == "localhost" || err == nil && ip.IsLoopback() {
		return true
	}
	for _, e := range all.list {
		if e.port != "" && e.port != port {
			continue
		}
		if err == nil && e.block.IsValid() && e.block.Contains(ip) || err != nil && e.matchName(host) {
			return true
		}
	}
	return false
}

func (e exception) matchName(host string) bool {
	return e.name != "" && (host == e.name && !e.below || strings.HasSuffix(host, "."+e.name))
}

package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

const (
	// maxExcept bounds the entries of NO_PROXY, which every dial walks through.
	maxExcept = 1000
	// wantEntry is what an entry of NO_PROXY looks like, for an error's text.
	wantEntry = "a name, an address or a block, such as example.com, .example.com, 10.1.2.3 or 10.0.0.0/8"
)

// An exception is one entry of NO_PROXY.
type exception struct {
	block netip.Prefix // of addresses; not valid for all else
	name  string       // in lower case, and without a dot at its end; the host and all below
	like  string       // in lower case, with * for any text
	local bool         // names without a dot
	port  string       // only this port; empty for all
}

// An unclear entry is one in a way of writing that is not known here.
type unclear struct {
	text  string
	about *exception // what it is about, where only its port is not known
}

// exceptions are NO_PROXY.
type exceptions struct {
	list    []exception
	unclear []unclear
}

func parseExceptions(list string) (exceptions, error) {
	var all exceptions
	separates := func(r rune) bool { return strings.ContainsRune(",;|", r) || visible.Invisible(r) }
	for text := range strings.FieldsFuncSeq(list, separates) {
		entry := strings.Trim(strings.ToLower(text), "\"'")
		if entry == "" {
			continue
		}
		if len(all.list)+len(all.unclear) == maxExcept {
			return exceptions{}, fmt.Errorf("%w: more than %d entries", ErrInvalid, maxExcept)
		}
		switch e, ok := parseException(entry); {
		case ok && e.port != "" && !isPort(e.port):
			all.unclear = append(all.unclear, unclear{text: text, about: &e})
		case ok:
			all.list = append(all.list, e)
		default:
			all.unclear = append(all.unclear, unclear{text: text})
		}
	}
	return all, nil
}

// parseException reads an entry in lower case. Its port may be none.
func parseException(entry string) (e exception, ok bool) {
	if block, err := netip.ParsePrefix(entry); err == nil {
		return exception{block: block.Masked()}, true
	}
	if _, rest, found := strings.Cut(entry, "://"); found {
		entry = strings.TrimSuffix(rest, "/")
	}
	if entry == "<local>" {
		return exception{local: true}, true
	}
	host := entry
	if h, port, err := net.SplitHostPort(entry); err == nil {
		if host, e.port = h, port; port == "*" {
			e.port = ""
		}
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		e.block = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())
		return e, true
	}
	host = strings.TrimSuffix(host, ".")
	switch below, dot := strings.CutPrefix(host, "."); {
	case strings.ContainsFunc(host, isNoName), strings.Contains(host, ".."), strings.Trim(host, ".") == "":
		return exception{}, false
	case strings.Contains(host, "*"):
		e.like = host
	case dot:
		e.like = "*." + below
	case strings.Trim(host, "0123456789.-") == "": // a part of an address, or a range
		return exception{}, false
	default:
		e.name = host
	}
	return e, true
}

// isNoName reports whether a character is in no host name and no pattern of one.
func isNoName(r rune) bool {
	return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || strings.ContainsRune("-_.*", r))
}

// match reports whether an address is reached directly, or else which entry may
// say so in a way of writing that is not known.
func (all exceptions) match(address string) (direct bool, unclear string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false, ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip, err := netip.ParseAddr(host)
	if err == nil {
		ip = ip.Unmap().WithZone("")
		host = ip.String()
	}
	if host == "localhost" || err == nil && ip.IsLoopback() {
		return true, ""
	}
	for _, e := range all.list {
		if (e.port == "" || e.port == port) && e.matchHost(host, ip) {
			return true, ""
		}
	}
	for _, u := range all.unclear {
		if u.mayMean(host, ip) {
			return false, u.text
		}
	}
	return false, ""
}

// matchHost compares without the port. The address is not valid for a name.
func (e exception) matchHost(host string, ip netip.Addr) bool {
	switch {
	case e.like != "":
		return isLike(host, e.like)
	case ip.IsValid():
		return e.block.IsValid() && e.block.Contains(ip)
	case e.local:
		return !strings.Contains(host, ".")
	}
	return e.name != "" && (host == e.name || strings.HasSuffix(host, "."+e.name))
}

// isLike compares a host with a pattern, in which * is any text.
func isLike(host, pattern string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return host == pattern
	}
	host, ok := strings.CutPrefix(host, first)
	for ok && strings.Contains(rest, "*") {
		var part string
		part, rest, _ = strings.Cut(rest, "*")
		_, host, ok = strings.Cut(host, part)
	}
	return ok && strings.HasSuffix(host, rest)
}

// mayMean reports whether the entry may be about a host: the longest word of it
// is a part of the name, or it begins as the address does.
func (u unclear) mayMean(host string, ip netip.Addr) bool {
	if u.about != nil {
		return u.about.matchHost(host, ip)
	}
	isWord := func(r rune) bool { return r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' }
	words := strings.FieldsFunc(strings.ToLower(u.text), func(r rune) bool { return !isWord(r) })
	if ip.IsValid() {
		first, _, _ := strings.Cut(strings.ReplaceAll(host, ":", "."), ".")
		return len(words) > 0 && words[0] == first
	}
	longest := ""
	for _, w := range words {
		if w = strings.Trim(w, "-"); len(w) > len(longest) {
			longest = w
		}
	}
	const telling = 3 // letters: less stands in every name
	return len(longest) >= telling && strings.Contains(host, longest)
}

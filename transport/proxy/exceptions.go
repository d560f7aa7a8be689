package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

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
	block netip.Prefix // of addresses, and not valid for all else
	name  string       // in lower case, and without a dot at its end: the host and all below
	group string       // with its colon, how an IPv6 address may begin, or empty for none
	like  string       // in lower case, with * for any text
	local bool         // names without a dot
	port  string       // only this port, or empty for all
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
	// Other characters that cannot be seen end no entry: what follows one inside a
	// name would be another, shorter name.
	separates := func(r rune) bool { return strings.ContainsRune(",;|", r) || unicode.IsSpace(r) }
	for text := range strings.FieldsFuncSeq(list, separates) {
		entry := strings.Trim(visible.Trim(strings.ToLower(text)), "\"'")
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
	if _, rest, found := strings.Cut(entry, "://"); found {
		entry = strings.TrimSuffix(rest, "/")
	}
	if block, ok := parseBlock(entry); ok {
		return exception{block: block}, true
	}
	if entry == "<local>" {
		return exception{local: true}, true
	}
	host := entry
	if h, port, err := net.SplitHostPort(entry); err == nil {
		if host, e.port = h, port; port == "*" {
			e.port, e.group = "", h+":" // it may be the way in which Windows writes a block
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

// parseBlock reads a CIDR block, of which the address may have brackets and a zone.
func parseBlock(entry string) (netip.Prefix, bool) {
	address, bits, _ := strings.Cut(strings.NewReplacer("[", "", "]", "").Replace(entry), "/")
	address, _, _ = strings.Cut(address, "%")
	block, err := netip.ParsePrefix(address + "/" + bits)
	if err != nil {
		return netip.Prefix{}, false
	}
	const mapped = 96 // bits before an IPv4 address in an IPv6 one
	if a := block.Addr(); a.Is4In6() && block.Bits() >= mapped {
		block = netip.PrefixFrom(a.Unmap(), block.Bits()-mapped)
	}
	return block.Masked(), true
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
		return e.block.IsValid() && e.block.Contains(ip) || e.group != "" && ip.Is6() && strings.HasPrefix(host, e.group)
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

// mayMean reports whether the entry may be about a host: one of its words is a
// part of the name, or it may begin as the address does. Its last word counts only
// where there is no other, if it is that of a whole zone, such as net.
func (u unclear) mayMean(host string, ip netip.Addr) bool {
	if u.about != nil {
		return u.about.matchHost(host, ip)
	}
	text := strings.ToLower(u.text)
	if _, rest, found := strings.Cut(text, "://"); found {
		text = rest
	}
	if ip.Is4() {
		return mayBegin(text, ip.As4()[0])
	}
	isWord := func(r rune) bool { return r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' }
	words := strings.FieldsFunc(text, func(r rune) bool { return !isWord(r) })
	if len(words) == 0 {
		return false
	}
	if ip.IsValid() {
		first, _, _ := strings.Cut(host, ":")
		block, ok := parseBlock(text[:max(0, strings.LastIndexByte(text, ':'))]) // with a port
		return words[0] == first || ok && block.Contains(ip)
	}
	const telling = 3 // letters: less is in every name
	told := false
	for i, w := range words {
		if w = strings.Trim(w, "-"); len(w) < telling || told && i == len(words)-1 && len(w) == telling {
			continue
		}
		if told = true; strings.Contains(host, w) {
			return true
		}
	}
	return !told && strings.HasSuffix(host, "."+words[len(words)-1])
}

// mayBegin reports whether a part, a range or a block of IPv4 addresses may hold
// one that begins with first.
func mayBegin(text string, first byte) bool {
	number := func(s string) byte {
		s = strings.TrimLeft(s, "0")
		digits := s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
		n, _ := strconv.ParseUint(digits, 10, 8) // 0 for none, 255 for what is larger
		return byte(n)
	}
	if text = strings.TrimLeft(text, "^[(~!"); text == "" || text[0] < '0' || text[0] > '9' {
		return false
	}
	low := number(text)
	if _, high, isRange := strings.Cut(text, "-"); isRange {
		return low <= first && first <= max(low, number(high))
	}
	mask := byte(0xff)
	if _, bits, isBlock := strings.Cut(text, "/"); isBlock {
		if mask = number(bits); !strings.Contains(bits, ".") {
			mask = ^(byte(0xff) >> min(mask, 8))
		}
	}
	return first&mask == low&mask
}

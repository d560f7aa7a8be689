package proxy

import (
	"context"
	"fmt"
	"net"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// FromEnvironment makes a dial function that goes the way that a system's
// variables tell; getenv reads one of them, as os.Getenv does:
//
//	HTTPS_PROXY, https_proxy, ALL_PROXY, all_proxy   the first that is set is the proxy, as for New
//	NO_PROXY, no_proxy                               what is reached directly
//
// NO_PROXY is a list with commas, semicolons, bars or white space, of
//
//	example.com                  the host, and all below it
//	.example.com, *.example.com  only what is below
//	plant*.example.com, 10.1.*   what is like that; * is any text, and alone everything
//	fd00:*                       IPv6 addresses that begin so, and a host of that name
//	10.1.2.3, fd00::/8           addresses and CIDR blocks
//	<local>                      names without a dot
//
// each but a block with :port, to mean this port only. Case, quotes around an
// entry, and a scheme before it do not matter. Localhost and loopback addresses
// are always reached directly. Without a proxy, or without getenv, all is.
//
// The variable belongs to the machine, and other programs write it in other ways.
// An entry that is none of these is skipped, and Options.Logger hears of it. But
// where it may mean the host that is dialed, dialing fails with ErrInvalid: the
// proxy is never taken in silence.
//
// The variables are read now, not at each dial. A proxy's URL that is not well
// formed matches ErrInvalid, and the error names its variable. So do more than
// 1000 entries in NO_PROXY.
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
		return nil, fmt.Errorf("proxy: %s: %w", name, bare(err))
	}
	name, value = firstSet(getenv, "NO_PROXY", "no_proxy")
	direct, err := parseExceptions(value)
	if err != nil {
		return nil, fmt.Errorf("proxy: %s: %w", name, bare(err))
	}
	for _, e := range direct.unclear {
		o.Logger.Warn("entry is skipped, since it is not understood", "variable", name, "entry", clip(e.text), "want", wantEntry)
	}
	through := s.dialer(o)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		switch is, unclear := direct.match(address); {
		case is:
			return o.Dial(ctx, network, address)
		case unclear != "":
			return nil, fmt.Errorf("proxy: %s: %w: the entry %q is not understood, and may mean %.*q; write it as %s", name, bare(ErrInvalid), clip(unclear), maxText, address, wantEntry)
		}
		return through(ctx, network, address)
	}, nil
}

func firstSet(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := visible.Trim(getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

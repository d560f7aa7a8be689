package edge

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
)

// maxSocketPath is the longest name of a socket that Linux connects to; with a
// longer one it says no more than "invalid argument".
const maxSocketPath = 107

// An address is where the workload API is, as package net wants it.
type address struct {
	network, address string
	host             string // as HTTP's Host
}

// parseURI reads IOTEDGE_WORKLOADURI. The text is not quoted in errors: a
// person may have put a password in it.
func parseURI(text string) (address, error) {
	const forms = "it is unix:///path/of/a/socket or http://host:port"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return address{}, invalid("it is no URI; %s", forms)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return address{}, invalid("it has a user, a query or a fragment; %s", forms)
	case u.Scheme == "unix":
		return socketAddress(u, forms)
	case u.Scheme == "http":
		return tcpAddress(u, forms)
	}
	return address{}, invalid("its scheme is %.20q; %s", u.Scheme, forms)
}

func socketAddress(u *url.URL, forms string) (address, error) {
	path := strings.TrimSuffix(u.Path, "/")
	switch {
	case u.Host != "":
		return address{}, invalid("it has a host before the path: three slashes are needed; %s", forms)
	case path == "":
		return address{}, invalid("it names no socket; %s", forms)
	case strings.ContainsRune(path, 0):
		return address{}, invalid("its path holds a zero byte; %s", forms)
	case len(path) > maxSocketPath:
		return address{}, invalid("its path has %d bytes; a socket's has at most %d", len(path), maxSocketPath)
	}
	return address{network: "unix", address: path, host: "iotedge"}, nil
}

func tcpAddress(u *url.URL, forms string) (address, error) {
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "80"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case !isHost(host):
		return address{}, invalid("it names no host, or one that is none; %s", forms)
	case err != nil || n == 0:
		return address{}, invalid("its port is not from 1 to 65535")
	case u.Path != "" && u.Path != "/":
		return address{}, invalid("it has a path, which is the module's to say; %s", forms)
	}
	at := net.JoinHostPort(host, port)
	return address{network: "tcp", address: at, host: at}, nil
}

// isHost knows names and addresses, but no zones: what is said of this board's
// network does not belong into an HTTP header.
func isHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Zone() == ""
	}
	return auth.Identity{Host: s, DeviceID: "d"}.Validate() == nil
}

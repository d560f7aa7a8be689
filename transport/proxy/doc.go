// Package proxy leads byte streams through an HTTP or SOCKS5 proxy. It makes
// dial functions for transport.TLSOptions.DialContext, so it serves every protocol,
// over TCP and over WebSocket alike:
//
//	dial, err := proxy.New("http://user:secret@proxy.example:3128", nil)
//	…
//	stream := transport.TLS(&transport.TLSOptions{DialContext: dial})
//	dev := device.New(id, cred, mqtt.Dialer{Stream: stream}, nil)
//
// Many proxies let a client through to port 443 only: then stack package ws on
// that stream. TLS to the hub runs end to end inside the proxy's tunnel, which
// sees the hub's name and no more; the proxy looks that name up, so a device
// needs no DNS of its own but for the proxy.
//
// The package does not link net/http. It adds 0.13 MB to examples/sas for
// linux/arm (GOARM=7, CGO_ENABLED=0, -trimpath, -ldflags="-s -w", go1.26.8):
// 5,636,258 bytes in place of 5,505,186. Half of that is the exchange with a
// SOCKS5 proxy, which is golang.org/x/net/proxy's. NO_PROXY is read here, for
// golang.org/x/net/http/httpproxy would add 0.26 MB, mostly Unicode tables for
// names that no hub has.
package proxy

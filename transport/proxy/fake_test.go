package proxy_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
)

const (
	user   = "dev"
	secret = "s3cr:t/&x" // with what a URL must encode
	login  = user + ":s3cr%3At%2F%26x@"
)

// A fake is a proxy at the far end of in-memory streams.
type fake struct {
	t     *testing.T
	serve func(net.Conn) // owns the stream's far end

	opened, closed atomic.Int64
	address        atomic.Value // string: what was dialled last
	wg             sync.WaitGroup
}

// newFake ends with the test, once everything has that could hold serve up:
// make it first.
func newFake(t *testing.T, serve func(net.Conn)) *fake {
	f := &fake{t: t, serve: serve}
	t.Cleanup(f.wg.Wait)
	return f
}

// Dial is the way to the proxy, for proxy.Options.
func (f *fake) Dial(_ context.Context, _, address string) (net.Conn, error) {
	f.address.Store(address)
	client, server := memconn.Pipe("device", "proxy")
	f.opened.Add(1)
	f.wg.Go(func() {
		defer server.Close()
		f.serve(server)
	})
	return &counted{Conn: client, closed: &f.closed}, nil
}

// wantClosed wants every stream to be closed.
func (f *fake) wantClosed() {
	f.t.Helper()
	if o, c := f.opened.Load(), f.closed.Load(); o == 0 || o != c {
		f.t.Errorf("%d streams were opened, %d of them closed; want all", o, c)
	}
}

type counted struct {
	net.Conn
	once   sync.Once
	closed *atomic.Int64
}

func (c *counted) Close() error {
	c.once.Do(func() { c.closed.Add(1) })
	return c.Conn.Close()
}

// through makes a dial function that leads through the fake.
func (f *fake) through(url string) proxy.DialFunc {
	f.t.Helper()
	dial, err := proxy.New(url, &proxy.Options{Dial: f.Dial})
	if err != nil {
		f.t.Fatalf("New: %v", err)
	}
	return dial
}

// A tunnel opens the far side of a proxy.
type tunnel func(address string) (net.Conn, error)

// echoes leads everywhere to an end that says what it is, then echoes.
func echoes(t *testing.T) tunnel {
	return func(address string) (net.Conn, error) {
		near, far := memconn.Pipe("proxy", address)
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		wg.Go(func() {
			defer far.Close()
			_, _ = io.WriteString(far, "this is "+address+"\n")
			_, _ = io.Copy(far, far)
		})
		return near, nil
	}
}

// httpProxy serves CONNECT, to clients with that login; "" lets all in.
func httpProxy(lead tunnel, auth string) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
		if auth != "" && user+":"+password != auth {
			_, _ = io.WriteString(c, "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\nWho?")
			return
		}
		if r.Method != "CONNECT" || r.Host != r.RequestURI {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 400 %s %s at %s\r\n\r\n", r.Method, r.RequestURI, r.Host)
			return
		}
		far, err := lead(r.RequestURI)
		if err != nil {
			_, _ = io.WriteString(c, "HTTP/1.0 502 Bad Gateway\n\n") // as old ones write it
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
		splice(c, in, far)
	}
}

// socksProxy serves SOCKS5 (RFC 1928), to clients with that login (RFC 1929);
// "" lets all in. Its reply to a request whose way does not open is rep.
func socksProxy(lead tunnel, auth string, rep byte) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		methods := counts(in, 1)
		method, wanted := byte(0), byte(0)
		if auth != "" {
			wanted = 2
		}
		if method = wanted; !strings.Contains(methods, string(rune(wanted))) {
			method = 0xff
		}
		_, _ = c.Write([]byte{5, method})
		switch method {
		case 0xff:
			return
		case 2:
			given := counts(in, 1) + ":" + counts(in, 0)
			ok := given == auth
			_, _ = c.Write([]byte{1, map[bool]byte{true: 0, false: 1}[ok]})
			if !ok {
				return
			}
		}
		head := make([]byte, 4)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		host := ""
		switch head[3] {
		case 1, 4:
			ip := make(net.IP, map[byte]int{1: 4, 4: 16}[head[3]])
			_, _ = io.ReadFull(in, ip)
			host = ip.String()
		case 3:
			host = counts(in, 0)
		}
		port := make([]byte, 2)
		_, _ = io.ReadFull(in, port)
		far, err := lead(net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port))))
		if err != nil {
			_, _ = c.Write([]byte{5, rep, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		_, _ = c.Write([]byte("\x05\x00\x00\x03\x03abc\x00\x50")) // bound to a name, as few do
		splice(c, in, far)
	}
}

// counts reads a string with its length before it, after some bytes.
func counts(in *bufio.Reader, skip int) string {
	_, _ = in.Discard(skip)
	n, _ := in.ReadByte()
	b := make([]byte, n)
	_, _ = io.ReadFull(in, b)
	return string(b)
}

// splice passes bytes until either side ends.
func splice(c net.Conn, in io.Reader, far net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(c, far)
		c.Close()
	})
	_, _ = io.Copy(far, in)
	far.Close()
	wg.Wait()
}

func wantError(t *testing.T, what string, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Fatalf("%s: got error %v; want it to match %q", what, err, want)
		}
	}
	wantNoSecret(t, what, err)
	wantName(t, what, err)
}

// wantName wants the package's name at the beginning of an error, and nowhere else.
func wantName(t *testing.T, what string, err error) {
	t.Helper()
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, "proxy: "); !ok || strings.Contains(rest, ": proxy: ") || strings.Contains(rest, ": transport: ") {
		t.Errorf("%s: got %q; want it to begin with the name of package proxy, once", what, text)
	}
}

// wantNoSecret looks for the login in every form that it takes.
func wantNoSecret(t *testing.T, what string, err error) {
	t.Helper()
	for _, form := range []string{secret, "s3cr", "ZGV2OnMzY3I"} {
		for _, text := range []string{err.Error(), fmt.Sprintf("%#v", err), fmt.Sprintf("%+v", err)} {
			if strings.Contains(text, form) {
				t.Fatalf("%s: the error holds the password: %s", what, text)
			}
		}
	}
}

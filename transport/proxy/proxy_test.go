package proxy_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
)

// greet dials and wants to be greeted by the end at that address, and to be
// echoed: the tunnel is clean in both directions.
func greet(t *testing.T, dial proxy.DialFunc, address string) {
	t.Helper()
	c, err := dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for _, want := range []string{"this is " + address + "\n", "hello\n"} {
		if got, err := in.ReadString('\n'); got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestTunnel(t *testing.T) {
	for _, c := range []struct {
		url, dialled string
		serve        func(tunnel) func(net.Conn)
	}{
		{"http://p.example:3128", "p.example:3128", func(lead tunnel) func(net.Conn) { return httpProxy(lead, "") }},
		{"p.example:3128", "p.example:3128", func(lead tunnel) func(net.Conn) { return httpProxy(lead, "") }},
		{"http://" + login + "p.example/", "p.example:80", func(lead tunnel) func(net.Conn) { return httpProxy(lead, user+":"+secret) }},
		{"http://" + login + "[fd00::1]", "[fd00::1]:80", func(lead tunnel) func(net.Conn) { return httpProxy(lead, user+":"+secret) }},
		{"http://dev@p.example", "p.example:80", func(lead tunnel) func(net.Conn) { return httpProxy(lead, user+":") }},
		{"socks5://p.example", "p.example:1080", func(lead tunnel) func(net.Conn) { return socksProxy(lead, "", 1) }},
		{"SOCKS5H://p.example:1", "p.example:1", func(lead tunnel) func(net.Conn) { return socksProxy(lead, "", 1) }},
		{"socks5://" + login + "p.example", "p.example:1080", func(lead tunnel) func(net.Conn) { return socksProxy(lead, user+":"+secret, 1) }},
		{"socks5://" + login + "p.example", "p.example:1080", func(lead tunnel) func(net.Conn) { return socksProxy(lead, "", 1) }},
	} {
		// Names are the proxy's to look up.
		for _, address := range []string{"hub.example:8883", "192.0.2.1:443", "[2001:db8::1]:443"} {
			t.Run(c.dialled+" to "+address, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(t, c.serve(echoes(t)))
					greet(t, f.through(c.url), address)
					if got := f.address.Load(); got != c.dialled {
						t.Errorf("dialled %q; want the proxy at %q", got, c.dialled)
					}
					f.wantClosed()
				})
			})
		}
	}
}

func TestRefusals(t *testing.T) {
	shut := func(string) (net.Conn, error) { return nil, errors.New("shut") }
	for _, c := range []struct {
		name, url string
		serve     func(net.Conn)
		want      error
	}{
		{"HTTP without a login", "http://p.example", httpProxy(shut, "a:b"), proxy.ErrLogin},
		{"HTTP with another login", "http://" + login + "p.example", httpProxy(shut, "a:b"), proxy.ErrLogin},
		{"HTTP with another login, as tinyproxy tells it", "http://" + login + "p.example", says("HTTP/1.1 401 Unauthorized\r\n\r\n"), proxy.ErrLogin},
		{"HTTP to nowhere", "http://" + login + "p.example", httpProxy(shut, ""), proxy.ErrRefused},
		{"SOCKS5 without a login", "socks5://p.example", socksProxy(shut, "a:b", 1), proxy.ErrLogin},
		{"SOCKS5 with another login", "socks5://" + login + "p.example", socksProxy(shut, "a:b", 1), proxy.ErrLogin},
		{"SOCKS5, general failure", "socks5://" + login + "p.example", socksProxy(shut, "", 1), proxy.ErrRefused},
		{"SOCKS5, not allowed", "socks5://p.example", socksProxy(shut, "", 2), proxy.ErrRefused},
		{"SOCKS5, connection refused", "socks5://p.example", socksProxy(shut, "", 5), proxy.ErrRefused},
		{"SOCKS5, a reply of no meaning", "socks5://p.example", socksProxy(shut, "", 99), proxy.ErrRefused},
		{"SOCKS5 spoken to HTTP", "socks5://" + login + "p.example", says("HTTP/1.1 400 Bad Request\r\n\r\n"), transport.ErrUnavailable},
		{"SOCKS5 hung up on", "socks5://" + login + "p.example", says(""), transport.ErrUnavailable},
		{"SOCKS5 hung up on after the login", "socks5://" + login + "p.example", says("\x05\x02"), transport.ErrUnavailable},
		{"SOCKS5 with a login that it does not know", "socks5://" + login + "p.example", says("\x05\x01"), proxy.ErrLogin},
		{"SOCKS5 bound to no kind of address", "socks5://p.example", says("\x05\x00\x05\x00\x00\x09"), transport.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, c.serve)
				_, err := f.through(c.url)(t.Context(), "tcp", "hub.example:8883")
				wantError(t, "dial", err, c.want, transport.ErrUnavailable)
				if errors.Is(err, transport.ErrUnauthorized) {
					t.Errorf("got error %v; it must not match ErrUnauthorized: the hub refused nothing", err)
				}
				f.wantClosed()
			})
		})
	}
}

// says answers whatever comes with a text, and hangs up at the next that comes.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<10))
		if text != "" {
			_, _ = io.WriteString(c, text)
			_, _ = c.Read(make([]byte, 1<<10))
		}
	}
}

func TestAddresses(t *testing.T) {
	dial, err := proxy.New("http://p.example", &proxy.Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("the proxy was dialled")
		return nil, errors.New("no")
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"", "hub.example", "hub.example:0", "hub.example:mqtt", ":8883", "hub.example\r\nX: y:443", "a b:443"} {
		_, err := dial(t.Context(), "tcp", address)
		wantError(t, fmt.Sprintf("dial %q", address), err, transport.ErrUnsupported)
	}
}

func TestProxyCannotBeReached(t *testing.T) {
	no := errors.New("no carrier")
	for _, url := range []string{"http://" + login + "p.example", "https://" + login + "p.example", "socks5://" + login + "p.example"} {
		dial, err := proxy.New(url, &proxy.Options{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, no }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = dial(t.Context(), "tcp", "hub.example:8883")
		wantError(t, url, err, no)
	}
	dial, err := proxy.New("http://127.0.0.1:1", nil) // TCP; nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = dial(ctx, "tcp", "hub.example:8883")
	wantError(t, "dial by the default", err, context.Canceled)
}

// TestContextEnds has proxies that fall silent, each at another point.
func TestContextEnds(t *testing.T) {
	silent := func(answers ...string) func(net.Conn) {
		return func(c net.Conn) {
			for _, answer := range answers {
				if _, err := c.Read(make([]byte, 1<<10)); err != nil {
					return
				}
				_, _ = io.WriteString(c, answer)
			}
			_, _ = io.Copy(io.Discard, c)
		}
	}
	for _, c := range []struct {
		name, url string
		serve     func(net.Conn)
	}{
		{"HTTP, at once", "http://" + login + "p.example", silent()},
		{"HTTP, within the answer", "http://" + login + "p.example", silent("HTTP/1.1 200 OK\r\nA: b\r\n")},
		{"HTTP, after 100", "http://" + login + "p.example", silent("HTTP/1.1 100 Wait\r\n\r\n")},
		{"HTTPS, in the handshake of TLS", "https://" + login + "p.example", silent()},
		{"SOCKS5, at once", "socks5://" + login + "p.example", silent()},
		{"SOCKS5, at the login", "socks5://" + login + "p.example", silent("\x05\x02")},
		{"SOCKS5, at the request", "socks5://" + login + "p.example", silent("\x05\x02", "\x01\x00")},
		{"SOCKS5, within the reply", "socks5://" + login + "p.example", silent("\x05\x00", "\x05\x00\x00\x01\x00")},
	} {
		for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
			t.Run(c.name+"/"+end.Error(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(t, c.serve)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					if end == context.Canceled {
						ctx, cancel = context.WithCancel(t.Context())
						time.AfterFunc(time.Minute, cancel)
					}
					defer cancel()
					start := time.Now()
					_, err := f.through(c.url)(ctx, "tcp", "hub.example:8883")
					wantError(t, "dial", err, end)
					if got := time.Since(start); got != time.Minute {
						t.Errorf("dial ended after %v; want 1m, with ctx", got)
					}
					f.wantClosed()
				})
			})
		}
	}
}

// TestEndedContext has a proxy that says yes just when it is too late.
func TestEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFake(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<10))
			cancel()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		})
		_, err := f.through("http://p.example")(ctx, "tcp", "hub.example:8883")
		wantError(t, "dial", err, context.Canceled)
		f.wantClosed()
	})
}

// inTLS puts a proxy behind TLS.
func inTLS(cert tls.Certificate, serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		defer s.Close()
		serve(s)
	}
}

func TestTLSToTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, roots := selfSigned(t, "p.example")
		f := newFake(t, inTLS(cert, httpProxy(echoes(t), user+":"+secret)))
		for _, c := range []struct {
			config *tls.Config
			url    string
			ok     bool
		}{
			{&tls.Config{RootCAs: roots}, "https://" + login + "p.example", true},
			{&tls.Config{RootCAs: roots, ServerName: "p.example"}, "https://" + login + "192.0.2.1:1", true},
			{&tls.Config{RootCAs: roots}, "https://" + login + "q.example", false},
			{nil, "https://" + login + "p.example", false},
		} {
			dial, err := proxy.New(c.url, &proxy.Options{Dial: f.Dial, Config: c.config})
			if err != nil {
				t.Fatal(err)
			}
			if c.ok {
				greet(t, dial, "hub.example:8883")
				continue
			}
			_, err = dial(t.Context(), "tcp", "hub.example:8883")
			var bad *tls.CertificateVerificationError
			if !errors.As(err, &bad) {
				t.Errorf("%s: got error %v; want a *tls.CertificateVerificationError", f.address.Load(), err)
			}
			wantNoSecret(t, "dial", err)
			wantName(t, "dial", err)
		}
		f.wantClosed()
	})
}

// TestGoodbyeToTheProxy wants the proxy to be told of the end: squid drops what
// it has not passed on yet when it is not.
func TestGoodbyeToTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, roots := selfSigned(t, "p.example")
		heard := make(chan error, 1)
		f := newFake(t, inTLS(cert, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<10))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			_, err := c.Read(make([]byte, 1))
			heard <- err
		}))
		dial, err := proxy.New("https://p.example", &proxy.Options{Dial: f.Dial, Config: &tls.Config{RootCAs: roots}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := dial(t.Context(), "tcp", "hub.example:8883")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-heard; err != io.EOF {
			t.Errorf("the proxy heard %v; want io.EOF, the end of TLS", err)
		}
		f.wantClosed()
	})
}

// TestDeafTLSProxy is closed while the proxy takes nothing more: without the 5 s
// in which crypto/tls would try to say goodbye.
func TestDeafTLSProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, roots := selfSigned(t, "p.example")
		f := newFake(t, inTLS(cert, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<10))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			<-t.Context().Done()
		}))
		dial, err := proxy.New("https://p.example", &proxy.Options{Dial: f.Dial, Config: &tls.Config{RootCAs: roots}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := dial(t.Context(), "tcp", "hub.example:8883")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := c.SetWriteDeadline(start.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err = c.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: got %v; want %v", err, os.ErrDeadlineExceeded)
		}
		c.Close()
		if got := time.Since(start); got != 1100*time.Millisecond {
			t.Errorf("Write and Close took %v; want 1.1s: the write's second, and 100 ms for a goodbye", got)
		}
	})
}

// TestHubThroughProxies logs in over MQTT, with TLS to the hub inside.
func TestHubThroughProxies(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cert, roots := selfSigned(t, "p.example")
				var hub *hubtest.Hub
				asked := ""
				lead := func(address string) (net.Conn, error) {
					asked = address
					return hub.DialContext(context.Background(), "tcp", address)
				}
				serve := map[string]func(net.Conn){
					"http":   httpProxy(lead, user+":"+secret),
					"https":  inTLS(cert, httpProxy(lead, user+":"+secret)),
					"socks5": socksProxy(lead, user+":"+secret, 1),
				}[scheme]
				f := newFake(t, serve)
				hub = hubtest.New(t, nil)
				dial, err := proxy.New(scheme+"://"+login+"p.example", &proxy.Options{Dial: f.Dial, Config: &tls.Config{RootCAs: roots}})
				if err != nil {
					t.Fatal(err)
				}
				logIn(t, hub, "dev1", "", dial)
				if want := hub.Host() + ":8883"; asked != want {
					t.Errorf("the proxy was asked for %q; want %q, by name", asked, want)
				}
				f.wantClosed()
			})
		})
	}
}

// logIn connects a new device over TLS at the address, the hub's own if empty.
func logIn(t *testing.T, hub *hubtest.Hub, id, address string, dial proxy.DialFunc) {
	t.Helper()
	d, err := hub.AddDevice(id)
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.TokenOf(t.Context(), d.Credential, d.Identity.Audience(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream := transport.TLS(&transport.TLSOptions{RootCAs: hub.RootCAs(), Address: address, DialContext: dial})
	c, err := mqtt.Dialer{Stream: stream}.Dial(ctx, transport.Login{Identity: d.Identity, Token: token, KeepAlive: time.Minute})
	if err != nil {
		t.Fatalf("log in through the proxy: %v", err)
	}
	c.Close()
}

func selfSigned(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

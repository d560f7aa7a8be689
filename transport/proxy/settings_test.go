package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/transport/proxy"
)

func TestMalformedURLs(t *testing.T) {
	long := strings.Repeat("s3cr", 64)
	for _, c := range []struct{ url, told string }{
		{"", "host is missing"},
		{"http://", "host is missing"},
		{"http://" + login, "host is missing"},
		{"http://" + login + ":3128", "host is missing"},
		{"ftp://" + login + "p.example", "scheme"},
		{"socks4://p.example", "scheme"},
		{"http://" + login + "p.example:s3cr", "cannot be parsed"},
		{"http://dev:s3cr%zz@p.example", "cannot be parsed"},
		{"http://dev:s3cr/@p.example", "cannot be parsed"},
		{"http://dev:s3cr#x@p.example", "cannot be parsed"},
		{"http://" + login + "p.example\r\nX: y", "invisible character (line break"},
		{"http://" + login + "p.exam\u200bple", "invisible character (zero-width space"},
		{"http://dev:s3cr\u00a0@p.example", "invisible character (no-break space"},
		{"\xff\xfeh\x00t\x00", "UTF-16"},
		{"http://" + login + "p%20q", "cannot be parsed"},
		{"http://" + login + "p%0d%0aq", "cannot be parsed"},
		{"http://" + login + "bücher.example", "no name or address"},
		{"http://" + login + "p.example:0", "port"},
		{"http://" + login + "p.example:65536", "port"},
		{"http://" + login + "p.example/s3cr", "follows"},
		{"http://" + login + "p.example?s3cr", "follows"},
		{"http://" + login + "p.example?", "follows"},
		{"http://" + login + "p.example#s3cr", "follows"},
		{"http://:s3cr@p.example", "user is empty"},
		{"http://@p.example", "user is empty"},
		{"http://de%3Av:s3cr@p.example", "colon"},
		{"socks5://dev@p.example", "1 to 255"},
		{"socks5://dev:@p.example", "1 to 255"},
		{"socks5://dev:" + long + "@p.example", "1 to 255"},
	} {
		_, err := proxy.New(c.url, nil)
		if !errors.Is(err, proxy.ErrInvalid) || !strings.Contains(err.Error(), c.told) {
			t.Errorf("New(%.60q): got error %v; want ErrInvalid that tells of %q", c.url, err, c.told)
			continue
		}
		wantNoSecret(t, "New", err)
		wantName(t, "New", err)
	}
}

func FuzzURL(f *testing.F) {
	for _, url := range []string{"http://" + login + "p.example:3128", "socks5h://[fd00::1%25eth0]:1", "p:1", "https://%41:%42@x/", "http://dev:s3cr/@p"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		stop := errors.New("stop")
		dialled := ""
		dial, err := proxy.New(url, &proxy.Options{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = address
			return nil, stop
		}})
		if err != nil {
			// An error shows nothing of the URL, so it is one of a few texts.
			if !errors.Is(err, proxy.ErrInvalid) || len(err.Error()) > 250 {
				t.Fatalf("New(%q): got error %v; want a short ErrInvalid", url, err)
			}
			return
		}
		if _, err = dial(t.Context(), "tcp", "hub.example:8883"); !errors.Is(err, stop) {
			t.Fatalf("dial: %v", err)
		}
		host, port, err := net.SplitHostPort(dialled)
		if err != nil || host == "" || port == "" || strings.ContainsAny(dialled, " \r\n@/") {
			t.Fatalf("New(%q) dials %q: %v; want host:port", url, dialled, err)
		}
	})
}

// env is an environment.
type env map[string]string

func (e env) get(name string) string { return e[name] }

// route tells where a dial function goes: "direct", or the proxy's address.
func route(t *testing.T, e env, address string) string {
	t.Helper()
	stop := errors.New("stop")
	way := ""
	dial, err := proxy.FromEnvironment(e.get, &proxy.Options{Dial: func(_ context.Context, _, to string) (net.Conn, error) {
		if way = to; to == address {
			way = "direct"
		}
		return nil, stop
	}})
	if err != nil {
		t.Fatalf("FromEnvironment(%v): %v", e, err)
	}
	if _, err := dial(t.Context(), "tcp", address); !errors.Is(err, stop) {
		t.Fatalf("dial: %v", err)
	}
	return way
}

func TestWhichProxy(t *testing.T) {
	for _, c := range []struct {
		env  env
		want string
	}{
		{env{}, "direct"},
		{env{"HTTP_PROXY": "http://h:1"}, "direct"}, // that is for http://
		{env{"HTTPS_PROXY": " "}, "direct"},
		{env{"HTTPS_PROXY": "http://h:1"}, "h:1"},
		{env{"https_proxy": "h:2"}, "h:2"},
		{env{"ALL_PROXY": "socks5://h:3"}, "h:3"},
		{env{"all_proxy": "socks5h://h"}, "h:1080"},
		{env{"HTTPS_PROXY": "h:1", "https_proxy": "h:2", "ALL_PROXY": "h:3", "all_proxy": "h:4"}, "h:1"},
		{env{"https_proxy": "h:2", "ALL_PROXY": "h:3", "all_proxy": "h:4"}, "h:2"},
		{env{"ALL_PROXY": "h:3", "all_proxy": "h:4"}, "h:3"},
		{env{"ALL_PROXY": "h:3", "NO_PROXY": "hub.example"}, "direct"},
		{env{"ALL_PROXY": "h:3", "no_proxy": "hub.example"}, "direct"},
	} {
		if got := route(t, c.env, "hub.example:8883"); got != c.want {
			t.Errorf("%v: got %s; want %s", c.env, got, c.want)
		}
	}
}

func TestNoProxy(t *testing.T) {
	for _, c := range []struct {
		list, address string
		direct        bool
	}{
		{"", "hub.example:443", false},
		{"*", "hub.example:443", true},
		{"hub.example", "hub.example:443", true},
		{" , HUB.Example. ,", "hub.example:443", true},
		{"hub.example", "HUB.EXAMPLE.:443", true},
		{"hub.example", "a.hub.example:443", true},
		{"hub.example", "ahub.example:443", false},
		{".hub.example", "hub.example:443", false},
		{".hub.example", "a.hub.example:443", true},
		{"*.hub.example", "hub.example:443", false},
		{"*.hub.example", "a.b.hub.example:443", true},
		{"hub.example:443", "hub.example:443", true},
		{"hub.example:443", "hub.example:8883", false},
		{"other.example,10.0.0.0/8", "10.1.2.3:443", true},
		{"10.0.0.0/8", "11.1.2.3:443", false},
		{"10.0.0.0/8", "hub.example:443", false},
		{"10.1.2.3", "10.1.2.3:443", true},
		{"10.1.2.3", "[::ffff:10.1.2.3]:443", true},
		{"10.1.2.3:443", "10.1.2.3:8883", false},
		{"10.1.2.3:443", "10.1.2.3:443", true},
		{"fd00::/8", "[fd12::1]:443", true},
		{"[fd00::1]", "[fd00::1]:443", true},
		{"fd00::1", "[fd00::1%eth0]:443", true},
		{"[fd00::1]:443", "[fd00::1]:8883", false},
		{"2.3", "10.1.2.3:443", false}, // no part of an address
		{"other.example hub.example", "hub.example:443", true},
		{"other.example;.example;x", "hub.example:443", true},
		{"other.example|hub.example", "hub.example:443", true},
		{"other.example\thub.example\r\n", "hub.example:443", true},
		{"\ufeffhub.example\u00a0,\u200b", "hub.example:443", true},
		{`"other.example,hub.example"`, "hub.example:443", true},
		{`'hub.example'`, "hub.example:443", true},
		{"https://hub.example/", "hub.example:443", true},
		{"http://hub.example:443", "hub.example:443", true},
		{"http://hub.example:443", "hub.example:8883", false},
		{"hub.example:*", "hub.example:443", true},
		{"hub.example:", "hub.example:443", true},
		{"fd00:*", "[fd00::1]:443", true},
		{"[fd00:*]", "[fd01::1]:443", false},
		{"cafe:*", "cafe:443", true},
		{"[fd00::]/8", "[fd12::1]:443", true},
		{"[fd00::/8]", "[fd12::1]:443", true},
		{"fe80::%eth0/10", "[fe81::1%eth0]:443", true},
		{"::ffff:10.0.0.0/104", "10.1.2.3:443", true},
		{"::ffff:10.0.0.0/104", "11.1.2.3:443", false},
		{"https://10.0.0.0/8", "10.1.2.3:443", true},
		{"http://fd00::/8", "[fd12::1]:443", true},
		{"*example", "hub.example:443", true},
		{"*hub*", "hub.example:443", true},
		{"hub.*", "hub.example:443", true},
		{"h*b.ex*le", "hub.example:443", true},
		{"h*b.ex*le", "hab.example:443", true},
		{"h*b.ex*le", "hub.example.net:443", false},
		{"*b*b*", "hub.example:443", false},
		{"**", "hub.example:443", true},
		{"192.168.1.*", "192.168.1.7:443", true},
		{"192.168.1.*", "192.168.11.7:443", false},
		{"10.*", "10.1.2.3:443", true},
		{"10.*:443", "10.1.2.3:8883", false},
		{"localhost,192.168.1.*,.example", "hub.example:443", true},
		{"<local>", "edge:443", true},
		{"<local>", "hub.example:443", false},
		{"<-loopback>,10.0.0.1-10.0.0.9,172.16.0.0/255.240.0.0,^corp\\.net$,/regex/,~x,!y,.", "hub.example:443", false},
		{"", "localhost:443", true},
		{"", "127.0.0.9:443", true},
		{"", "[::1]:443", true},
	} {
		want := "h:1"
		if c.direct {
			want = "direct"
		}
		if got := route(t, env{"HTTPS_PROXY": "h:1", "NO_PROXY": c.list}, c.address); got != want {
			t.Errorf("NO_PROXY=%q, %s: got %s; want %s", c.list, c.address, got, want)
		}
	}
}

// An entry in a way of writing that is not known is reported and skipped, unless
// it may mean the host: then nothing goes through the proxy in silence.
func TestUnclearEntries(t *testing.T) {
	for _, c := range []struct {
		list, address string
		fails         string // the entry that is named, or empty where the proxy is taken
	}{
		{"^.*\\.example$", "hub.example:443", `^.*\\.example$`},
		{"(hub|edge).example", "hub.example:443", "(hub"},
		{"x,^plant[0-9]+\\.azure-devices\\.net$", "plant7.azure-devices.net:8883", `^plant[0-9]+\\.azure-devices\\.net$`},
		{"^corp\\.net$", "plant7.azure-devices.net:8883", ""},
		{"hub.example:mqtt", "hub.example:443", "hub.example:mqtt"},
		{"example:mqtt", "hub.example:443", "example:mqtt"},
		{"other.example:mqtt", "hub.example:443", ""},
		{"hub.example:70000", "hub.example:443", "hub.example:70000"},
		{"hub?example", "hub.example:443", "hub?example"},
		{"hub..example", "hub.example:443", "hub..example"},
		{"hub.example/", "hub.example:443", "hub.example/"},
		{"10.0.0.0/33", "10.1.2.3:443", "10.0.0.0/33"},
		{"10.0.0.0/255.0.0.0", "10.1.2.3:443", "10.0.0.0/255.0.0.0"},
		{"10.1.2.1-10.1.2.9", "10.1.2.3:443", "10.1.2.1-10.1.2.9"},
		{"10.1", "10.1.2.3:443", "10.1"},
		{"192.168.", "192.168.1.5:443", "192.168."},
		{"fd00::/129", "[fd00::1]:443", "fd00::/129"},
		{"fd00::/8:443", "[fd12::1]:443", "fd00::/8:443"},
		{"8.0.0.0/254.0.0.0", "9.1.2.3:443", "8.0.0.0/254.0.0.0"},
		{"8.0.0.0/254.0.0.0", "10.1.2.3:443", ""},
		{"8/7", "9.1.2.3:443", "8/7"},
		{"2001:*", "[2001:db8::1]:443", "2001:*"},
		{"0/0", "9.1.2.3:443", "0/0"},
		{"10.0.0.0-12.0.0.0", "11.1.2.3:443", "10.0.0.0-12.0.0.0"},
		{"10.0.0.0-12.0.0.0", "13.1.2.3:443", ""},
		{"[10-12].0.0.0", "11.1.2.3:443", "[10-12].0.0.0"},
		{"010.001.002.003", "10.1.2.3:443", "010.001.002.003"},
		{"[a-z0-9-]+.plant.io", "hub.plant.io:443", "[a-z0-9-]+.plant.io"},
		{"[a-z0-9-]+.plant.net", "hub.azure-devices.net:443", ""},
		{"h?b.io", "hub.io:443", "h?b.io"},
		{"https://hub.io/x", "hub.io:443", "https://hub.io/x"},
		{"user@hub.io", "hub.io:443", "user@hub.io"},
		{"no_proxy=hub.io", "hub.io:443", "no_proxy=hub.io"},
		{"example\u200b.com", "hub.com:443", ""}, // not .com
		{"example\u00ad.com", "www.example.com:443", "example"},
		{"10.0.0.0/33", "11.1.2.3:443", ""},
		{"10.0.0.0/33", "hub.example:443", ""},
		{"b\u00fccher.example", "hub.example:443", "b\u00fccher.example"},
		{".", "hub.example:443", ""},
		{"hub_1.example!,(edge", "hub.example:443", "hub_1.example!"},
		{"^.*\\.example$,hub.example", "hub.example:443", "direct"},
	} {
		stop := errors.New("stop")
		way := ""
		var log bytes.Buffer
		dial, err := proxy.FromEnvironment(env{"HTTPS_PROXY": "h:1", "NO_PROXY": c.list}.get, &proxy.Options{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Dial:   func(_ context.Context, _, to string) (net.Conn, error) { way = to; return nil, stop },
		})
		if err != nil {
			t.Errorf("NO_PROXY=%q: %v", c.list, err)
			continue
		}
		if !strings.Contains(log.String(), "skipped") || !strings.Contains(log.String(), "NO_PROXY") {
			t.Errorf("NO_PROXY=%q: the log says %q", c.list, log.String())
		}
		_, err = dial(t.Context(), "tcp", c.address)
		switch {
		case c.fails == "direct" && way != c.address, c.fails == "" && way != "h:1":
			t.Errorf("NO_PROXY=%q, %s: it went to %q, %v", c.list, c.address, way, err)
		case c.fails == "direct" || c.fails == "":
		case way != "" || !errors.Is(err, proxy.ErrInvalid) || !strings.Contains(err.Error(), "NO_PROXY") || !strings.Contains(err.Error(), c.fails):
			t.Errorf("NO_PROXY=%q, %s: it went to %q, %v; want ErrInvalid that names %s", c.list, c.address, way, err, c.fails)
		}
	}
}

func TestMalformedEnvironment(t *testing.T) {
	for _, c := range []struct {
		env  env
		told string
	}{
		{env{"https_proxy": "http://dev:s3cr/@p.example"}, "https_proxy"},
		{env{"ALL_PROXY": "ftp://" + login + "p.example"}, "ALL_PROXY"},
		{env{"ALL_PROXY": "p", "no_proxy": strings.Repeat("a,", 1001)}, "1000"},
	} {
		_, err := proxy.FromEnvironment(c.env.get, nil)
		if !errors.Is(err, proxy.ErrInvalid) || !strings.Contains(err.Error(), c.told) {
			t.Errorf("%.100v: got error %v; want ErrInvalid that tells of %s", c.env, err, c.told)
			continue
		}
		wantNoSecret(t, "FromEnvironment", err)
		wantName(t, "FromEnvironment", err)
	}
}

func TestNoEnvironment(t *testing.T) {
	dial, err := proxy.FromEnvironment(nil, nil)
	if err != nil || dial == nil {
		t.Fatalf("got %v; want a dial function", err)
	}
	direct := errors.New("direct")
	dial, err = proxy.FromEnvironment(nil, &proxy.Options{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, direct }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t.Context(), "tcp", "hub.example:443"); !errors.Is(err, direct) {
		t.Fatalf("got error %v; want the direct way", err)
	}
}

func FuzzNoProxy(f *testing.F) {
	f.Add("hub.example,.x,10.0.0.0/8,[::1]:1,*", "hub.example:443")
	f.Add("a*b;<local>|http://x:1/ ^c$ 10.*,10.1", "10.1.2.3:443")
	f.Fuzz(func(t *testing.T, list, address string) {
		dial, err := proxy.FromEnvironment(env{"ALL_PROXY": "p:1", "NO_PROXY": list}.get, &proxy.Options{
			Dial: func(_ context.Context, _, to string) (net.Conn, error) { return nil, fmt.Errorf("to %s", to) },
		})
		if err != nil {
			if !errors.Is(err, proxy.ErrInvalid) {
				t.Fatalf("NO_PROXY=%q: got error %v; want ErrInvalid", list, err)
			}
			return
		}
		if c, err := dial(t.Context(), "tcp", address); c != nil || err == nil {
			t.Fatalf("dial: got %v, %v; want the dial's error", c, err)
		}
	})
}

func ExampleNew() {
	dial, err := proxy.New("http://user:secret@127.0.0.1:3128", &proxy.Options{
		Dial: func(_ context.Context, network, address string) (net.Conn, error) {
			fmt.Println("dialing", network, address)
			return nil, errors.New("no carrier")
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Give it to transport.TLSOptions.DialContext; this is what TLS does with it.
	_, err = dial(context.Background(), "tcp", "myhub.azure-devices.net:8883")
	fmt.Println(err)
	// Output:
	// dialing tcp 127.0.0.1:3128
	// proxy: connect to the proxy http://127.0.0.1:3128: no carrier
}

func ExampleFromEnvironment() {
	dial, err := proxy.FromEnvironment(os.Getenv, nil)
	if err != nil {
		fmt.Println(err) // it names the variable, and shows no password
		return
	}
	_ = dial // for transport.TLSOptions.DialContext

	_, err = proxy.FromEnvironment(func(name string) string {
		return map[string]string{"HTTPS_PROXY": "http://user:sec/ret@proxy.example"}[name]
	}, nil)
	fmt.Println(err)
	// Output:
	// proxy: HTTPS_PROXY: setting is not well formed: the URL cannot be parsed; want http://, https:// or socks5://, then host:port, and before that user:password@, percent-encoded, where it takes a login
}

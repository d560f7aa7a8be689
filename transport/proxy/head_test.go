package proxy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/devicetwin/devicetwin-go/transport"
)

func TestReadHead(t *testing.T) {
	big := strings.Repeat("A: b\r\n", 2000)
	for _, c := range []struct {
		name, text   string
		status       int
		reason, rest string
	}{
		{"plain", "HTTP/1.1 200 OK\r\n\r\n", 200, "OK", ""},
		{"version 1.0, no reason, bare line feeds", "HTTP/1.0 200\n\n", 200, "", ""},
		{"with the tunnel's first bytes", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n\r\n\r\nrest", 200, "OK", "\r\n\r\nrest"},
		{"bare and full line ends mixed", "HTTP/1.1 200 OK\nA: b\r\n\nrest\r\n\r\n", 200, "OK", "rest\r\n\r\n"},
		{"a length that means nothing here", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, "OK", ""},
		{"after announcements", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 503 No\r\n\r\n", 503, "No", ""},
		{"12 KB", "HTTP/1.1 200 OK\r\n" + big + "\r\nrest", 200, "OK", "rest"},
		{"a long reason", "HTTP/1.1 403 " + strings.Repeat("x", 1000) + "\r\n\r\n", 403, strings.Repeat("x", 100), ""},
	} {
		for way, r := range map[string]io.Reader{
			"at once": strings.NewReader(c.text), "by the byte": iotest.OneByteReader(strings.NewReader(c.text)),
			"with the error": iotest.DataErrReader(strings.NewReader(c.text)),
		} {
			h, rest, err := readHead(r)
			after, _ := io.ReadAll(r)
			if got := string(rest) + string(after); err != nil || h.status != c.status || h.reason != c.reason || got != c.rest {
				t.Errorf("%s, %s: got %d %q and then %q, %v; want %d %q and then %q",
					c.name, way, h.status, h.reason, got, err, c.status, c.reason, c.rest)
			}
		}
	}
}

func TestReadHeadRefuses(t *testing.T) {
	endless := errors.New("endless")
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", io.ErrUnexpectedEOF},
		{"half a head", "HTTP/1.1 200 OK\r\nA: b\r\n", io.ErrUnexpectedEOF},
		{"TLS", "\x15\x03\x01\x00\x02\x02\x16\n\n", transport.ErrUnavailable},
		{"SSH", "SSH-2.0-x\r\n\r\n", transport.ErrUnavailable},
		{"HTTP/2", "HTTP/2 200 OK\r\n\r\n", transport.ErrUnavailable},
		{"no status", "HTTP/1.1\r\n\r\n", transport.ErrUnavailable},
		{"a status of words", "HTTP/1.1 abc OK\r\n\r\n", transport.ErrUnavailable},
		{"a status with a sign", "HTTP/1.1 +20 OK\r\n\r\n", transport.ErrUnavailable},
		{"a status below all", "HTTP/1.1 099 OK\r\n\r\n", transport.ErrUnavailable},
		{"no end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1<<20), endless},
		{"announcements without an end", strings.Repeat("HTTP/1.1 100 Wait\r\n\r\n", 1<<20), endless},
	} {
		r := &counting{Reader: strings.NewReader(c.text)}
		_, _, err := readHead(r)
		want := c.want
		if want == endless {
			want = errEndless
		}
		if !errors.Is(err, want) || !errors.Is(err, transport.ErrUnavailable) {
			t.Errorf("%s: got error %v; want it to match %q and ErrUnavailable", c.name, err, want)
		}
		if r.n > maxHead {
			t.Errorf("%s: it read %d bytes; want at most %d", c.name, r.n, maxHead)
		}
		if len(err.Error()) > 400 {
			t.Errorf("%s: the error has %d bytes; want at most 400", c.name, len(err.Error()))
		}
	}
}

// TestOffers has proxies that want a login of a kind that is not spoken here.
func TestOffers(t *testing.T) {
	for _, c := range []struct {
		fields, told string
	}{
		{"", "answered 407 to those"},
		{"Proxy-Authenticate: Negotiate\r\nproxy-authenticate:  bAsIc realm=\"x\"\r\n", "answered 407 to those"},
		{"Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n", `wants ["Negotiate" "NTLM"], not Basic`},
	} {
		h, _, err := readHead(strings.NewReader("HTTP/1.1 407 Who?\r\n" + c.fields + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = server{login: true}.judge(h)
		if !errors.Is(err, ErrLogin) || !strings.Contains(err.Error(), c.told) {
			t.Errorf("offers %q: got error %v; want ErrLogin that tells %q", c.fields, err, c.told)
		}
	}
	if err := (server{}).judge(head{status: 407}); !errors.Is(err, ErrLogin) || !strings.Contains(err.Error(), "holds none") {
		t.Errorf("without a login: got error %v; want ErrLogin that tells so", err)
	}
}

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

func FuzzReadHead(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\n\r\nrest", "HTTP/1.0 407 Who\nProxy-Authenticate: Basic\n\n", "HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200\r\n\r\n", "\n\n", "HTTP/1.1 200 OK\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, rest, err := readHead(strings.NewReader(text))
		h2, rest2, err2 := readHead(iotest.OneByteReader(strings.NewReader(text)))
		if (err == nil) != (err2 == nil) || h.status != h2.status || h.reason != h2.reason {
			t.Fatalf("%q: got %v, %v at once and %v, %v by the byte; want the same", text, h, err, h2, err2)
		}
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("%q: an error of %d bytes", text, len(err.Error()))
			}
			return
		}
		if h.status < 200 || h.status > 999 || len(h.offers) > 4 || len(h.reason) > maxText {
			t.Fatalf("%q: got %+v; want a final status and short texts", text, h)
		}
		if len(rest2) != 0 {
			t.Fatalf("%q: %q was read past the head", text, rest2)
		}
		if !strings.Contains(text, string(rest)) {
			t.Fatalf("%q: got %q as the tunnel's; want what followed the head", text, rest)
		}
	})
}

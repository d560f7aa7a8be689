package edge_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/edge"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// now is when tokens are asked for.
var now = time.Unix(1767225600, 0)

// newCA is a CA certificate in PEM.
func newCA(t *testing.T) []byte {
	t.Helper()
	return hubtest.New(t, nil).CAPEM()
}

// wantRoots holds that Roots fails with a text that matches ErrUntrusted, or
// with an empty want that it gives roots.
func wantRoots(t *testing.T, m *edge.Module, want string) {
	t.Helper()
	pool, err := m.Roots(t.Context())
	switch {
	case want == "":
		if err != nil || pool == nil {
			t.Errorf("got roots %v and %v, want some and no error", pool, err)
		}
	case err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, transport.ErrUntrusted) || errors.Is(err, auth.ErrInvalid):
		t.Errorf("got %v, want an error that says %q, matches ErrUntrusted, and not ErrInvalid", err, want)
	case pool != nil:
		t.Errorf("with error %v came roots", err)
	}
}

// sign asks for a token, and so for a signature.
func sign(ctx context.Context, m *edge.Module) (auth.Token, error) {
	return auth.TokenOf(ctx, m.Credential, m.Identity.Audience(), now)
}

// wantRequest compares a request with its text. The order of headers means
// nothing, so they are sorted.
func wantRequest(t *testing.T, got, want string) {
	t.Helper()
	sorted := func(raw string) string {
		head, body, _ := strings.Cut(raw, "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		slices.Sort(lines[1:])
		return strings.Join(lines, "\n") + "\n\n" + body
	}
	if g, w := sorted(got), sorted(strings.ReplaceAll(want, "\n", "\r\n")); g != w {
		t.Errorf("got request\n%s\nwant\n%s", g, w)
	}
}

func TestRequests(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			k := &keeper{sign: "/modules/%24edge-A.b_%25%3A%3B%40%2B%28x%29/genid/637308306805488864/sign", key: key, bundle: string(newCA(t))}
			d := serve(t, network, "", k.handle)
			m := fromEnvironment(t, environment(d.uri, map[string]string{"IOTEDGE_MODULEID": "$edge-A.b_%:;@+(x)"}), nil)
			token, err := sign(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			// The same token, signed by a key in memory.
			inMemory, err := auth.ParseKey(key)
			if err != nil {
				t.Fatal(err)
			}
			want, err := auth.TokenOf(t.Context(), auth.SAS(inMemory, nil), m.Identity.Audience(), now)
			if err != nil {
				t.Fatal(err)
			}
			if token.Reveal() != want.Reveal() {
				t.Errorf("got token %s, want %s", token.Reveal(), want.Reveal())
			}
			wantRoots(t, m, "")

			host := map[string]string{"unix": "iotedge", "tcp": d.address}[network]
			data := base64.StdEncoding.EncodeToString([]byte(
				"myhub.azure-devices.net%2Fdevices%2Fedge1%2Fmodules%2F%24edge-A.b_%25%3A%3B%40%2B%28x%29\n1767229200"))
			got := d.requests()
			if len(got) != 2 {
				t.Fatalf("got %d requests, want 2", len(got))
			}
			wantRequest(t, got[0], "POST "+k.sign+"?api-version=2018-06-28 HTTP/1.1\n"+
				"Host: "+host+"\nUser-Agent: devicetwin-go\nAccept: application/json\nContent-Type: application/json\nContent-Length: 181\nConnection: close\n\n"+
				`{"keyId":"primary","algo":"HMACSHA256","data":"`+data+`"}`)
			wantRequest(t, got[1], "GET /trust-bundle?api-version=2018-06-28 HTTP/1.1\n"+
				"Host: "+host+"\nUser-Agent: devicetwin-go\nAccept: application/json\nConnection: close\n\n")
		})
	}
}

func TestAPIVersion(t *testing.T) {
	d := serve(t, "tcp", "", reply(200, `{}`))
	m := fromEnvironment(t, environment(d.uri, map[string]string{"IOTEDGE_APIVERSION": "2022-08-03"}), nil)
	_, _ = sign(t.Context(), m)
	_, _ = m.Roots(t.Context())
	for _, got := range d.requests() {
		if !strings.Contains(got, "?api-version=2022-08-03 HTTP/1.1\r\n") {
			t.Errorf("got %q, want the version of the environment in it", got)
		}
	}
	if got := len(d.requests()); got != 2 {
		t.Errorf("got %d requests, want 2", got)
	}
}

// secret is a digest that no error may show, nor a part of it.
const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="

func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	raw, _ := base64.StdEncoding.DecodeString(secret)
	for _, s := range []string{secret[:12], string(raw[:8])} {
		if strings.Contains(err.Error(), s) {
			t.Errorf("the error holds the digest: %v", err)
		}
	}
}

func TestRefusedSignature(t *testing.T) {
	raw := func(text string) handler { return func(c net.Conn, _ string) { _, _ = io.WriteString(c, text) } }
	for _, tt := range []struct {
		desc   string
		answer handler
		want   string
		status int
	}{
		{"of 31 bytes", reply(200, `{"digest":"`+secret[:40]+`MQ=="}`), "the digest in its answer has 31 bytes; HMAC-SHA256 has 32", 0},
		{"missing", reply(200, `{}`), "the digest in its answer has 0 bytes", 0},
		{"null", reply(200, `null`), "the digest in its answer has 0 bytes", 0},
		{"not base64", reply(200, `{"digest":"`+secret+`!"}`), "the digest in its answer is not base64", 0},
		{"of another type", reply(200, `{"digest":["`+secret+`"]}`), "not the JSON that it should be", 0},
		{"not JSON", reply(200, secret), "not the JSON that it should be", 0},
		{"with more behind it", reply(200, `{"digest":"`+secret+`"} x`), "not the JSON that it should be", 0},
		{"empty", reply(200, ""), "not the JSON that it should be", 0},
		{"too long", reply(200, `{"digest":"`+secret+`","x":"`+strings.Repeat("x", 1<<20)+`"}`), "more than 1048576 bytes", 0},
		{"with endless headers", raw("HTTP/1.1 200 OK\r\nx: " + secret + strings.Repeat("x", 1<<20) + "\r\n\r\n"), "it does not answer in HTTP", 0},
		{"cut", raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"digest\":\"" + secret), "its answer broke off: it hung up", 0},
		{"in broken pieces", raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + secret + "\r\n"), "its answer broke off: it does not answer in HTTP", 0},
		{"not in HTTP", raw(`{"digest":"` + secret + `"}` + "\r\n\r\n"), "it does not answer in HTTP", 0},
		{"in a broken header", raw("HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n"), "it does not answer in HTTP", 0},
		{"not there: it hangs up", raw(""), "it hung up: unexpected EOF", 0},
		{"created, not OK", reply(201, `{"digest":"`+secret+`"}`), "it answered 201", 201},
		{"moved", raw("HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"), "it answered 307 (a redirect, which is not followed", 307},
		{"of another version", reply(400, `{"message":"api-version"}`), `it answered 400: "api-version" (does it know this version of the workload API? see IOTEDGE_APIVERSION)`, 400},
		{"of another process", reply(403, `{"message":"forbidden"}`), `it answered 403: "forbidden" (it knows a module by its processes`, 403},
		{"of nobody", reply(404, `{"message":"Module not found"}`), `it answered 404: "Module not found" (does it know the module by this id? see IOTEDGE_MODULEID`, 404},
		{"of a sick key", reply(500, "{\"message\":\"failed\\n\\tcaused by: tpm\"}"), `it answered 500: "failed\n\tcaused by: tpm"`, 500},
		{"refused without a word", reply(503, secret), "it answered 503", 503},
		{"refused with a word of another type", reply(503, `{"message":["`+secret+`"]}`), "it answered 503", 503},
		{"refused at length", reply(500, `{"message":"x`+strings.Repeat("é", 1000)+`"}`), `"x` + strings.Repeat("é", 255) + `"`, 500},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			d := serve(t, "tcp", "", tt.answer)
			token, err := sign(t.Context(), fromEnvironment(t, environment(d.uri, nil), nil))
			if err == nil || !strings.Contains(err.Error(), "no signature from IoT Edge's daemon: ") || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error that says %q", err, tt.want)
			}
			if errors.Is(err, auth.ErrInvalid) {
				t.Errorf("%v matches auth.ErrInvalid, which ends a client; the daemon may be mended", err)
			}
			if !token.IsZero() {
				t.Errorf("with the error came %v", token)
			}
			var refused *edge.StatusError
			if got := errors.As(err, &refused); got != (tt.status != 0) || got && refused.Status != tt.status {
				t.Errorf("got StatusError %+v, want status %d", refused, tt.status)
			}
			wantNoSecret(t, err)
			if got := len(d.requests()); got != 1 {
				t.Errorf("got %d requests, want 1: nothing is retried or followed here", got)
			}
		})
	}
}

func TestTrustBundle(t *testing.T) {
	ca := strings.ReplaceAll(string(newCA(t)), "\n", `\n`)
	broken := `-----BEGIN CERTIFICATE-----\nMDEyMw==\n-----END CERTIFICATE-----\n`
	for _, tt := range []struct{ desc, answer, want string }{
		{"one root", `{"certificate":"` + ca + `"}`, ""},
		{"two roots", `{"certificate":"` + ca + strings.ReplaceAll(string(newCA(t)), "\n", `\n`) + `"}`, ""},
		{"a broken one beside a good one", `{"certificate":"` + broken + ca + `"}`, ""},
		{"only a broken one", `{"certificate":"` + broken + `"}`, "holds no certificate in PEM"},
		{"empty", `{"certificate":""}`, "is empty; does trust_bundle_cert"},
		{"missing", `{}`, "is empty"},
		{"not PEM", `{"certificate":"MDEyMw=="}`, "holds no certificate in PEM"},
		{"not JSON", "PEM", "is not the JSON that it should be"},
		{"of another type", `{"certificate":["` + ca + `"]}`, "is not the JSON that it should be"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			d := serve(t, "tcp", "", reply(200, tt.answer))
			wantRoots(t, fromEnvironment(t, environment(d.uri, nil), nil), tt.want)
		})
	}
	t.Run("refused", func(t *testing.T) {
		d := serve(t, "tcp", "", reply(500, `{"message":"certd is down"}`))
		pool, err := fromEnvironment(t, environment(d.uri, nil), nil).Roots(t.Context())
		var refused *edge.StatusError
		if !errors.As(err, &refused) || refused.Message != "certd is down" || pool != nil {
			t.Errorf("got roots %v and %v, want none and the daemon's word", pool, err)
		}
	})
}

// A daemon that is down is told as such; when it is up, the same Module works.
func TestDaemonDownThenUp(t *testing.T) {
	k := &keeper{sign: "/modules/filter/genid/637308306805488864/sign", key: key, bundle: string(newCA(t))}
	first := serve(t, "unix", "", k.handle)
	m := fromEnvironment(t, environment(first.uri, nil), nil)
	first.stop()
	for _, f := range []func() error{
		func() error { _, err := sign(t.Context(), m); return err },
		func() error { _, err := m.Roots(t.Context()); return err },
	} {
		if err := f(); !errors.Is(err, syscall.ENOENT) || errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "IOTEDGE_WORKLOADURI") {
			t.Errorf("with the daemon down: got %v, want the network's error and the variable's name", err)
		}
	}
	serve(t, "unix", first.address, k.handle)
	if _, err := sign(t.Context(), m); err != nil {
		t.Errorf("with the daemon up again: %v", err)
	}
	wantRoots(t, m, "")
}

func TestSlowDaemon(t *testing.T) {
	asks := map[string]func(context.Context, *edge.Module) error{
		"signature":    func(ctx context.Context, m *edge.Module) error { _, err := sign(ctx, m); return err },
		"trust bundle": func(ctx context.Context, m *edge.Module) error { _, err := m.Roots(ctx); return err },
	}
	slow := map[string]string{
		"nothing":        "",
		"half an answer": "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
	}
	for what, ask := range asks {
		for how, text := range slow {
			t.Run(what+", "+how, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				asked := make(chan struct{}, 2)
				d := serve(t, "unix", "", func(c net.Conn, raw string) {
					_, _ = io.WriteString(c, text)
					asked <- struct{}{}
					hang(c, raw)
				})
				go func() {
					<-asked
					cancel()
				}()
				err := ask(ctx, fromEnvironment(t, environment(d.uri, nil), nil))
				if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), d.address) {
					t.Errorf("got %v, want context.Canceled, and where it waited", err)
				}

				m := fromEnvironment(t, environment(d.uri, nil), &edge.Options{Timeout: 20 * time.Millisecond})
				err = ask(t.Context(), m)
				if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer from "+d.address+" in 20ms") {
					t.Errorf("got %v, want os.ErrDeadlineExceeded of its own, not of the caller's context", err)
				}
			})
		}
		t.Run(what+", context ended before", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			d := serve(t, "unix", "", hang)
			if err := ask(ctx, fromEnvironment(t, environment(d.uri, nil), nil)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			if got := d.requests(); len(got) != 0 {
				t.Errorf("got request %q, want none", got)
			}
		})
	}
}

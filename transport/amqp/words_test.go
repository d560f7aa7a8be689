package amqp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// lines is a text of a hub's with what looks like another line of a log.
var lines = "amqp:x\n2026/01/01 00:00:00 root logged in\r\x1b[2J\u2028" + strings.Repeat("xyz", 20_000)

// wantWords wants an error to hold a hub's text: cut, and in one line.
func wantWords(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	text := err.Error()
	if len(text) > 1000 || !strings.Contains(text, `root logged in`) {
		t.Errorf("%s: an error of %d bytes, %.300q; want the hub's words, cut", what, len(text), text)
	}
	if strings.ContainsAny(text, "\n\r\x1b\u2028") {
		t.Errorf("%s: %.300q; want what does not print escaped", what, text)
	}
	if n := sentinels(err); n > 1 {
		t.Errorf("%s: it matches %d sentinels", what, n)
	}
}

// Whatever a hub says when it refuses a login is cut and quoted.
func TestWordsAtLogin(t *testing.T) {
	said := func() *amqpwire.Error { return &amqpwire.Error{Condition: lines[:25_001], Description: lines[:25_001]} }
	json := &amqpwire.Error{Condition: "amqp:not-found", Description: `{"errorCode":404001,"message":"` + strings.ReplaceAll(strings.ReplaceAll(lines[:200], "\n", `\n`), "\x1b", "") + strings.Repeat("y", 2000) + `"}`}
	json.Description = strings.ReplaceAll(json.Description, "\r", `\r`)
	attach := func(role amqpwire.Role, cbs bool, err *amqpwire.Error) func(*turncoat, amqpwire.Event) bool {
		return func(_ *turncoat, ev amqpwire.Event) bool {
			a, ok := ev.(*amqpwire.Attaching)
			if !ok || a.Link.Role() != role || (a.Source == "$cbs" || a.Target == "$cbs") != cbs {
				return false
			}
			a.Link.Refuse(err)
			return true
		}
	}
	put := func(answer func(h *turncoat, d *amqpwire.Delivery)) func(*turncoat, amqpwire.Event) bool {
		return func(h *turncoat, ev amqpwire.Event) bool {
			d, ok := ev.(*amqpwire.Delivery)
			if ok {
				answer(h, d)
			}
			return ok
		}
	}
	for desc, on := range map[string]func(*turncoat, amqpwire.Event) bool{
		"no link for tokens":       attach(amqpwire.Sender, true, said()),
		"no link for their answer": attach(amqpwire.Receiver, true, said()),
		"no sender":                attach(amqpwire.Sender, false, said()),
		"no receiver":              attach(amqpwire.Receiver, false, said()),
		"no receiver, in JSON":     attach(amqpwire.Receiver, false, json),
		"a CLOSE": func(h *turncoat, ev amqpwire.Event) bool {
			_, ok := ev.(*amqpwire.Begun)
			if ok {
				h.engine.Close(said())
			}
			return ok
		},
		"an END": func(_ *turncoat, ev amqpwire.Event) bool {
			b, ok := ev.(*amqpwire.Begun)
			if ok {
				b.Session.End(said())
			}
			return ok
		},
		"a token rejected": put(func(_ *turncoat, d *amqpwire.Delivery) {
			d.Link.Settle(d.ID, amqpwire.Outcome{State: amqpwire.Rejected, Error: said()})
		}),
	} {
		for _, pooled := range []bool{false, true} {
			login := anyLogin(t)
			if desc == "no sender" || strings.HasPrefix(desc, "no receiver") {
				login.Token = auth.Token{} // else the twin's links are attached later
			}
			hub, stream := newOddHub(func(net.Conn) {}, true, on)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			c, err := dialOver(t, stream, pooled).Dial(ctx, login)
			if err == nil {
				_ = c.Close()
			}
			cancel()
			wantWords(t, desc, err)
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(desc)
			}
			<-hub.done
		}
	}
}

// Nor does it say more when it ends a link, a session or the connection later.
func TestWordsLater(t *testing.T) {
	short := lines[:200]
	said := "\x00\x53\x1d\xc0" + string([]byte{byte(len(short) + 5), 2, 0xa3, byte(len(short))}) + short + "\xa1\x00"
	large := "\x00\x53\x1d\xd0\x00\x00\xc3\x5a\x00\x00\x00\x02\xb3\x00\x00\xc3\x50" + lines[:50_000] + null
	for desc, says := range map[string]func(channel byte, out, in string) string{
		"DETACH of the sender":   func(c byte, out, _ string) string { return frame(c, kindDetach, "", out, yes, said) },
		"DETACH of the receiver": func(c byte, _, in string) string { return frame(c, kindDetach, "", in, no, said) },
		"END":                    func(c byte, _, _ string) string { return frame(c, kindEnd, "", said) },
		"CLOSE":                  func(byte, string, string) string { return frame(0, kindClose, "", said) },
		"a large DETACH":         func(c byte, _, in string) string { return bigFrame(c, kindDetach, "", in, yes, large) },
		"a large END":            func(c byte, _, _ string) string { return bigFrame(c, kindEnd, "", large) },
		"a large CLOSE":          func(byte, string, string) string { return bigFrame(0, kindClose, "", large) },
	} {
		wantWords(t, desc, betray(t, []byte(says(0, "\x52\x02", "\x52\x03")), true, false))
		wantWords(t, desc+", on a shared line", betray(t, []byte(says(1, zero, one)), true, true))
	}
}

// What is no AMQP at all is reported in few words too.
func TestWordsOfOthers(t *testing.T) {
	for _, says := range []string{"HTTP/1.1 400 Bad\r\nRequest", "AMQP\x03\x01\x00\x00", "\n\n\n\n\n\n\n\n\n", "A", ""} {
		stream := transport.StreamFunc(func(context.Context, transport.Target) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				_, _ = server.Read(make([]byte, 8))
				_, _ = server.Write([]byte(says))
				_ = server.Close()
			}()
			return client, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := dialOver(t, stream, false).Dial(ctx, anyLogin(t))
		cancel()
		if err == nil || sentinels(err) != 1 || errors.Is(err, transport.ErrClosed) || strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("%q: got %v", says, err)
		}
	}
}

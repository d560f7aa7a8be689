package hubtest_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// oddIDs are ids with every character that one may hold, at its beginning, its
// middle and its end, and all together, encodings of others, dots, the names of
// routes.
func oddIDs() (all []string) {
	for _, c := range "-:.+%_#*?!(),=@;$'" {
		all = append(all, "d"+string(c)+"x", string(c)+"lead", "trail"+string(c))
	}
	return append(all, "D-1:2.3+4%5_6#7*8?9!a(b)c,d=e@f;g$h'i", "a%2Fb", "a%2fb", "100%", "100%25", "%41", "a+b", "a%2Bb", "a%20b",
		"?api-version=x", "#frag", "$twins", "query", "modules", "methods", "a..b", "..x", "x..", "...", "%2e%2e", "%2E",
		strings.Repeat("#", 128), strings.Repeat("'", 128))
}

// Every id that the rules allow means one device, in the registry, in queries, and
// over every transport. The two that mean another place in a URL are refused.
func TestOddIDs(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Host: "localhost", Logger: slog.New(slog.DiscardHandler)})
	at, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := transport.TLS(&transport.TLSOptions{RootCAs: hub.RootCAs(), Address: at.String()})
	p, _ := hub.Policy("iothubowner")
	back, err := registry.New(p.ConnectionString, &registry.Options{Stream: line, MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	web := ws.Stream(&ws.Options{Stream: line})
	dialers := map[string]transport.Dialer{
		"mqtt": mqtt.Dialer{Stream: line}, "amqp": amqp.Dialer{Stream: line},
		"mqtt-ws": mqtt.Dialer{Stream: web}, "amqp-ws": amqp.Dialer{Stream: web},
		"pool": amqp.NewPool(amqp.Dialer{Stream: line}, nil),
	}
	for _, id := range oddIDs() {
		oddID(t, back, dialers, id)
	}
	for _, id := range []string{".", ".."} {
		if _, err := back.CreateRegistration(t.Context(), id, registry.Registration{}); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), `"`+id+`"`) {
			t.Errorf("%q: got %v, want ErrInvalid that names it", id, err)
		}
		key, _ := auth.ParseKey(p.PrimaryKey)
		for name, d := range dialers {
			dev := device.New(auth.Identity{Host: "localhost", DeviceID: id}, auth.SAS(key, nil), d, nil)
			if err := dev.Connect(t.Context()); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), `"`+id+`"`) {
				t.Errorf("%s, %q: got %v, want ErrInvalid that names it", name, id, err)
			}
			_ = dev.Close()
		}
	}
}

// oddID is the life of one device.
func oddID(t *testing.T, back *registry.Client, dialers map[string]transport.Dialer, id string) {
	ctx := t.Context()
	bad := func(format string, args ...any) { t.Errorf("%q: "+format, append([]any{id}, args...)...) }
	i, err := back.CreateRegistration(ctx, id, registry.Registration{})
	if err != nil || i.ID != id {
		bad("created as %q, %v", i.ID, err)
		return
	}
	if got, err := back.Registration(ctx, id); err != nil || got.ID != id {
		bad("get identity: %q, %v", got.ID, err)
	}
	if s := i.ConnectionString(); s.IsEmpty() != strings.Contains(id, ";") {
		bad("a connection string: %t", !s.IsEmpty())
	} else if !s.IsEmpty() {
		if who, _, err := auth.ParseConnectionString(s.Reveal()); err != nil || who != (auth.Identity{Host: "localhost", DeviceID: id}) {
			bad("its connection string says %+v, %v", who, err)
		}
	}
	tw, err := back.Twin(ctx, id)
	if err == nil {
		_, err = back.UpdateTwin(ctx, id, tw.ETag, registry.Change{Tags: twin.Set("mark", "it's "+id), Desired: twin.Set("fan.rpm", 900)})
	}
	if err != nil {
		bad("update: %v", err)
		return
	}
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, q := range []string{"deviceId = '" + quote.Replace(id) + "'", "tags.mark = '" + quote.Replace("it's "+id) + "'"} {
		n := 0
		for found, err := range back.Query(ctx, "SELECT * FROM devices WHERE "+q, &registry.QueryOptions{PageSize: 1}) {
			if n++; err != nil || found.ID != id {
				bad("query %s found %q, %v", q, found.ID, err)
			}
		}
		if n != 1 {
			bad("query %s found %d", q, n)
		}
	}
	key, err := auth.ParseKey(i.PrimaryKey.Reveal())
	if err != nil {
		bad("key: %v", err)
		return
	}
	for name, d := range dialers {
		dev := device.New(auth.Identity{Host: "localhost", DeviceID: id}, auth.SAS(key, nil), d, nil)
		err := dev.Connect(ctx)
		switch {
		case strings.ContainsAny(id, "#+") && strings.HasPrefix(name, "mqtt"): // no MQTT topic holds them
			if !errors.Is(err, auth.ErrInvalid) {
				bad("%s: got %v, want ErrInvalid", name, err)
			}
		case err != nil:
			bad("%s: connect: %v", name, err)
		default:
			if doc, err := dev.GetTwin(ctx); err != nil || string(doc.Desired.At("fan.rpm").JSON()) != "900" {
				bad("%s: twin: %v %v", name, doc, err)
			}
			if _, err := dev.UpdateReported(ctx, twin.Set("over", name)); err != nil {
				bad("%s: report: %v", name, err)
			} else if tw, err = back.Twin(ctx, id); err != nil || string(tw.Reported.At("over").JSON()) != `"`+name+`"` {
				bad("%s: reported arrived as %v, %v", name, tw.Reported, err)
			}
		}
		_ = dev.Close()
	}
	if i, err = back.Registration(ctx, id); err == nil {
		err = back.DeleteRegistration(ctx, id, i.ETag)
	}
	if err != nil {
		bad("delete: %v", err)
	}
	if _, err := back.Twin(ctx, id); !errors.Is(err, transport.ErrNotFound) {
		bad("after its deletion: %v", err)
	}
}

// An id that is another's percent-encoding locks nobody out.
func TestEncodedAlias(t *testing.T) {
	for _, over := range []string{"mqtt", "amqp"} {
		hub := hubtest.New(t, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
		try := func(when string, at hubtest.Device) {
			t.Helper()
			var d transport.Dialer = amqp.Dialer{Stream: hub.Stream}
			if over == "mqtt" {
				d = mqtt.Dialer{Stream: hub.Stream}
			}
			token, err := auth.TokenOf(t.Context(), at.Credential, at.Identity.Audience(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			c, err := d.Dial(t.Context(), transport.Login{Identity: at.Identity, Token: token, KeepAlive: time.Minute})
			if err != nil {
				t.Errorf("%s, %s: %v", over, when, err)
				return
			}
			_ = c.Close()
		}
		add := func(id string) hubtest.Device {
			d, err := hub.AddDevice(id)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		for _, pair := range [][2]string{{"a=b", "a%3Db"}, {"100%", "100%25"}, {"x.", "x%2e"}} {
			plain := add(pair[0])
			try(pair[0]+" alone", plain)
			encoded := add(pair[1])
			try(pair[0]+" with "+pair[1]+" beside it", plain)
			try(pair[1], encoded)
		}
	}
}

package hubtest_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
	"github.com/devicetwin/devicetwin-go/transport/ws"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// record is a log that many write to.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// No log and no error of a whole story, with hub and client at debug level and
// over all transports, holds a key, a token or a proxy's password.
func TestNoSecretInLogs(t *testing.T) {
	out := &record{}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	hub, err := hubtest.Start(&hubtest.Options{Host: "localhost", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := transport.TLS(&transport.TLSOptions{RootCAs: hub.RootCAs(), Address: at.String()})
	web := ws.Stream(&ws.Options{Stream: line})
	p, _ := hub.Policy("iothubowner")
	back, err := registry.New(p.ConnectionString, &registry.Options{Stream: line, MaxAttempts: 2, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	secrets := map[string]string{"policy key": p.PrimaryKey}
	for i, d := range []transport.Dialer{mqtt.Dialer{Stream: line}, amqp.Dialer{Stream: line}, mqtt.Dialer{Stream: web}, amqp.Dialer{Stream: web}, amqp.NewPool(amqp.Dialer{Stream: line}, nil)} {
		id := fmt.Sprintf("dev%d", i)
		who, err := back.CreateRegistration(t.Context(), id, registry.Registration{})
		if err != nil {
			t.Fatal(err)
		}
		secrets["key of "+id] = who.PrimaryKey.Reveal()
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(out, verb+"\n", who)
			fmt.Fprintf(out, verb+"\n", &who)
			fmt.Fprintf(out, verb+"\n", back)
		}
		key, _ := auth.ParseKey(who.PrimaryKey.Reveal())
		for _, good := range []bool{true, false} {
			cred := auth.SAS(key, nil)
			if !good {
				other, _ := auth.ParseKey("b3RoZXI=")
				cred = auth.SAS(other, nil)
			}
			token, _ := auth.TokenOf(t.Context(), cred, "localhost/devices/"+id, time.Now())
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			dev := device.New(auth.Identity{Host: "localhost", DeviceID: id}, cred, d, &device.Options{Logger: log})
			err := dev.Connect(ctx)
			fmt.Fprintf(out, "%v %+v %#v\n", err, err, err)
			fmt.Fprintf(out, "%#v\n", dev.State())
			if good {
				dev.UpdateReported(ctx, twin.Set("a", 1))
				hub.Device(id).Cut()
				dev.UpdateReported(ctx, twin.Set("a", 2))
			}
			dev.Close()
			fmt.Fprintf(out, "%+v\n", dev)
			cancel()
			sig := token.Reveal()
			secrets["signature of "+id] = sig[strings.Index(sig, "sig=")+4:][:20]
		}
	}
	for _, u := range []string{
		"http://user:PROXYSECRET@127.0.0.1:1", "https://user:PROXYSECRET@127.0.0.1:1", "socks5://user:PROXYSECRET@127.0.0.1:1", "http://user:PROXYSECRET@:99999", "user:PROXYSECRET@127.0.0.1:x", "http://us er:PROXYSECRET@127.0.0.1:1", "ftp://u:PROXYSECRET@127.0.0.1", "http://u:PROXYSECRET@127.0.0.1:1/path", "http://127.0.0.1:1#PROXYSECRET"} {
		dial, err := proxy.New(u, nil)
		fmt.Fprintf(out, "%v %+v %#v\n", err, err, err)
		if err == nil {
			_, err = mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{DialContext: dial})}.Dial(t.Context(), transport.Login{Identity: auth.Identity{Host: "h.example", DeviceID: "d"}, KeepAlive: time.Minute})
			fmt.Fprintf(out, "%v %+v\n", err, err)
		}
		_, err = proxy.FromEnvironment(func(n string) string {
			if n == "HTTPS_PROXY" {
				return u
			}
			return ""
		}, nil)
		fmt.Fprintf(out, "%v\n", err)
	}
	secrets["proxy password"] = "PROXYSECRET"
	text := out.String()
	for what, s := range secrets {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("%s is in: …%s…", what, text[max(0, i-150):min(len(text), i+60)])
		}
	}
	for _, want := range []string{"connected", "op=Rest", "dev4", "login refused"} {
		if !strings.Contains(text, want) {
			t.Errorf("the record has no %q: is that the whole story?", want)
		}
	}
}

package amenzhinsky

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/amenzhinsky/iothub/iotdevice"
	"github.com/amenzhinsky/iothub/iotdevice/transport/mqtt"
	"github.com/amenzhinsky/iothub/iotservice"
	"github.com/amenzhinsky/iothub/logger"
	paho "github.com/eclipse/paho.mqtt.golang"
)

// variable names the file that examples/hub -info wrote. The library knows only the
// standard ports, so the hub has to have them: ../amenzhinsky.test.mjs starts one.
const variable = "INTEROP_INFO"

// patience bounds each case. Nothing waits for it that goes well.
const patience = 20 * time.Second

// A hub is what its file says.
type hub struct {
	*testing.T
	ctx      context.Context
	Hostname string
	CA       string
	Events   string
	Service  struct{ ConnectionString string }
	Devices  map[string]struct{ ConnectionString, Cert, Key string }
	roots    *x509.CertPool
}

func newHub(t *testing.T) *hub {
	t.Helper()
	name := os.Getenv(variable)
	if name == "" {
		t.Skip(variable + " names no hub; npm test, one folder up, starts one")
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{T: t, roots: x509.NewCertPool()}
	if err := json.Unmarshal(text, h); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(h.CA)
	if err != nil {
		t.Fatal(err)
	}
	if !h.roots.AppendCertsFromPEM(ca) {
		t.Fatalf("%s holds no certificate", h.CA)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	h.ctx = ctx
	return h
}

// transport is the one that there is, led to the hub's CA.
func (h *hub) transport(webSocket bool) []mqtt.TransportOption {
	return []mqtt.TransportOption{
		mqtt.WithWebSocket(webSocket),
		mqtt.WithClientOptionsConfig(func(o *paho.ClientOptions) { o.TLSConfig.RootCAs = h.roots }),
	}
}

// quiet is the library's logger, switched off.
func quiet() logger.Logger { return logger.New(logger.LevelOff, nil) }

// device connects a device by its key or certificate.
func (h *hub) device(id string, webSocket bool) *iotdevice.Client {
	h.Helper()
	told := h.Devices[id]
	var c *iotdevice.Client
	var err error
	if told.Cert != "" {
		c, err = iotdevice.NewFromX509FromFile(mqtt.New(h.transport(webSocket)...), id, h.Hostname, told.Cert, told.Key, iotdevice.WithLogger(quiet()))
	} else {
		c, err = iotdevice.NewFromConnectionString(mqtt.New(h.transport(webSocket)...), told.ConnectionString, iotdevice.WithLogger(quiet()))
	}
	if err != nil {
		h.Fatal(err)
	}
	h.connect(c)
	return c
}

// module connects a module by its key.
func (h *hub) module(id string, webSocket bool) *iotdevice.ModuleClient {
	h.Helper()
	c, err := iotdevice.NewModuleFromConnectionString(mqtt.NewModuleTransport(h.transport(webSocket)...), h.Devices[id].ConnectionString, "", "", "", false, iotdevice.WithLogger(quiet()))
	if err != nil {
		h.Fatal(err)
	}
	h.connect(c)
	return c
}

func (h *hub) connect(c interface {
	Connect(context.Context) error
	Close() error
}) {
	h.Helper()
	if err := c.Connect(h.ctx); err != nil {
		h.Fatalf("connect: %v", err)
	}
	h.Cleanup(func() { _ = c.Close() })
}

// service is the back end, over HTTPS.
func (h *hub) service() *iotservice.Client {
	h.Helper()
	config := &tls.Config{RootCAs: h.roots}
	c, err := iotservice.NewFromConnectionString(h.Service.ConnectionString,
		iotservice.WithTLSConfig(config),
		iotservice.WithHTTPClient(&http.Client{Transport: &http.Transport{TLSClientConfig: config}}),
		iotservice.WithLogger(quiet()))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = c.Close() })
	return c
}

// wantEvent compares the message that the hub has got last of a device. Of the
// system properties only those that are wanted are looked at.
func (h *hub) wantEvent(id, body string, properties, system map[string]string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.ctx, http.MethodGet, h.Events+"/devices/"+id+"/messages/events?follow=0", nil)
	if err != nil {
		h.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	type event struct {
		SystemProperties, Properties map[string]string
		Body                         []byte
	}
	var last event
	for lines := json.NewDecoder(resp.Body); ; {
		var e event
		if err := lines.Decode(&e); err != nil {
			break // there are no more
		}
		last = e
	}
	if string(last.Body) != body || !maps.Equal(last.Properties, properties) {
		h.Errorf("the hub has %q with %q, want %q with %q", last.Body, last.Properties, body, properties)
	}
	for name, want := range system {
		if got := last.SystemProperties[name]; got != want {
			h.Errorf("%s is %q, want %q, of %q", name, got, want, last.SystemProperties)
		}
	}
}

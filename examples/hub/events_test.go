package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A sender is a device that sends telemetry, by packets of MQTT.
type sender struct {
	*testing.T
	conn *tls.Conn
	r    *bufio.Reader
}

func (p *program) sender(id string) *sender {
	p.Helper()
	who, cred, err := auth.ParseConnectionString(p.info.Devices[id].ConnectionString)
	if err != nil {
		p.Fatal(err)
	}
	token, err := auth.TokenOf(p.ctx, cred, who.Audience(), time.Now())
	if err != nil {
		p.Fatal(err)
	}
	conn, err := (&tls.Dialer{Config: p.tls()}).DialContext(p.ctx, "tcp", p.address("mqtt"))
	if err != nil {
		p.Fatal(err)
	}
	s := &sender{T: p.T, conn: conn.(*tls.Conn), r: bufio.NewReader(conn)}
	p.Cleanup(func() { _ = conn.Close() })
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion, c.ClientIdentifier = "MQTT", 4, id
	c.UsernameFlag, c.PasswordFlag = true, true
	c.Username, c.Password = p.info.Hostname+"/"+id+"/?api-version=2021-04-12", []byte(token.Reveal())
	s.exchange(c)
	return s
}

// exchange sends a packet and waits for the hub's answer.
func (s *sender) exchange(p packets.ControlPacket) {
	s.Helper()
	if err := p.Write(s.conn); err != nil {
		s.Fatal(err)
	}
	if _, err := packets.ReadPacket(s.r); err != nil {
		s.Fatal(err)
	}
}

// send sends a message and waits until it is stored.
func (s *sender) send(topic, body string) {
	s.Helper()
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Payload, m.Qos, m.MessageID = topic, []byte(body), 1, 1
	s.exchange(m)
}

// TestEvents reads telemetry back: what is there, what comes then, and a module's.
func TestEvents(t *testing.T) {
	p := start(t, "-device", "dev1", "-device", "dev1/mod", "-events", "127.0.0.1:0", "-v")
	if !strings.Contains(p.printed, "curl -N "+p.info.Events+"/devices/dev1/messages/events\n") {
		t.Errorf("printed:\n%s", p.printed)
	}
	get := func(path string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.info.Events+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	dev, mod := p.sender("dev1"), p.sender("dev1/mod")
	dev.send("devices/dev1/messages/events/%24.mid=m-1&%24.ct=application%2Fjson%3Bcharset%3Dutf-8&%24.ce=utf-8&alert=true", `{"t":"<1>"}`)
	mod.send("devices/dev1/modules/mod/messages/events/", "hi")

	stream := get("/devices/dev1/messages/events")
	lines := bufio.NewScanner(stream.Body)
	next := func() (line eventLine, text string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("no line: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line, lines.Text()
	}
	line, text := next()
	if line.SequenceNumber != 1 || line.EnqueuedTimeUtc.IsZero() || line.Properties["alert"] != "true" ||
		line.SystemProperties["message-id"] != "m-1" || line.SystemProperties["iothub-connection-device-id"] != "dev1" ||
		!strings.Contains(text, `"Body":{"t":"<1>"}`) {
		t.Errorf("the first: %s", text)
	}
	dev.send("devices/dev1/messages/events/", "later")
	if line, text := next(); line.Body != "bGF0ZXI=" || !strings.Contains(text, `"Properties":{}`) {
		t.Errorf("a later one: %s", text)
	}
	all, err := io.ReadAll(get("/devices/dev1/modules/mod/messages/events?follow=0").Body)
	if err != nil || strings.Count(string(all), "\n") != 1 || !strings.Contains(string(all), `"iothub-connection-module-id":"mod"`) {
		t.Errorf("the module's: %s, %v", all, err)
	}
	if resp := get("/devices/dev9/messages/events"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown device: %s", resp.Status)
	}
	// The end of the hub ends its readers.
	if code := p.end(); code != 0 {
		t.Errorf("status %d", code)
	}
	if lines.Scan() {
		t.Errorf("after the end: %s", lines.Text())
	}
	if !strings.Contains(p.stderr.String(), "op=Telemetry device=dev1 rid=m-1") {
		t.Errorf("-v does not show the message: %s", &p.stderr)
	}
}

// TestEventsReaders bounds how many read at a time.
func TestEventsReaders(t *testing.T) {
	p := start(t, "-device", "dev1", "-events", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for n := range eventsReaders + 1 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.info.Events+"/devices/dev1/messages/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		want := http.StatusOK
		if n == eventsReaders {
			want = http.StatusServiceUnavailable
		}
		if resp.StatusCode != want {
			t.Errorf("reader %d: %s", n+1, resp.Status)
		}
	}
	if code := p.end(); code != 0 {
		t.Errorf("status %d", code)
	}
}

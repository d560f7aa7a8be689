package hubtest

import (
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// FuzzFront feeds a hub arbitrary bytes, before and after a good login: it
// answers or closes, does not panic, and is well for the next.
func FuzzFront(f *testing.F) {
	join := func(lines ...string) (b []byte) {
		for _, l := range lines {
			b = append(b, packetBytes(f, l)...)
		}
		return b
	}
	f.Add(true, join("SUBSCRIBE 1 [$iothub/twin/res/# Q1, $iothub/twin/PATCH/properties/desired/# Q0]",
		"PUBLISH Q0 $iothub/twin/GET/?$rid=1", `PUBLISH Q1 9 $iothub/twin/PATCH/properties/reported/?$rid=2&$version=1 {"a":{"b":[1,null]}}`, "DISCONNECT"))
	f.Add(true, join("UNSUBSCRIBE 3 [$iothub/twin/res/#]", "PINGREQ", "PUBLISH Q0 devices/dev1/messages/events/a=b x"))
	f.Add(true, join("SUBSCRIBE 4 [$iothub/methods/POST/# Q0, $iothub/methods/POST/a/# Q1]", `PUBLISH Q1 2 $iothub/methods/res/-1/?$rid=7 {"a":`, "PUBLISH Q0 $iothub/methods/res/x/?$rid="))
	f.Add(true, join("PUBLISH Q2 1 $iothub/twin/GET/?$rid=1"))
	f.Add(false, connectPacket{name: "MQTT", level: 4, id: "dev1", user: defaultHost + "/dev1/?api-version=2021-04-12", password: sasOne}.bytes())
	f.Add(false, connectPacket{name: "MQIsdp", level: 3, id: "dev1", user: "-", password: "-", will: "x"}.bytes())
	f.Add(true, []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0})
	f.Fuzz(func(t *testing.T, loggedIn bool, data []byte) {
		h := New(t, &Options{Logger: slog.New(slog.DiscardHandler)})
		d := addDevice(t, h, "dev1")
		var c *raw
		if loggedIn {
			c = login(t, h, d)
		} else {
			c = open(t, h)
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.conn.Write(data) // the hub may have closed
		_ = c.conn.Close()
		login(t, h, d).play(ping)
		tw := twinOf(t, h, "dev1")
		if _, err := jsondoc.ParseObject(tw.Reported.JSON); err != nil {
			t.Errorf("reported: got %s, which is no JSON: %v", tw.Reported.JSON, err)
		}
	})
}

// FuzzUserName: what is understood is a part of what was said.
func FuzzUserName(f *testing.F) {
	for _, s := range []string{
		defaultHost + "/dev1/?api-version=2021-04-12&DeviceClientType=a%2Fb&model-id=dtmi:com:x;1",
		defaultHost + "/dev1/mod/api-version=2020-09-30", defaultHost + "/dev1/", "//?", "h/d/?%=%&=&&%zz", "h/?/?",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseUserName(s)
		if err != nil {
			return
		}
		if u.host == "" || u.id == "" || strings.Contains(u.host, "/") || strings.Count(u.id, "/") > 1 || !strings.HasPrefix(s, u.host+"/"+u.id) {
			t.Errorf("%q: got %+v", s, u)
		}
	})
}

// FuzzToken: nothing but the good token, in one of its spellings, passes.
func FuzzToken(f *testing.F) {
	for _, s := range []string{
		sasOne, "SharedAccessSignature sr=myhub.azure-devices.net/devices/dev1&sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600&skn=",
		"SharedAccessSignature sr=%&sig=%zz&se=1&skn=device", "SharedAccessSignature ", "SharedAccessSignature sr=a&sr=a&sig=a&se=1",
	} {
		f.Add(s)
	}
	keys, err := completeKeys(keyOne, "")
	if err != nil {
		f.Fatalf("keys: %v", err)
	}
	who := &identity{id: "dev1", device: "dev1", keys: keys}
	h, err := Start(&Options{Host: hostOne})
	if err != nil {
		f.Fatalf("Start: %v", err)
	}
	f.Cleanup(func() { _ = h.Close() })
	f.Fuzz(func(t *testing.T, s string) {
		h.mu.Lock()
		end, err := h.authorize(who, s, time.Unix(dayOne, 0))
		h.mu.Unlock()
		if err != nil {
			return
		}
		// Only the two signed resources are known; a forged one would be news.
		good := strings.Contains(s, "sr=myhub.azure-devices.net%2Fdevices%2Fdev1") || strings.Contains(s, "sr=myhub.azure-devices.net/devices/dev1")
		if !good || end.Unix() != 1767225600 {
			t.Errorf("accepted %q until %v", s, end)
		}
	})
}

// BenchmarkPatch is one reported patch, there and back, in memory.
func BenchmarkPatch(b *testing.B) {
	h := New(b, &Options{Logger: slog.New(slog.DiscardHandler)})
	d, err := h.AddDevice("dev1")
	if err != nil {
		b.Fatal(err)
	}
	c := login(b, h, d)
	c.play(subscribed)
	patch := packetBytes(b, `PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=p {"climate":{"temperature":21.5}}`)
	b.ReportAllocs()
	for b.Loop() {
		c.send(patch)
		c.receive()
	}
}

// FuzzCA: what is taken for a CA is one certificate that may sign others, reads
// back as itself, and vouches for nobody else's device.
func FuzzCA(f *testing.F) {
	ca := must[*CA](f, "NewCA")(NewCA("plant", nil))
	leaf := must[Issued](f, "Issue")(ca.Issue("dev1", nil))
	for _, s := range [][]byte{
		ca.PEM(), leaf.CertificatePEM, leaf.KeyPEM, append([]byte("subject=CN = plant\n"), ca.PEM()...), append(ca.PEM(), ca.PEM()...),
		[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN CERTIFICATE-----\n-----END"),
	} {
		f.Add(s)
	}
	other := must[*CA](f, "NewCA")(NewCA("other", nil))
	foreign := must[Issued](f, "Issue")(other.Issue("dev1", nil))
	h, err := Start(nil)
	if err != nil {
		f.Fatalf("Start: %v", err)
	}
	f.Cleanup(func() { _ = h.Close() })
	who := &identity{id: "dev1", device: "dev1", proof: proofRule{kind: authCA}}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := h.AddCA("fuzz", text); err != nil {
			return
		}
		cert, err := parseCA(text)
		if err != nil || !cert.IsCA {
			t.Fatalf("got %v, %v, want the CA that was added", cert, err)
		}
		if again, err := parseCA(certPEM(cert.Raw)); err != nil || !again.Equal(cert) {
			t.Errorf("read back: got %v, %v", again, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.judgeChain(who, []*x509.Certificate{foreign.Certificate.Leaf}, time.Now()) == nil {
			t.Errorf("a certificate of another CA was let in by %q", text)
		}
	})
}

// FuzzThumbprint: a thumbprint is 40 or 64 hex digits, and is kept as them.
func FuzzThumbprint(f *testing.F) {
	for _, s := range []string{
		"", "0123456789abcdef0123456789ABCDEF01234567", strings.Repeat("aB", 32), strings.Repeat("ab:", 19) + "ab", strings.Repeat("a", 41), strings.Repeat("é", 20),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseThumbprint(s)
		if err != nil {
			return
		}
		if n := len(got); n != 0 && n != 40 && n != 64 || strings.Trim(got, "0123456789ABCDEF") != "" || !strings.EqualFold(got, s) {
			t.Errorf("%q: got %q", s, got)
		}
	})
}

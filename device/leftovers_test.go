package device_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// An sdk is another program with the device's identity, as plain as MQTT allows.
type sdk struct {
	*testing.T
	line net.Conn
}

// another logs in as another program, with clean session 0.
func (w *world) another(dev hubtest.Device) *sdk {
	w.Helper()
	line, err := w.hub.Stream(w.Context(), transport.Target{Host: w.hub.Host(), Port: 8883})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { line.Close() })
	token, err := auth.TokenOf(w.Context(), dev.Credential, dev.Identity.Audience(), time.Now())
	if err != nil {
		w.Fatal(err)
	}
	s := &sdk{w.T, line}
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.Keepalive = "MQTT", 4, 1000
	p.ClientIdentifier = clientID(dev)
	p.UsernameFlag, p.Username = true, w.hub.Host()+"/"+p.ClientIdentifier+"/?api-version=2021-04-12"
	p.PasswordFlag, p.Password = true, []byte(token.Reveal())
	s.write(p)
	if c, ok := s.read().(*packets.ConnackPacket); !ok || c.ReturnCode != 0 {
		w.Fatalf("the other program's login: got %v", c)
	}
	return s
}

func clientID(dev hubtest.Device) string {
	if dev.Identity.ModuleID != "" {
		return dev.Identity.DeviceID + "/" + dev.Identity.ModuleID
	}
	return dev.Identity.DeviceID
}

func (s *sdk) write(p packets.ControlPacket) {
	s.Helper()
	if err := p.Write(s.line); err != nil {
		s.Fatalf("the other program writes: %v", err)
	}
}

func (s *sdk) read() packets.ControlPacket {
	s.Helper()
	p, err := packets.ReadPacket(s.line)
	if err != nil {
		s.Fatalf("the other program reads: %v", err)
	}
	return p
}

// subscribe asks for filters. The grant comes first.
func (s *sdk) subscribe(filters ...string) {
	s.Helper()
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.MessageID, p.Topics, p.Qoss = 1, filters, slices.Repeat([]byte{1}, len(filters))
	s.write(p)
	if _, ok := s.read().(*packets.SubackPacket); !ok {
		s.Fatal("the other program's subscriptions were not granted")
	}
}

// take takes messages, and acknowledges them.
func (s *sdk) take(n int) (bodies []string) {
	s.Helper()
	for range n {
		p, ok := s.read().(*packets.PublishPacket)
		if !ok {
			s.Fatal("the other program got no message")
		}
		bodies = append(bodies, string(p.Payload))
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		s.write(ack)
	}
	return bodies
}

// leave says goodbye.
func (s *sdk) leave() {
	s.Helper()
	s.write(packets.NewControlPacket(packets.Disconnect))
	if _, err := io.Copy(io.Discard, s.line); err != nil {
		s.Fatalf("the other program leaves: %v", err)
	}
}

// saying records the topics of what the device says of one kind.
func (w *world) saying(op hubtest.Op) func() [][]string {
	var mu sync.Mutex
	var said [][]string
	w.hub.Intercept(func(m hubtest.Message) bool {
		if !m.FromHub && m.Op == op {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, m.Topics)
		}
		return false
	}, hubtest.Pass())
	return func() [][]string {
		mu.Lock()
		defer mu.Unlock()
		return said
	}
}

// TestLeavesMessagesOfOthers: an earlier program subscribed to messages and
// methods, and the hub restores that. Our client takes no message, and the earlier
// program finds all of them.
func TestLeavesMessagesOfOthers(t *testing.T) {
	const (
		ofDevice = "devices/dev1/messages/devicebound/#"
		ofModule = "devices/dev1/modules/m1/"
		methods  = "$iothub/methods/POST/#"
	)
	for _, c := range []struct {
		name   string
		module string
		before []string // what the earlier program subscribed to
		want   []string // what our client gives back
	}{
		{"of a device", "", []string{ofDevice}, []string{methods, ofDevice}},
		{"of a device with methods", "", []string{ofDevice, methods, "$iothub/twin/res/#"}, []string{methods, ofDevice}},
		{"of a module", "m1", []string{ofModule + "messages/devicebound/#", methods},
			[]string{methods, ofModule + "messages/devicebound/#", ofModule + "inputs/#", ofModule + "#"}},
		{"of a module that takes all", "m1", []string{ofModule + "#"},
			[]string{methods, ofModule + "messages/devicebound/#", ofModule + "inputs/#", ofModule + "#"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.dialer = mqtt.Dialer{Stream: w.stream}
				if c.module != "" {
					var err error
					if w.dev, err = w.hub.AddDevice("dev1/" + c.module); err != nil {
						t.Fatal(err)
					}
				}
				id := clientID(w.dev)
				earlier := w.another(w.dev)
				earlier.subscribe(c.before...)
				earlier.leave()
				var want []string
				for i := range 20 {
					want = append(want, fmt.Sprint("message ", i, strings.Repeat("x", i<<10)))
					if err := w.hub.Device(id).SendMessage([]byte(want[i])); err != nil {
						t.Fatal(err)
					}
				}
				acks, unsubscribes := w.saying(hubtest.Ack), w.saying(hubtest.Unsubscribe)

				start := time.Now()
				client := w.online(nil)
				if took := time.Since(start); took != 0 {
					t.Errorf("online after %v of virtual time, want at once", took)
				}
				for i := range 5 { // over some connections, and longer than the hub waits for PUBACK
					if _, err := client.UpdateReported(t.Context(), twin.Set("n", i)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(5 * time.Minute)
					if err := w.hub.Device(id).Cut(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				if err := w.hub.Device(id).SendMessage([]byte("a late one")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Minute)
				if err := client.Close(); err != nil {
					t.Fatal(err)
				}
				if n := len(acks()); n != 0 {
					t.Errorf("the client acknowledged %d messages, want none", n)
				}
				if got := unsubscribes(); len(got) != 1 || !slices.Equal(got[0], c.want) {
					t.Errorf("the client gave back %q, want once %q", got, c.want)
				}

				earlier = w.another(w.dev)
				earlier.subscribe(c.before...)
				want = append(want, "a late one")
				if got := earlier.take(len(want)); !slices.Equal(got, want) {
					t.Errorf("the earlier program got %q", got)
				}
			})
		})
	}
}

// TestFullQueueOfOthers has as much wait as a hub keeps.
func TestFullQueueOfOthers(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.dialer = mqtt.Dialer{Stream: w.stream}
		earlier := w.another(w.dev)
		earlier.subscribe("devices/dev1/messages/devicebound/#")
		earlier.leave()
		for range 50 {
			if err := w.hub.Device("dev1").SendMessage(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		var e ears
		c := w.client(nil)
		if _, err := c.OnDesired("a", e.listener, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLines(t, "at the start", e.take(), "start -")
		w.setDesired(`{"a":1}`)
		wantLines(t, "it hears", e.take(), "patch 1")
		if n := w.hub.Device("dev1").Stats().Connects; n != 2 {
			t.Errorf("%d connects, want that of the earlier program and one", n)
		}
	})
}

// TestGivesBackOnce: what becomes of the UNSUBSCRIBE, it is sent once, and nothing
// waits for it.
func TestGivesBackOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		fate   hubtest.Action
		within time.Duration
	}{
		{"answered", hubtest.Pass(), 0},
		{"never answered", hubtest.Drop(), 0},
		{"answered late", hubtest.Delay(time.Hour), 0},
		{"the hub hangs up at it", hubtest.Cut(), 5 * time.Second},
		{"the hub hangs up after it", hubtest.CutAfter(), 5 * time.Second},
		{"the line is half-open from then on", hubtest.Freeze(), 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.dialer = mqtt.Dialer{Stream: w.stream}
				w.another(w.dev).leave()
				unsubscribes := w.saying(hubtest.Unsubscribe)
				w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Unsubscribe), c.fate.Times(-1))
				start := time.Now()
				client := w.client(nil)
				if err := client.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := client.UpdateReported(t.Context(), twin.Set("a", 1)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("reported after %v, want within %v", took, c.within)
				}
				for range 3 {
					_ = w.hub.Device("dev1").Cut() // it may be off the line
					time.Sleep(2 * time.Minute)
				}
				synctest.Wait()
				if n := len(unsubscribes()); n != 1 {
					t.Errorf("%d UNSUBSCRIBE, want one", n)
				}
			})
		})
	}
}

// TestGivesBackNothing where the hub has no session to restore.
func TestGivesBackNothing(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.dialer = mqtt.Dialer{Stream: w.stream}
		unsubscribes := w.saying(hubtest.Unsubscribe)
		w.online(nil)
		for range 3 { // its own session is restored then
			if err := w.hub.Device("dev1").Cut(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
		}
		if got := unsubscribes(); len(got) != 0 {
			t.Errorf("the client gave back %q, want nothing", got)
		}
	})
}

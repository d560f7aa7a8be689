package amqpwire_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// inBubble runs a story of the official client and a hub in virtual time. The
// hub ends with it.
func inBubble(t *testing.T, o *amqpwire.Options, on func(*hub, amqpwire.Event) bool, story func(t *testing.T, h *hub, client net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h, client := newHub(t, o, on)
		defer func() {
			client.Close()
			<-h.done
		}()
		story(t, h, client)
	})
}

// echo answers every message on the link "up" with the same on the link "down".
func echo() func(*hub, amqpwire.Event) bool {
	var down *amqpwire.Link
	return func(h *hub, ev amqpwire.Event) bool {
		switch ev := ev.(type) {
		case *amqpwire.Attaching:
			if ev.Link.Role() == amqpwire.Receiver {
				down = ev.Link
			}
		case *amqpwire.Delivery:
			if err := down.Send(amqpwire.Outgoing{Payload: ev.Payload, Settled: ev.Settled}); err != nil {
				h.t.Errorf("send: %v", err)
			}
		}
		return false
	}
}

// TestTwinLinks is the way of a twin's request and answer, of every size that
// splits differently, settled and not.
func TestTwinLinks(t *testing.T) {
	inBubble(t, nil, echo(), func(t *testing.T, h *hub, client net.Conn) {
		c := dial(t, client, &amqp.ConnOptions{MaxFrameSize: 4096})
		defer c.Close()
		s := newSession(t, c)
		down, err := s.NewReceiver(soon(t), "/devices/d/twin", &amqp.ReceiverOptions{
			Credit: 10, RequestedSenderSettleMode: amqp.SenderSettleModeMixed.Ptr(),
		})
		if err != nil {
			t.Fatalf("attach receiver: %v", err)
		}
		for _, mode := range []amqp.SenderSettleMode{amqp.SenderSettleModeSettled, amqp.SenderSettleModeUnsettled} {
			up, err := s.NewSender(soon(t), "/devices/d/twin", &amqp.SenderOptions{
				SettlementMode: mode.Ptr(), Properties: map[string]any{"com.microsoft:api-version": "2021-04-12"},
			})
			if err != nil {
				t.Fatalf("attach sender: %v", err)
			}
			if got, want := up.MaxMessageSize(), uint64(1<<20); got != want {
				t.Errorf("max-message-size: got %d, want %d", got, want)
			}
			for i, size := range []int{0, 1, 3900, 3990, 4000, 4030, 4096, 8192, 100_000, 1<<20 - 200} {
				body := bytes.Repeat([]byte{byte(i)}, size)
				want := &amqp.Message{
					Annotations: amqp.Annotations{"operation": "PATCH", "version": int64(5)},
					Properties:  &amqp.MessageProperties{CorrelationID: amqp.UUID{byte(i)}}, Data: [][]byte{body},
				}
				if err := up.Send(soon(t), want, nil); err != nil {
					t.Fatalf("send %d bytes: %v", size, err)
				}
				got, err := down.Receive(soon(t), nil)
				if err != nil {
					t.Fatalf("receive %d bytes: %v", size, err)
				}
				if !bytes.Equal(got.GetData(), body) || got.Annotations["version"] != int64(5) || got.Properties.CorrelationID != want.Properties.CorrelationID {
					t.Fatalf("%d bytes: got %d bytes, %v, %v", size, len(got.GetData()), got.Annotations, got.Properties.CorrelationID)
				}
				if err := down.AcceptMessage(soon(t), got); err != nil {
					t.Fatalf("accept: %v", err)
				}
			}
			if err := up.Close(soon(t)); err != nil {
				t.Errorf("detach: %v", err)
			}
		}
		if err := down.Close(soon(t)); err != nil {
			t.Errorf("detach: %v", err)
		}
		if err := s.Close(soon(t)); err != nil {
			t.Errorf("end: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		<-h.done
		if !h.conn.Done() {
			t.Error("the hub's end did not come by CLOSE")
		}
	})
}

// TestManyMessages crosses the windows of both ends, and the credit, often.
func TestManyMessages(t *testing.T) {
	inBubble(t, nil, echo(), func(t *testing.T, h *hub, client net.Conn) {
		c := dial(t, client, nil)
		defer c.Close()
		s := newSession(t, c)
		down, err := s.NewReceiver(soon(t), "twin", &amqp.ReceiverOptions{Credit: 7, RequestedSenderSettleMode: amqp.SenderSettleModeMixed.Ptr()})
		if err != nil {
			t.Fatal(err)
		}
		up, err := s.NewSender(soon(t), "twin", &amqp.SenderOptions{SettlementMode: amqp.SenderSettleModeSettled.Ptr()})
		if err != nil {
			t.Fatal(err)
		}
		const total, ahead = 12_000, 500
		for i := range total + ahead {
			if i < total {
				if err := up.Send(soon(t), amqp.NewMessage([]byte(fmt.Sprint(i))), nil); err != nil {
					t.Fatalf("send %d: %v", i, err)
				}
			}
			if i < ahead {
				continue
			}
			got, err := down.Receive(soon(t), nil)
			if err != nil || string(got.GetData()) != fmt.Sprint(i-ahead) {
				t.Fatalf("message %d: got %q, %v", i-ahead, got.GetData(), err)
			}
		}
	})
}

// TestManySessions is a connection that devices share.
func TestManySessions(t *testing.T) {
	byAddress := map[string]*amqpwire.Link{}
	on := func(h *hub, ev amqpwire.Event) bool {
		switch ev := ev.(type) {
		case *amqpwire.Attaching:
			if ev.Link.Role() == amqpwire.Receiver {
				byAddress[fmt.Sprint(ev.Link.Session().Channel(), ev.Source)] = ev.Link
			}
		case *amqpwire.Delivery:
			down := byAddress[fmt.Sprint(ev.Link.Session().Channel(), ev.Link.Name())]
			if err := down.Send(amqpwire.Outgoing{Payload: ev.Payload, Settled: true}); err != nil {
				h.t.Errorf("send: %v", err)
			}
		}
		return false
	}
	inBubble(t, nil, on, func(t *testing.T, h *hub, client net.Conn) {
		c := dial(t, client, nil)
		defer c.Close()
		const devices = 1000
		for i := range devices {
			s := newSession(t, c)
			name := fmt.Sprintf("device %d", i)
			down, err := s.NewReceiver(soon(t), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			up, err := s.NewSender(soon(t), name, &amqp.SenderOptions{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			if err := up.Send(soon(t), amqp.NewMessage([]byte(name)), nil); err != nil {
				t.Fatal(err)
			}
			if m, err := down.Receive(soon(t), nil); err != nil || string(m.GetData()) != name {
				t.Fatalf("%s: got %q, %v", name, m.GetData(), err)
			}
			if i == 0 {
				continue
			}
			if i%2 == 0 {
				if err := s.Close(soon(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestLogins goes through SASL.
func TestLogins(t *testing.T) {
	tests := []struct {
		name   string
		method amqp.SASLType
		accept bool
		want   amqpwire.Login
	}{
		{"anonymous", amqp.SASLTypeAnonymous(), true, amqpwire.Login{Mechanism: "ANONYMOUS"}},
		{"plain", amqp.SASLTypePlain("d@sas.hub", "a token"), true, amqpwire.Login{Mechanism: "PLAIN", User: "d@sas.hub", Password: "a token"}},
		{"external", amqp.SASLTypeExternal(""), true, amqpwire.Login{Mechanism: "EXTERNAL"}},
		{"a wrong password", amqp.SASLTypePlain("d@sas.hub", "b"), false, amqpwire.Login{Mechanism: "PLAIN", User: "d@sas.hub", Password: "b"}},
		{"none of ours", amqp.SASLTypeXOAUTH2("u", "bearer", 1024), false, amqpwire.Login{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got amqpwire.Login
			on := func(h *hub, ev amqpwire.Event) bool {
				l, ok := ev.(*amqpwire.Login)
				if !ok {
					return false
				}
				if got = *l; !tt.accept {
					h.conn.RefuseLogin()
				}
				return !tt.accept
			}
			inBubble(t, nil, on, func(t *testing.T, h *hub, client net.Conn) {
				c, err := amqp.NewConn(soon(t), client, &amqp.ConnOptions{SASLType: tt.method})
				if (err == nil) != tt.accept {
					t.Fatalf("open: got error %v, want success %t", err, tt.accept)
				}
				if err == nil {
					c.Close()
				}
				<-h.done
				if got.Mechanism != tt.want.Mechanism || got.User != tt.want.User || got.Password != tt.want.Password {
					t.Errorf("got %s with password %q; want %s with %q", got, got.Password, tt.want, tt.want.Password)
				}
			})
		})
	}
}

// TestHubEnds ends each thing by the hub, with a condition that the client is
// told.
func TestHubEnds(t *testing.T) {
	why := &amqpwire.Error{Condition: "amqp:unauthorized-access", Description: "Token Invalid."}
	check := func(t *testing.T, what string, err error, remote *amqp.Error) {
		t.Helper()
		if remote == nil || string(remote.Condition) != why.Condition || remote.Description != why.Description {
			t.Errorf("%s: got error %v, want %v", what, err, why)
		}
	}
	var link *amqpwire.Link
	var ends []string
	on := func(h *hub, ev amqpwire.Event) bool {
		switch ev := ev.(type) {
		case *amqpwire.Attaching:
			link = ev.Link
		case *amqpwire.Detached, *amqpwire.Ended, *amqpwire.Closed:
			ends = append(ends, fmt.Sprintf("%T", ev))
		}
		return false
	}
	tests := []struct {
		name string
		end  func(*hub)
		want string
		err  func(error) *amqp.Error
	}{
		{"the link", func(*hub) { link.Detach(why) }, "[*amqpwire.Detached]", func(err error) *amqp.Error {
			var e *amqp.LinkError
			errors.As(err, &e)
			return e.RemoteErr
		}},
		{"the session", func(*hub) { link.Session().End(why) }, "[*amqpwire.Ended]", func(err error) *amqp.Error {
			var e *amqp.SessionError
			errors.As(err, &e)
			return e.RemoteErr
		}},
		{"the connection", func(h *hub) { h.conn.Close(why) }, "[*amqpwire.Closed]", func(err error) *amqp.Error {
			var e *amqp.ConnError
			errors.As(err, &e)
			return e.RemoteErr
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ends = nil
			inBubble(t, nil, on, func(t *testing.T, h *hub, client net.Conn) {
				c := dial(t, client, nil)
				defer c.Close()
				r, err := newSession(t, c).NewReceiver(soon(t), "twin", nil)
				if err != nil {
					t.Fatal(err)
				}
				h.call(func() { tt.end(h) })
				_, err = r.Receive(soon(t), nil)
				check(t, tt.name, err, tt.err(err))
				synctest.Wait()
				if got := fmt.Sprint(ends); got != tt.want {
					t.Errorf("events: got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestRefuse refuses links in both directions: go-amqp then gives the error of
// the DETACH, and the session stays.
func TestRefuse(t *testing.T) {
	why := &amqpwire.Error{Condition: "amqp:not-found", Description: `{"errorCode":404006}`}
	on := func(h *hub, ev amqpwire.Event) bool {
		a, ok := ev.(*amqpwire.Attaching)
		if ok && (a.Source == "nowhere" || a.Target == "nowhere") {
			a.Link.Refuse(why)
			return true
		}
		return false
	}
	inBubble(t, nil, on, func(t *testing.T, h *hub, client net.Conn) {
		c := dial(t, client, nil)
		defer c.Close()
		s := newSession(t, c)
		_, up := s.NewSender(soon(t), "nowhere", nil)
		_, down := s.NewReceiver(soon(t), "nowhere", nil)
		for what, err := range map[string]error{"sender": up, "receiver": down} {
			var e *amqp.Error
			if !errors.As(err, &e) || string(e.Condition) != why.Condition || e.Description != why.Description {
				t.Errorf("%s: got error %v, want %v", what, err, why)
			}
		}
		if _, err := s.NewSender(soon(t), "somewhere", nil); err != nil {
			t.Errorf("a good link afterwards: %v", err)
		}
	})
}

// TestIdle keeps a quiet line alive for a day by heartbeats of both ends, and
// ends it when the client falls silent.
func TestIdle(t *testing.T) {
	var closed *amqpwire.Closed
	on := func(h *hub, ev amqpwire.Event) bool {
		if c, ok := ev.(*amqpwire.Closed); ok {
			closed = c
		}
		return false
	}
	o := &amqpwire.Options{IdleTimeout: 30 * time.Second}
	inBubble(t, o, on, func(t *testing.T, h *hub, client net.Conn) {
		c := dial(t, client, &amqp.ConnOptions{IdleTimeout: 20 * time.Second})
		defer c.Close()
		time.Sleep(24 * time.Hour)
		if _, err := c.NewSession(soon(t), nil); err != nil {
			t.Errorf("a session after a day of silence: %v", err)
		}
	})
	inBubble(t, o, on, func(t *testing.T, h *hub, client net.Conn) {
		closed = nil
		if _, err := client.Write([]byte("AMQP\x00\x01\x00\x00")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		<-h.done
		if got, want := time.Since(began), 30*time.Second; got != want {
			t.Errorf("a silent client was borne for %v, want %v", got, want)
		}
		if closed == nil || !errors.Is(closed.Cause, amqpwire.ErrIdle) {
			t.Errorf("got %+v, want %v", closed, amqpwire.ErrIdle)
		}
	})
}

// TestOutcomes is what a client says of messages, and hears of its own.
func TestOutcomes(t *testing.T) {
	var got []string
	var down *amqpwire.Link
	on := func(h *hub, ev amqpwire.Event) bool {
		switch ev := ev.(type) {
		case *amqpwire.Attaching:
			if ev.Link.Role() == amqpwire.Receiver {
				down = ev.Link
			}
		case *amqpwire.Settled:
			got = append(got, fmt.Sprintf("%s %#x %v", ev.Tag, byte(ev.Outcome.State), ev.Outcome.Error != nil))
		case *amqpwire.Delivery:
			ev.Link.Settle(ev.ID, amqpwire.Outcome{State: amqpwire.Rejected, Error: &amqpwire.Error{Condition: "amqp:not-allowed", Description: "no"}})
			return true
		}
		return false
	}
	for _, mode := range []amqp.ReceiverSettleMode{amqp.ReceiverSettleModeFirst, amqp.ReceiverSettleModeSecond} {
		got = nil
		inBubble(t, nil, on, func(t *testing.T, h *hub, client net.Conn) {
			c := dial(t, client, nil)
			defer c.Close()
			s := newSession(t, c)
			r, err := s.NewReceiver(soon(t), "c2d", &amqp.ReceiverOptions{Credit: 4, SettlementMode: mode.Ptr()})
			if err != nil {
				t.Fatal(err)
			}
			payload, err := amqpwire.EncodeMessage(amqp.NewMessage([]byte("hello")))
			if err != nil {
				t.Fatal(err)
			}
			h.call(func() {
				for _, tag := range []string{"accept", "reject", "release", "modify"} {
					if err := down.Send(amqpwire.Outgoing{Payload: payload, Tag: []byte(tag)}); err != nil {
						t.Error(err)
					}
				}
			})
			for range 4 {
				m, err := r.Receive(soon(t), nil)
				if err != nil {
					t.Fatal(err)
				}
				switch string(m.DeliveryTag) {
				case "accept":
					err = r.AcceptMessage(soon(t), m)
				case "reject":
					err = r.RejectMessage(soon(t), m, &amqp.Error{Condition: "x"})
				case "release":
					err = r.ReleaseMessage(soon(t), m)
				default:
					err = r.ModifyMessage(soon(t), m, &amqp.ModifyMessageOptions{DeliveryFailed: true})
				}
				if err != nil {
					t.Errorf("settle %s in mode %v: %v", m.DeliveryTag, mode, err)
				}
			}
			synctest.Wait()
			if got, want := fmt.Sprint(got), "[accept 0x24 false reject 0x25 true release 0x26 false modify 0x27 false]"; got != want {
				t.Errorf("in mode %v: got %s, want %s", mode, got, want)
			}
			up, err := s.NewSender(soon(t), "events", nil)
			if err != nil {
				t.Fatal(err)
			}
			var e *amqp.Error
			if err := up.Send(soon(t), amqp.NewMessage(nil), nil); !errors.As(err, &e) || e.Description != "no" {
				t.Errorf("a message that is rejected: got error %v", err)
			}
		})
	}
}

// TestGatewayTrap imitates the gateways whose FLOW go-amqp refuses.
func TestGatewayTrap(t *testing.T) {
	inBubble(t, &amqpwire.Options{OmitNextIncomingID: true}, nil, func(t *testing.T, h *hub, client net.Conn) {
		c := dial(t, client, nil)
		defer c.Close()
		up, err := newSession(t, c).NewSender(soon(t), "twin", nil)
		if err == nil {
			err = up.Send(soon(t), amqp.NewMessage(nil), nil)
		}
		if err == nil {
			t.Error("go-amqp took a FLOW without next-incoming-id; then this option, and the cure for it in the transport, can go")
		}
	})
}

// TestDrain gives credit back.
func TestDrain(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, h *hub, client net.Conn) {
		c := dial(t, client, nil)
		defer c.Close()
		r, err := newSession(t, c).NewReceiver(soon(t), "twin", &amqp.ReceiverOptions{Credit: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.IssueCredit(5); err != nil {
			t.Fatal(err)
		}
		if err := r.DrainCredit(soon(t), nil); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
}

package amqp_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A mutant is a good hub whose bytes are changed at some places, from the first of
// the protocol header on.
type mutant struct {
	engine  *amqpwire.Conn
	stream  net.Conn
	changes []byte // two of where, and one of what is changed there

	at            int
	answers, twin *amqpwire.Link
}

func (m *mutant) serve() {
	defer m.stream.Close()
	for b := make([]byte, 16<<10); ; {
		_ = m.stream.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := m.stream.Read(b)
		if err != nil {
			return
		}
		m.engine.Feed(time.Now(), b[:n])
		for ev := m.engine.Next(); ev != nil; ev = m.engine.Next() {
			m.answer(ev)
		}
		out := m.engine.AppendOutput(time.Now(), nil)
		for i := 0; i+3 <= len(m.changes); i += 3 {
			where := (int(m.changes[i])<<8 | int(m.changes[i+1])) % 2048
			if where >= m.at && where < m.at+len(out) {
				out[where-m.at] ^= m.changes[i+2]
			}
		}
		m.at += len(out)
		if _, err := m.stream.Write(out); err != nil {
			return
		}
	}
}

func (m *mutant) answer(ev amqpwire.Event) {
	say := func(on *amqpwire.Link, settled bool, answer *amqpwire.Message) {
		b, err := amqpwire.EncodeMessage(answer)
		if err == nil && on != nil {
			_ = on.Send(amqpwire.Outgoing{Payload: b, Settled: settled})
		}
	}
	switch ev := ev.(type) {
	case *amqpwire.Attaching:
		ev.Link.Accept(10)
		if ev.Source == "$cbs" {
			m.answers = ev.Link
		} else if ev.Link.Role() == amqpwire.Receiver {
			m.twin = ev.Link
		}
	case *amqpwire.Delivery:
		asked, err := amqpwire.DecodeMessage(ev.Payload)
		if err != nil || asked.Properties == nil {
			return
		}
		if !ev.Settled {
			ev.Link.Settle(ev.ID, amqpwire.Outcome{State: amqpwire.Accepted})
			say(m.answers, false, &amqpwire.Message{
				Properties:            &amqpwire.MessageProperties{CorrelationID: asked.Properties.MessageID},
				ApplicationProperties: map[string]any{"status-code": int32(200)},
			})
			return
		}
		say(m.twin, true, &amqpwire.Message{
			Properties:  &amqpwire.MessageProperties{CorrelationID: asked.Properties.CorrelationID},
			Annotations: amqpwire.Annotations{"status": int32(200), "version": int64(3)},
			Data:        [][]byte{[]byte(`{"desired":{"$version":1},"reported":{"$version":1}}`)},
		})
		say(m.twin, false, &amqpwire.Message{Annotations: amqpwire.Annotations{"version": int64(4)}, Data: [][]byte{[]byte(`{"a":1,"$version":4}`)}})
	}
}

// meetMutant has a device log in at one, ask and receive until that fails.
func meetMutant(t *testing.T, changes []byte, pooled, token bool) {
	client, server := memconn.Pipe("device", "hub")
	m := &mutant{engine: amqpwire.NewConn(time.Now(), nil), stream: server, changes: changes}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.serve()
	}()
	began := time.Now()
	login := transport.Login{Identity: auth.Identity{Host: "hub", DeviceID: "dev1"}, KeepAlive: time.Minute}
	if token {
		login = anyLogin(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	stream := func(context.Context, transport.Target) (net.Conn, error) { return client, nil }
	c, err := dialOver(t, stream, pooled).Dial(ctx, login)
	if err == nil {
		err = c.Send(ctx, get("1"))
		for err == nil {
			_, err = c.Receive(ctx)
		}
		closeConn(t, c)
	}
	if took := time.Since(began); err == nil || took > 20*time.Second {
		t.Errorf("changed by %x: %v after %v; want an end in time", changes, err, took)
	}
	if n := sentinels(err); n != 1 && ctx.Err() == nil {
		t.Errorf("changed by %x: %v matches %d sentinels", changes, err, n)
	}
	_ = client.Close()
	<-done
}

// FuzzMutant changes what a hub says, at the login and after it: no panic, no
// goroutine that stays, an end in time.
func FuzzMutant(f *testing.F) {
	f.Add([]byte{}, false, true)
	for i := range 24 {
		f.Add([]byte{byte(i * 75 >> 8), byte(i * 75), byte(1 << (i % 8))}, i%2 == 0, i%3 != 0)
	}
	f.Fuzz(func(t *testing.T, changes []byte, pooled, token bool) {
		if len(changes) <= 60 {
			meetMutant(t, changes, pooled, token)
		}
	})
}

// TestEveryByte changes each byte of the login.
func TestEveryByte(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	jobs := make(chan []byte)
	var wait sync.WaitGroup
	for range 48 {
		wait.Go(func() {
			for change := range jobs {
				where := int(change[1])
				meetMutant(t, change, where%2 == 0, where%3 != 0)
			}
		})
	}
	for where := range 900 {
		for _, x := range []byte{1 << (where % 8), 0xff} {
			jobs <- []byte{byte(where >> 8), byte(where), x}
		}
	}
	close(jobs)
	wait.Wait()
}

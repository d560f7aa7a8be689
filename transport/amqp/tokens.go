package amqp

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// addressCBS is where tokens are put.
	addressCBS = "$cbs"
	// tokensAtOnce bounds how many tokens wait for the hub's word at a time.
	// Java's SDK found that a hub hung up at more than 30 over WebSocket.
	tokensAtOnce = 30
	// maxTokenAnswer is the largest answer to a token that is taken.
	maxTokenAnswer = 16 << 10
	// tokenPatience is how long a token that is not answered keeps others from
	// being put.
	tokenPatience = 10 * time.Second
)

// tokens are the pair of links for tokens, of which a hub wants one on a
// connection, however many devices share it.
type tokens struct {
	line    *line
	put     *amqp.Sender
	answers *amqp.Receiver

	link *amqpwire.GuardedLink // of put
	room chan struct{}         // a place for each token that waits
	turn chan struct{}         // holds a token while somebody sends
	dead chan struct{}         // closed when no answer will come

	// Guarded by line.mu.
	puts    uint64
	waiting map[string]chan *amqp.Message // by message-id, each for one answer
}

// openTokens opens the links, and begins to listen for answers.
func (l *line) openTokens(ctx context.Context) (err error) {
	t := &tokens{
		line: l,
		room: make(chan struct{}, tokensAtOnce), turn: make(chan struct{}, 1), dead: make(chan struct{}),
		waiting: map[string]chan *amqp.Message{},
	}
	l.tokens = t
	if t.put, err = l.session.NewSender(ctx, addressCBS, nil); err != nil {
		return err
	}
	t.link = l.sender(t.put)
	t.answers, err = l.session.NewReceiver(ctx, addressCBS, &amqp.ReceiverOptions{Credit: 2 * tokensAtOnce, MaxMessageSize: maxTokenAnswer})
	if err != nil {
		return err
	}
	l.owned.Go(t.listen)
	return nil
}

// close waits for the links to end, the line having ended.
func (t *tokens) close() {
	if t.put != nil {
		_ = t.put.Close(context.Background())
	}
	if t.answers != nil {
		_ = t.answers.Close(context.Background())
	}
}

// listen delivers answers to their waiters. If a link for tokens fails, tokens can
// no longer be renewed, so it ends the line.
func (t *tokens) listen() {
	defer close(t.dead)
	for {
		m, err := t.answers.Receive(context.Background(), nil) // ends with the line
		if err == nil {
			err = t.answers.AcceptMessage(context.Background(), m)
		}
		if err != nil {
			t.line.fail(t.line.amqpError(err))
			return
		}
		if m.Properties == nil {
			continue
		}
		id, _ := m.Properties.CorrelationID.(string)
		t.line.mu.Lock()
		if to := t.waiting[id]; to != nil { // else of one that was given up
			to <- m
			delete(t.waiting, id)
		}
		t.line.mu.Unlock()
	}
}

// give puts a token, and waits for the hub's word on it.
func (t *tokens) give(ctx context.Context, audience string, token auth.Token) error {
	if err := t.take(ctx, t.room); err != nil {
		return err
	}
	makeRoom := sync.OnceFunc(func() { <-t.room })
	defer makeRoom()
	defer time.AfterFunc(tokenPatience, makeRoom).Stop()
	id, answer := t.expect()
	defer t.forget(id)
	if err := t.send(ctx, id, audience, token); err != nil {
		return err
	}
	select {
	case m := <-answer:
		status := wholeNumber(m.ApplicationProperties["status-code"])
		if status == 200 {
			return nil
		}
		text, _ := m.ApplicationProperties["status-description"].(string)
		return tokenRefused(int(status), text)
	case <-t.dead:
		return t.line.err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take waits for a place in a channel.
func (t *tokens) take(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.dead:
		return t.line.err()
	}
}

func (t *tokens) expect() (id string, answer chan *amqp.Message) {
	t.line.mu.Lock()
	defer t.line.mu.Unlock()
	t.puts++
	id, answer = "put-"+strconv.FormatUint(t.puts, 10), make(chan *amqp.Message, 1)
	t.waiting[id] = answer
	return id, answer
}

func (t *tokens) forget(id string) {
	t.line.mu.Lock()
	defer t.line.mu.Unlock()
	delete(t.waiting, id)
}

// send sends a token, and waits until the hub has it.
func (t *tokens) send(ctx context.Context, id, audience string, token auth.Token) error {
	if err := t.take(ctx, t.turn); err != nil {
		return err
	}
	if err := t.awaitRoom(ctx); err != nil {
		<-t.turn
		return err
	}
	receipt, err := t.put.SendWithReceipt(waiting{ctx}, &amqp.Message{
		Properties: &amqp.MessageProperties{MessageID: id, To: ptr(addressCBS), ReplyTo: ptr("cbs")},
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience,
		},
		Value: token.Reveal(),
	}, nil)
	t.line.release(t.link)
	<-t.turn
	var state amqp.DeliveryState
	if err == nil {
		state, err = receipt.Wait(ctx)
	}
	switch state := state.(type) {
	case *amqp.StateRejected:
		if state.Error != nil {
			return state.Error
		}
		return fmt.Errorf("%w: the hub rejected the message that holds the token", transport.ErrProtocol)
	case *amqp.StateReleased, *amqp.StateModified:
		return fmt.Errorf("%w: the hub gave the message that holds the token back", transport.ErrUnavailable)
	}
	if isOver(err) { // without the link no token can be put any more
		t.line.fail(t.line.amqpError(err))
	}
	return err
}

// awaitRoom waits until the hub lets a token leave.
func (t *tokens) awaitRoom(ctx context.Context) error {
	for {
		t.line.mu.Lock()
		room := t.link.Claim(1)
		t.line.mu.Unlock()
		if room {
			return nil
		}
		select {
		case <-t.link.Wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.dead:
			return t.line.err()
		}
	}
}

// waiting hides ctx.Err from go-amqp, which otherwise drops a queued frame and may
// block its sender for ever.
type waiting struct{ context.Context }

// Err is nil, whatever has ended.
func (waiting) Err() error { return nil }

// Deadline reports no deadline.
func (waiting) Deadline() (time.Time, bool) { return time.Time{}, false }

func ptr(s string) *string { return &s }

package hubtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/go-amqp"
)

// The 1,000th token on a connection is refused with 403005, and nothing else
// changes; a token makes room when it ends.
func TestAConnectionTakes999Tokens(t *testing.T) { synctest.Test(t, testAConnectionTakes999Tokens) }
func testAConnectionTakes999Tokens(t *testing.T) {
	h := New(t, &Options{Logger: slog.New(slog.DiscardHandler)})
	c := openAMQP(t, h)
	put := func(d Device, life time.Duration) (int32, string) {
		t.Helper()
		return c.putToken(audience(d), tokenOf(t, d, time.Now(), life), "put")
	}
	var devices []Device
	for i := range 1000 {
		d, err := h.AddDevice(fmt.Sprintf("dev%d", i))
		if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, d)
	}
	for i, d := range devices[:999] {
		life := 2 * time.Hour
		if i == 500 {
			life = time.Hour
		}
		if status, text := put(d, life); status != 200 {
			t.Fatalf("token %d: %d %s", i+1, status, text)
		}
	}
	last := devices[999]
	wantFull := func(what, text string) {
		t.Helper()
		var body struct {
			ErrorCode  int
			Message    string
			TrackingID string
		}
		if err := json.Unmarshal([]byte(text), &body); err != nil || body.ErrorCode != 403005 || !strings.Contains(body.Message, "999") || body.TrackingID == "" {
			t.Errorf("%s: got %q, %v; want the hub's words with 403005", what, text, err)
		}
	}
	status, text := put(last, time.Hour)
	if status != 403 {
		t.Errorf("token 1000: status %d, want 403", status)
	}
	wantFull("token 1000", text)
	_, err := c.session.NewSender(t.Context(), twinAddress(last), nil)
	var said *amqp.Error
	if !errors.As(err, &said) || said.Condition != amqp.ErrCondResourceLimitExceeded {
		t.Fatalf("a link without a token there: %v, want a limit", err)
	}
	wantFull("the link", said.Description)
	if n := h.Stats().Refused; n != 1 {
		t.Errorf("%d logins refused, want 1", n)
	}

	if status, text := put(devices[0], 2*time.Hour); status != 200 {
		t.Errorf("a renewal on the full connection: %d %s", status, text)
	}
	time.Sleep(time.Hour)
	if status, text := put(last, time.Hour); status != 200 {
		t.Errorf("after a token has ended: %d %s", status, text)
	}
}

// A token is good for the connection that it was put on, whatever becomes of
// links: new ones need no other, until it ends.
func TestAMQPLinksAnew(t *testing.T) { synctest.Test(t, testAMQPLinksAnew) }
func testAMQPLinksAnew(t *testing.T) {
	h, d := amqpHub(t)
	c := openAMQP(t, h)
	if status, text := c.putToken(audience(d), tokenOf(t, d, time.Now(), time.Hour), "p"); status != 200 {
		t.Fatalf("put-token: %d %s", status, text)
	}
	for range 3 {
		l := c.twin(d)
		l.alive()
		if err := errors.Join(l.out.Close(t.Context()), l.in.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if tw, err := h.Device("dev1").Twin(); err != nil || tw.Connected {
			t.Errorf("without links: connected is %v, %v", tw.Connected, err)
		}
	}
	if s := h.Device("dev1").Stats(); s.Connects != 3 || s.Disconnects != 3 || s.Refused != 0 {
		t.Errorf("counted %+v, want three connects and as many ends", s)
	}
	refused := func(when string) {
		t.Helper()
		synctest.Wait() // the client has heard of the links that ended
		_, err := c.session.NewSender(t.Context(), twinAddress(d), nil)
		wantCondition(t, when, err, amqp.ErrCondUnauthorizedAccess)
	}
	if err := h.Device("dev1").SetEnabled(false); err != nil {
		t.Fatal(err)
	}
	refused("while it is disabled")
	if err := h.Device("dev1").SetEnabled(true); err != nil {
		t.Fatal(err)
	}
	c.twin(d).alive()
	time.Sleep(time.Hour)
	refused("after the token's end")
}

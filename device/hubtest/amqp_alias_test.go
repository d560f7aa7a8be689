package hubtest

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/go-amqp"
)

// TestAMQPAliases: ids of which one is the other's percent-encoding are two
// devices, whichever way a client spells them and with other clients there.
func TestAMQPAliases(t *testing.T) { bubble(t, testAMQPAliases) }
func testAMQPAliases(t *testing.T) {
	h := New(t, nil)
	ids := []string{"a+b", "a%2Bb", "a%252Bb", "plain"}
	pol, _ := h.Policy("device")
	devices := map[string]Device{}
	for _, id := range ids {
		devices[id] = addDevice(t, h, id)
	}
	raw := func(s string) string { return s }
	online := func(desc, id string) {
		t.Helper()
		synctest.Wait() // the hub sees the end of the connection before
		for _, other := range ids {
			if got := twinOf(t, h, other).Connected; got != (other == id) {
				t.Errorf("%s: %s is connected: %v", desc, other, got)
			}
		}
	}
	for _, id := range ids {
		d := devices[id]
		for name, spell := range map[string]func(string) string{"raw": raw, "encoded": url.PathEscape, "as a query": url.QueryEscape} {
			for kind, token := range map[string]string{
				"its own key":          tokenOf(t, d, time.Now(), time.Hour),
				"a policy for it":      sign(t, h.Host()+"/devices/"+id, pol.PrimaryKey, time.Now().Add(time.Hour), "device"),
				"its own key, for all": sign(t, h.Host(), d.PrimaryKey, time.Now().Add(time.Hour), ""),
			} {
				desc := id + ", " + name + ", " + kind
				c := openAMQP(t, h)
				if status, text := c.putToken(h.Host()+"/devices/"+spell(id), token, "p"); status != 200 {
					t.Errorf("%s: put-token got %d %s", desc, status, text)
					continue
				}
				address := "/devices/" + spell(id) + "/twin"
				out, err := c.session.NewSender(t.Context(), address, &amqp.SenderOptions{Properties: pairing("1")})
				if err != nil {
					t.Errorf("%s: twin: %v", desc, err)
					continue
				}
				in, err := c.session.NewReceiver(t.Context(), address, &amqp.ReceiverOptions{Properties: pairing("1"), Credit: 10})
				if err != nil {
					t.Errorf("%s: twin: %v", desc, err)
					continue
				}
				online(desc, id)
				setDesired(t, h, id, `{"who":"`+id+`"}`)
				if _, _, body := (twinLinks{t, out, in}).ask(twinMessage("g", "", "operation", "GET")); !strings.Contains(body, `"who":"`+id+`"`) {
					t.Errorf("%s: got the twin %s", desc, body)
				}
				_ = c.conn.Close()
			}
		}
	}
	// On one connection, all at once.
	c := openAMQP(t, h)
	var links []twinLinks
	for _, id := range ids {
		c.admit(devices[id], time.Now())
	}
	for i, id := range ids {
		links = append(links, c.twin(devices[id]))
		if _, _, body := links[i].ask(twinMessage("g", "", "operation", "GET")); !strings.Contains(body, `"who":"`+id+`"`) {
			t.Errorf("%s on a shared connection: got the twin %s", id, body)
		}
	}
}

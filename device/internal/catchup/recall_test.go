package catchup

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// A device created again while the program was off is another twin for a durable
// listener that acknowledges, as it is on a live line: the answer that the
// reported half still has names a version of the other twin.
func TestRecalledAcknowledgerOfAnotherTwin(t *testing.T) {
	var live Desired
	if _, err := live.Listen("a", nothing, ListenerOptions{Acknowledge: true, Durable: true}); err != nil {
		t.Fatal(err)
	}
	live.Fetching()
	live.Fetched(props(t, 5, `{"a":1}`), twin.CauseStart)
	heard(&live)
	for range 2 {
		live.Fetching()
		live.Fetched(props(t, 1, `{"a":1}`), twin.CauseReconnect)
	}
	wantLines(t, "on a live line", heard(&live), "a v1 another twin: 1 -> 1")

	var d Desired
	id, err := d.Listen("a", nothing, ListenerOptions{Acknowledge: true, Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	d.Recall(id, Heard{Version: 5, Value: twin.Set("a", 1).At("a")})
	d.Fetching()
	d.Fetched(props(t, 1, `{"a":1}`), twin.CauseReconnect)
	wantLines(t, "after a restart", heard(&d), "a v1 another twin: 1 -> 1")
}

// A listener that never heard of a value is not called to hear that there is
// none: a slow one missed a value that came and went. (twin.TypedOr would act on its
// default again.)
func TestNothingBecomesNothing(t *testing.T) {
	var d Desired
	if _, err := d.Listen("a", nothing, ListenerOptions{}); err != nil {
		t.Fatal(err)
	}
	d.Fetching()
	d.Fetched(props(t, 1, `{}`), twin.CauseStart)
	heard(&d)
	d.Notify(twin.Set("a", 1), 2)
	d.Notify(twin.Delete("a"), 3)
	wantLines(t, "came and went", heard(&d))
}

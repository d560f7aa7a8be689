package catchup

import (
	"fmt"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

func TestPatchOfAStart(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{}, "none", "")
	d.Fetched(props(t, 1, `{"a":1}`), twin.CauseReconnect)
	none, _ := d.Next()
	if got := none.Change.Patch(); !got.IsEmpty() {
		t.Errorf("nothing at the start is the patch %v", got)
	}
	all, _ := d.Next()
	if got := all.Change.Patch().String(); got != `{"a":1}` {
		t.Errorf("the start is the patch %s", got)
	}
	if !d.Known() {
		t.Error("the document is not known after a GET")
	}
}

func ExampleDesired() {
	var d Desired
	half, err := twin.ParseProperties([]byte(`{"rpm":900,"$version":4}`))
	if err != nil {
		fmt.Println(err)
	}
	d.Fetching()
	d.Fetched(half, twin.CauseReconnect)
	fmt.Println(d.Notify(twin.Set("rpm", 1000), 5), d.Properties())
	fmt.Println(d.Notify(twin.Set("rpm", 1000), 5), d.Properties())
	fmt.Println(d.Notify(twin.Set("rpm", 1200), 7), d.Properties()) // 6 was lost: get the twin
	// Output:
	// applied {"rpm":1000,"$version":5}
	// duplicate {"rpm":1000,"$version":5}
	// gap {"rpm":1000,"$version":5}
}

func ExampleReported() {
	var r Reported
	half, err := twin.ParseProperties([]byte(`{"rpm":900,"$version":4}`))
	if err != nil {
		fmt.Println(err)
	}
	r.Synced(half, 0)
	ticket, err := r.Want(twin.Set("rpm", 1000))
	if err != nil {
		fmt.Println(err)
	}
	patch, _ := r.Next(0)
	fmt.Println("send", patch)
	_ = r.WantLater(twin.Set("rpm", 1100)) // rides in the next patch
	_ = r.WantLater(twin.Set("rpm", 1200))
	r.Acked(5)
	for _, s := range r.Settled() {
		fmt.Println(s.Ticket == ticket, s.Version, s.Err)
	}
	patch, _ = r.Next(0)
	fmt.Println("send", patch)
	// Output:
	// send {"rpm":1000}
	// true 5 <nil>
	// send {"rpm":1200}
}

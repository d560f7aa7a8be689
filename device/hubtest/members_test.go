package hubtest

import (
	"strings"
	"testing"
)

// TestOrderIsKept holds that members keep the order in which they were written,
// for devices and for services, and that Go's view of the hub is sorted.
func TestOrderIsKept(t *testing.T) { bubble(t, testOrderIsKept) }
func testOrderIsKept(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	s := owner(t, h)
	c := login(t, h, d)
	c.play(subscribed)
	s.do("PATCH", "/twins/dev1", `{"tags":{"z":1,"a":{"y":2,"b":[{"q":1,"p":2}]}},"properties":{"desired":{"z":{"d":1,"c":2},"m":1,"a":2}}}`).want(t, "patch", 200)
	c.play(`
		< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {"z":{"d":1,"c":2},"m":1,"a":2,"$version":2}
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=1 {"z":1,"y":{"b":1,"a":2},"x":3}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=1&$version=2
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=2 {"x":4,"w":5,"z":null,"y":{"c":3,"b":9}}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=2&$version=3
		> PUBLISH Q0 $iothub/twin/GET/?$rid=3
		< PUBLISH Q0 $iothub/twin/res/200/?$rid=3 {"desired":{"z":{"d":1,"c":2},"m":1,"a":2,"$version":2},"reported":{"y":{"b":9,"a":2,"c":3},"x":4,"w":5,"$version":3}}
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=4 {"z":6,"k":1,"k":2,"j":1,"k":3}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=4&$version=4
	`)
	r := s.do("GET", "/twins/dev1", "")
	for path, want := range map[string]string{
		"tags": `{"z":1,"a":{"y":2,"b":[{"q":1,"p":2}]}}`,
	} {
		if got := r.field(t, path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	for _, want := range []string{
		`"reported":{"y":{"b":9,"a":2,"c":3},"x":4,"w":5,"z":6,"k":3,"j":1,"$metadata":{"$lastUpdated":`,
		`"desired":{"z":{"d":1,"c":2},"m":1,"a":2,"$metadata":{"$lastUpdated":"2000-01-01T00:00:00Z","$lastUpdatedVersion":2,"z":{`,
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the twin lacks %s: %s", want, r.body)
		}
	}
	// A whole twin takes its own order.
	s.do("PUT", "/twins/dev1", `{"properties":{"desired":{"b":1,"a":2,"z":3}}}`).want(t, "put", 200)
	c.play(`< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=3 {"z":3,"m":null,"a":2,"b":1,"$version":3}`)
	if r := s.do("GET", "/twins/dev1", ""); !strings.Contains(r.body, `"desired":{"b":1,"a":2,"z":3,`) {
		t.Errorf("after the replacement: got %s", r.body)
	}
	// A method's payload passes as it was written.
	c.play("> SUBSCRIBE 5 [$iothub/methods/POST/# Q0]\n< SUBACK 5 [0]")
	done := make(chan reply, 1)
	go func() {
		r, _ := s.try("POST", "/twins/dev1/methods", `{"payload":{"b":1,"a":[{"d":1,"c":2}]},"methodName":"x"}`)
		done <- r
	}()
	c.play(`
		< PUBLISH Q0 $iothub/methods/POST/x/?$rid=1 {"b":1,"a":[{"d":1,"c":2}]}
		> PUBLISH Q0 $iothub/methods/res/200/?$rid=1 {"z":1,"y":2}
	`)
	if got, want := (<-done).body, `{"status":200,"payload":{"z":1,"y":2}}`; got != want {
		t.Errorf("a method's answer: got %s, want %s", got, want)
	}
	tw := twinOf(t, h, "dev1")
	if got, want := string(tw.Reported.JSON)+string(tw.Tags), `{"j":1,"k":3,"w":5,"x":4,"y":{"a":2,"b":9,"c":3},"z":6}{}`; got != want {
		t.Errorf("the hub's own API: got %s, want it sorted: %s", got, want)
	}
}

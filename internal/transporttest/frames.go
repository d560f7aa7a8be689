package transporttest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/devicetwin/devicetwin-go/transport"
)

func frameCases() []Case {
	return []Case{
		{Name: "Accepted", Run: accepted,
			Rule: "Open is answered by Accepted with its ID"},
		{Name: "OpenAtOnce", Run: openAtOnce,
			Rule: "Open frames that wait together are each answered with their own ID"},
		{Name: "GetTwin", Run: getTwinCase,
			Rule: "GetTwin is answered by a Response whose body is the hub's document with both halves"},
		{Name: "PatchReported", Run: patchReportedCase,
			Rule: "PatchReported merges its body; the Response's Version is the one after it"},
		{Name: "PatchPrecondition", Run: patchPrecondition,
			Rule: "PatchReported's Version is the version that the section must have"},
		{Name: "ErrorStatus", Run: errorStatus,
			Rule: "A refused Request is a Response with the hub's status and words, and no error of the connection"},
		{Name: "Pairing", Run: pairing,
			Rule: "Every Response carries the ID of the Request that it answers"},
		{Name: "IDAlphabet", Run: idAlphabet,
			Rule: "An ID of any of the characters 0-9, A-Z, a-z and '-' comes back as it was"},
		{Name: "Desired", Run: desired,
			Rule: "Desired brings a change with the section's version after it"},
		{Name: "CloseFeature", Run: closeFeature,
			Rule: "Close gives a feature back: it is answered by Accepted with its ID, and its frames end until the next Open"},
		{Name: "DesiredOnlyAfterOpen", Run: desiredOnlyAfterOpen,
			Rule: "DesiredChanges lets Desired frames reach this session; without it there are none"},
	}
}

func accepted(t TB, p Peer) {
	c := dial(t, p)
	open(t, c, transport.TwinResponses, "a")
	open(t, c, transport.DesiredChanges, "b")
	open(t, c, transport.TwinResponses, "again")
}

func openAtOnce(t TB, p Peer) {
	c := dial(t, p)
	missing := map[string]bool{}
	for i, feature := range []transport.Feature{transport.TwinResponses, transport.DesiredChanges, transport.TwinResponses} {
		id := fmt.Sprintf("o-%d", i)
		missing[id] = true
		send(t, c, transport.Frame{Kind: transport.Open, Feature: feature, ID: id})
	}
	for len(missing) > 0 {
		f := receive(t, c)
		if f.Kind != transport.Accepted || !missing[f.ID] {
			t.Fatalf("got %s; want accepted, one of %v", show(f), missing)
		}
		delete(missing, f.ID)
	}
}

func getTwinCase(t TB, p Peer) {
	c := dialOpen(t, p)
	f := ask(t, c, getTwin("1"), 200)
	var twin struct {
		Desired, Reported struct {
			Version int64 `json:"$version"`
		}
	}
	if err := json.Unmarshal(f.Body, &twin); err != nil || twin.Desired.Version == 0 || twin.Reported.Version == 0 {
		t.Fatalf("got body %.200q, %v; want both halves with their versions", f.Body, err)
	}
}

func patchReportedCase(t TB, p Peer) {
	c := dialOpen(t, p)
	first := ask(t, c, patchReported("1", `{"a":1,"b":{"c":true}}`), 204)
	second := ask(t, c, patchReported("2", `{"a":null}`), 204)
	if first.Version == 0 || second.Version != first.Version+1 || len(first.Body) != 0 {
		t.Fatalf("got %s, then %s; want versions one apart and no body", show(first), show(second))
	}
	got := reported(t, c, "3")
	if _, there := got["a"]; there || got["b"] == nil {
		t.Fatalf("the hub has %v; want b, and a deleted", got)
	}
}

func patchPrecondition(t TB, p Peer) {
	c := dialOpen(t, p)
	f := patchReported("1", `{"a":1}`)
	now := ask(t, c, f, 204).Version
	f.ID, f.Version = "2", now+7
	ask(t, c, f, 412)
	f.ID, f.Version = "3", now
	ask(t, c, f, 204)
}

func errorStatus(t TB, p Peer) {
	c := dialOpen(t, p)
	f := ask(t, c, patchReported("1", `{"a.b":1}`), 400)
	if f.Version != 0 || !json.Valid(f.Body) {
		t.Fatalf("got %s with body %.200q; want no version, and the hub's words", show(f), f.Body)
	}
	wantAlive(t, c)
}

func pairing(t TB, p Peer) {
	c := dialOpen(t, p)
	const n = 50
	missing := map[string]int{}
	for i := range n {
		get, patch := fmt.Sprintf("get-%d", i), fmt.Sprintf("patch-%d", i)
		missing[get], missing[patch] = 200, 204
		send(t, c, getTwin(get))
		send(t, c, patchReported(patch, fmt.Sprintf(`{"n":%d}`, i)))
	}
	for len(missing) > 0 {
		f := receive(t, c)
		if status, ok := missing[f.ID]; !ok || f.Kind != transport.Response || !is(f.Status, status) {
			t.Fatalf("got %s; want a response to one of %v", show(f), missing)
		}
		delete(missing, f.ID)
	}
}

func idAlphabet(t TB, p Peer) {
	c := dialOpen(t, p)
	ask(t, c, getTwin("0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ-abcdefghijklmnopqrstuvwxyz"), 200)
	ask(t, c, getTwin("-"), 200)
	ask(t, c, getTwin("d1b5c0de-0000-4000-8000-00000000000f"), 200)
}

func desired(t TB, p Peer) {
	c := dialOpen(t, p)
	version := setDesired(t, p, `{"fan":{"rpm":1200}}`)
	f := receive(t, c)
	if f.Kind != transport.Desired || f.Version != version || !bytes.Contains(f.Body, []byte("1200")) {
		t.Fatalf("got %s with body %.200q; want the change, with version %d", show(f), f.Body, version)
	}
}

func desiredOnlyAfterOpen(t TB, p Peer) {
	c := dial(t, p)
	open(t, c, transport.TwinResponses, "1")
	setDesired(t, p, `{"a":1}`)
	ask(t, c, getTwin("2"), 200) // and nothing before it
	open(t, c, transport.DesiredChanges, "3")
	version := setDesired(t, p, `{"a":2}`)
	if f := receive(t, c); f.Kind != transport.Desired || f.Version != version {
		t.Fatalf("got %s; want the change to version %d, and no older one", show(f), version)
	}
}

func closeFeature(t TB, p Peer) {
	c := dialOpen(t, p)
	closing := transport.Frame{Kind: transport.Close, Feature: transport.DesiredChanges, ID: "close-1"}
	send(t, c, closing)
	if f := receive(t, c); f.Kind != transport.Accepted || f.ID != closing.ID {
		t.Fatalf("close: got %s; want accepted %s", show(f), closing.ID)
	}
	setDesired(t, p, `{"a":1}`)
	wantAlive(t, c) // and nothing before it
	open(t, c, transport.DesiredChanges, "open-again")
	version := setDesired(t, p, `{"a":2}`)
	if f := receive(t, c); f.Kind != transport.Desired || f.Version != version {
		t.Fatalf("got %s; want the change to version %d, and no older one", show(f), version)
	}
	closing = transport.Frame{Kind: transport.Close, Feature: transport.TwinResponses, ID: "close-2"}
	send(t, c, closing)
	if f := receive(t, c); f.Kind != transport.Accepted || f.ID != closing.ID {
		t.Fatalf("close: got %s; want accepted %s", show(f), closing.ID)
	}
}

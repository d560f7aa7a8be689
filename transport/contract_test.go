package transport_test

import (
	"fmt"
	"testing"

	"github.com/devicetwin/devicetwin-go/transport"
)

// TestFrameReads has kinds and features read as words, also in a frame that is
// printed whole, and none that is forgotten for one that is meant.
func TestFrameReads(t *testing.T) {
	f := transport.Frame{Kind: transport.PatchReported, Feature: transport.TwinResponses}
	if got, want := fmt.Sprint(f.Kind, ", ", f.Feature), "patch reported, twin responses"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, kind := range []transport.Kind{
		transport.Open, transport.Close, transport.Accepted, transport.GetTwin, transport.PatchReported,
		transport.Response, transport.Desired, transport.Complete, transport.Release, transport.Ready,
	} {
		if kind == (transport.Frame{}).Kind {
			t.Error("a kind is the zero, which means none")
		}
	}
}

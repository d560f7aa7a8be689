package twin

import (
	"fmt"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// A Document is a whole twin as a device sees it: both halves, each at its own
// version. Tags are the back end's alone and never reach a device.
type Document struct {
	// Desired is what the back end wants.
	Desired Properties
	// Reported is what the device said.
	Reported Properties
}

// ParseDocument reads a full twin as the hub answers it:
// {"desired":{…,"$version":8},"reported":{…,"$version":12}}. Both sections must
// be there, in the form that [ParseProperties] reads: a version may be missing.
// Other keys are ignored.
//
// The error is a *SyntaxError, or matches ErrIncomplete; either way nothing is
// known of the twin, and the caller asks again.
func ParseDocument(b []byte) (Document, error) {
	n, err := parseDocument(b)
	if err != nil {
		return Document{}, err
	}
	if n.Kind != tree.Object {
		return Document{}, fmt.Errorf("%w: it is of kind %v, not an object", ErrIncomplete, n.Kind)
	}
	desired, err := sectionOf(n.Get("desired"), "section desired")
	if err != nil {
		return Document{}, err
	}
	reported, err := sectionOf(n.Get("reported"), "section reported")
	if err != nil {
		return Document{}, err
	}
	return Document{Desired: desired, Reported: reported}, nil
}

// JSON is the twin as compact JSON, which [ParseDocument] reads back. The bytes
// are the caller's.
func (d Document) JSON() []byte {
	b := append([]byte(nil), `{"desired":`...)
	b = append(d.Desired.appendJSON(b), `,"reported":`...)
	return append(d.Reported.appendJSON(b), '}')
}

// String is the same text as JSON.
func (d Document) String() string { return string(d.JSON()) }

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) { return d.JSON(), nil }

package twin

import "github.com/devicetwin/devicetwin-go/internal/tree"

// componentMarker is the member that makes an object of a twin a Plug and Play
// component, and componentType what it says. Every patch that enters the
// component must carry it.
const (
	componentMarker = tree.ComponentMarker
	componentType   = "c"
)

// Component is the patch with a Plug and Play component entered at a path:
//
//	twin.Set("thermostat1.temperature", 21.5).Component("thermostat1")
//
// A device needs it for its first report of a component only: from then on the
// client adds the marker to each patch that enters one.
func (p Patch) Component(path string) Patch {
	if _, err := splitPath(path); err != nil && p.err == nil {
		return Patch{err: err}
	}
	return p.Set(below(path, componentMarker), componentType)
}

// IsComponent reports whether the value is a Plug and Play component.
func (v Value) IsComponent() bool {
	marker := v.n.Get(componentMarker)
	return marker != nil && marker.Kind == tree.String && marker.Text == componentType
}

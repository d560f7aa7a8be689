package twin

import (
	"errors"
	"fmt"
	"testing"
)

func TestComponents(t *testing.T) {
	p := half(t, `{"a":{"__t":"c","x":1},"b":{"x":1},"c":{"__t":7},"d":{"__t":"other"},"e":"c","f":{"__t":"c"}}`)
	var names []string
	for name, v := range p.All() {
		if v.IsComponent() {
			names = append(names, name+v.String())
		}
	}
	if got, want := fmt.Sprint(names), `[a{"__t":"c","x":1} f{"__t":"c"}]`; got != want {
		t.Errorf("components are %s, want %s", got, want)
	}
	if (Value{}).IsComponent() {
		t.Error("nothing is a component")
	}
	if err := Set("a", 1).Component("a").Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a number made a component: %v", err)
	}
}

func ExamplePatch_Component() {
	fmt.Println(Set("thermostat1.temperature", 21.5).Component("thermostat1"))
	// Output: {"thermostat1":{"__t":"c","temperature":21.5}}
}

func ExampleValue_IsComponent() {
	reported := Apply(Properties{}, Set("thermostat1.temperature", 21.5).Component("thermostat1").Set("serial", "x1"))
	for name, v := range reported.All() {
		if v.IsComponent() {
			fmt.Println(name, v.At("temperature"))
		}
	}
	// Output: thermostat1 21.5
}

package twin

import (
	"errors"
	"fmt"
	"testing"
)

// oneChange is what a listener on path hears when a half goes from one state
// to another.
func oneChange(t *testing.T, path, from, to string) Change {
	t.Helper()
	was, is := half(t, from), half(t, to).WithVersion(2)
	return Change{Path: path, Value: is.At(path), Old: was.At(path), Version: 2, Cause: CauseReconnect, Desired: is}
}

func TestChangeAck(t *testing.T) {
	c := oneChange(t, "o.x", `{}`, `{"o":{"x":21.50}}`)
	if got, want := c.Ack(AckOK, "fine").String(), `{"o":{"x":{"ac":200,"ad":"fine","av":2,"value":21.50}}}`; got != want {
		t.Errorf("Ack is %s, want %s", got, want)
	}
	if got, want := c.Ack(AckOK, "").Replaced().String(), `{"o":{"x":null}}`; got != want {
		t.Errorf("Ack replaces %s, want %s", got, want)
	}
	gone := oneChange(t, "o.x", `{"o":{"x":1}}`, `{}`)
	if err := gone.Ack(AckOK, "").Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Ack of a removal: %v, want ErrInvalid", err)
	}
	byHand := Change{Path: "o.x", Value: Set("v", 7).At("v"), Version: 3}
	if got, want := byHand.Ack(AckOK, "").String(), `{"o":{"x":{"ac":200,"av":3,"value":7}}}`; got != want {
		t.Errorf("Ack of a change made by hand is %s, want %s", got, want)
	}
	if got, want := byHand.Patch().String(), `{"o":{"x":7}}`; got != want {
		t.Errorf("Patch of a change made by hand is %s, want %s", got, want)
	}
	all := oneChange(t, "", `{}`, `{"a":1}`)
	if err := all.Ack(AckOK, "").Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Ack of everything: %v, want ErrInvalid", err)
	}
}

func TestNamesOfConstants(t *testing.T) {
	for got, want := range map[string]string{
		CauseStart.String(): "start", CausePatch.String(): "patch", CauseReconnect.String(): "reconnect",
		CauseGap.String(): "gap", Cause(9).String(): "cause 9",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func ExampleChange_Removed() {
	was := Apply(Properties{}, Set("o", map[string]int{"x": 1, "y": 2}))
	is := Apply(was, Delete("o.y").Set("o.x", 3))
	c := Change{Path: "o", Old: was.At("o"), Value: is.At("o"), Version: 2, Cause: CausePatch}
	fmt.Println("now", c.Value, "changed by", c.Patch(), "removed", c.Removed())
	// Output: now {"x":3} changed by {"o":{"x":3,"y":null}} removed [o.y]
}

func ExampleChange_Ack() {
	half := Apply(Properties{}, Set("target", 21))
	c := Change{Path: "target", Value: half.At("target"), Version: 3, Cause: CauseStart}
	fmt.Println(c.Ack(AckOK, "reached"))
	// Output: {"target":{"ac":200,"ad":"reached","av":3,"value":21}}
}

package twin

import (
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

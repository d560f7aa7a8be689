package registry_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// faster adds to what is there: done twice, it shows.
func faster(t registry.Twin) (registry.Change, error) {
	rpm := 0
	if err := t.Desired.At("rpm").Decode(&rpm); err != nil && !errors.Is(err, twin.ErrMissing) {
		return registry.Change{}, err
	}
	return registry.Change{Desired: twin.Set("rpm", rpm+100), Tags: twin.Set("by", "faster")}, nil
}

func TestModifyTwin(t *testing.T) {
	errNo := errors.New("no")
	rival := func(w *world, times int, patch string) func(registry.Twin) (registry.Change, error) {
		return func(tw registry.Twin) (registry.Change, error) {
			if times--; times >= 0 {
				if _, err := w.hub.Device("fan1").SetDesired(patch); err != nil {
					w.Fatal(err)
				}
			}
			return faster(tw)
		}
	}
	tests := []struct {
		name   string
		modify func(w *world) func(registry.Twin) (registry.Change, error)
		want   string // what is desired then
		err    error
	}{
		{"nobody else writes", func(*world) func(registry.Twin) (registry.Change, error) { return faster }, `{"rpm":100,"$version":2}`, nil},
		{"somebody does, twice", func(w *world) func(registry.Twin) (registry.Change, error) {
			return rival(w, 2, `{"rpm":1000}`)
		}, `{"rpm":1100,"$version":4}`, nil},
		{"somebody writes just the same", func(w *world) func(registry.Twin) (registry.Change, error) {
			return rival(w, 1, `{"rpm":100}`)
		}, `{"rpm":200,"$version":3}`, nil},
		{"somebody never rests", func(w *world) func(registry.Twin) (registry.Change, error) {
			return rival(w, 8, `{"rpm":1}`)
		}, `{"rpm":1,"$version":9}`, transport.ErrPrecondition},
		{"a change that is not to be", func(*world) func(registry.Twin) (registry.Change, error) {
			return func(registry.Twin) (registry.Change, error) { return registry.Change{Desired: twin.Set("a", 1)}, errNo }
		}, `{"$version":1}`, errNo},
		{"an empty change", func(*world) func(registry.Twin) (registry.Change, error) {
			return func(registry.Twin) (registry.Change, error) { return registry.Change{}, nil }
		}, `{"$version":1}`, nil},
		{"a patch that failed is not an empty one", func(*world) func(registry.Twin) (registry.Change, error) {
			return func(registry.Twin) (registry.Change, error) {
				return registry.Change{Desired: twin.Set("a", func() {})}, nil
			}
		}, `{"$version":1}`, twin.ErrInvalid},
		{"the answer is lost, and the change was made", func(w *world) func(registry.Twin) (registry.Change, error) {
			w.hub.Intercept(hubtest.FromService("PATCH /twins/fan1"), hubtest.CutAfter())
			return faster
		}, `{"rpm":100,"$version":2}`, nil},
		{"no func", func(*world) func(registry.Twin) (registry.Change, error) { return nil }, `{"$version":1}`, auth.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			story(t, nil, func(t *testing.T, w *world) {
				w.device("fan1")
				got, err := w.client.ModifyTwin(w.Context(), "fan1", test.modify(w))
				if !errors.Is(err, test.err) || test.err == nil && (err != nil || got.Desired.String() != test.want) {
					t.Errorf("got %v, %v; want %s, %v", got.Desired, err, test.want, test.err)
				}
				if now := w.twin("fan1").Desired.String(); now != test.want {
					t.Errorf("the hub has %s, want %s", now, test.want)
				}
			})
		})
	}
	story(t, nil, func(t *testing.T, w *world) {
		if _, err := w.client.ModifyTwin(w.Context(), "nobody", faster); !errors.Is(err, transport.ErrNotFound) {
			t.Errorf("nobody's twin: got %v, want ErrNotFound", err)
		}
	})
}

// TestQuote has the hub find each text by its literal, and nothing else.
func TestQuote(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		for i, text := range []string{
			"", "plain", `O'Brien`, `C:\temp\'`, `"`, "' OR 1=1 OR tags.owner = '", "\\", "'", "a\tb", "ä €", "😀", `\u0041`,
		} {
			id := "fan" + itoa(i)
			w.device(id)
			quoted, err := json.Marshal(map[string]string{"owner": text})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.hub.Device(id).SetTags(string(quoted)); err != nil {
				t.Fatal(err)
			}
			var found []string
			for tw, err := range w.client.Query(w.Context(), "SELECT * FROM devices WHERE tags.owner = "+registry.Quote(text), nil) {
				if err != nil {
					t.Errorf("%q: %v", text, err)
				}
				found = append(found, tw.ID)
			}
			if strings.Join(found, " ") != id {
				t.Errorf("%q: found %q, want %s", text, found, id)
			}
		}
	})
}

// FuzzQuote holds that a literal ends where it should: nothing of the text can
// end it earlier, or take it further.
func FuzzQuote(f *testing.F) {
	f.Add(`O'Brien`)
	f.Add(`\'; \`)
	f.Add("\x00\xff\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		got := registry.Quote(text)
		if len(got) < 2 || got[0] != '\'' || got[len(got)-1] != '\'' || !utf8.ValidString(got) {
			t.Fatalf("got %q, want UTF-8 between quotes", got)
		}
		read, err := json.Marshal("")
		if err != nil {
			t.Fatal(err)
		}
		// JSON has the same escapes, but for the quote.
		inner := strings.ReplaceAll(strings.ReplaceAll(got[1:len(got)-1], `"`, `\"`), `\'`, `'`)
		read = append(append([]byte{read[0]}, inner...), '"')
		var back string
		if err := json.Unmarshal(read, &back); err != nil || back != strings.ToValidUTF8(replaced(text), "\uFFFD") {
			t.Errorf("%q became %s, which is read as %q, %v", text, got, back, err)
		}
	})
}

// replaced has U+FFFD for each byte that is not UTF-8.
func replaced(text string) string { return string([]rune(text)) }

package twin

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// TestUnmarshalWithoutVersions: json.Unmarshal reads what the parsers read, also
// where the hub names no version.
func TestUnmarshalWithoutVersions(t *testing.T) {
	var h Properties
	if err := json.Unmarshal([]byte(`{"a":1,"$metadata":{}}`), &h); err != nil || h.Version() != 0 || h.String() != `{"a":1}` {
		t.Errorf("a half without a version: got %v at %d, %v", h, h.Version(), err)
	}
	var d Document
	if err := json.Unmarshal([]byte(`{"desired":{"a":1},"reported":{}}`), &d); err != nil || d.Desired.Version() != 0 || !d.Desired.At("a").Exists() {
		t.Errorf("a twin without versions: got %v, %v", d, err)
	}
}

// TestBytesHaveBounds holds the figures of the parsers, which stand here as
// numbers.
func TestBytesHaveBounds(t *testing.T) {
	padded := func(text string, size int) []byte { return []byte(text + strings.Repeat(" ", size-len(text))) }
	const half, whole = `{"a":1}`, `{"desired":{},"reported":{}}`
	parsers := map[string]struct {
		most  int
		parse func(size int) error
	}{
		"ParsePatch":        {512 << 10, func(n int) error { _, err := ParsePatch(padded(half, n)); return err }},
		"ParseProperties":   {1 << 20, func(n int) error { _, err := ParseProperties(padded(half, n)); return err }},
		"ParseNotification": {512 << 10, func(n int) error { _, _, err := ParseNotification(tree.Key{}, padded(half, n)); return err }},
		"ParseDocument":     {1 << 20, func(n int) error { _, err := ParseDocument(padded(whole, n)); return err }},
	}
	for name, p := range parsers {
		if err := p.parse(p.most); err != nil {
			t.Errorf("%s of %d bytes: %v", name, p.most, err)
		}
		if err := p.parse(p.most + 1); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s of %d bytes: got %v, want ErrSyntax", name, p.most+1, err)
		}
	}
	for levels, good := range map[int]bool{63: true, 64: false} { // beside the patch itself
		if _, err := ParsePatch([]byte(`{"a":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`)); (err == nil) != good {
			t.Errorf("a patch of %d levels: %v", levels+1, err)
		}
	}
}

// TestErrorsQuoteNothing of a text that may hold a secret, and count its bytes.
func TestErrorsQuoteNothing(t *testing.T) {
	for _, text := range []string{
		`{"password":"hunter2" x}`, `{"password":"hunter2`, `{"password":hunter2}`, `{"password":"hunter2"}}`, "{\"password\":\"hunter2\xff\"}",
		`{hunter2:1}`, `{"hunter2" 1}`, `["hunter2",]`, `"hunter2\x"`,
	} {
		_, err := ParsePatch([]byte(text))
		var bad *SyntaxError
		if !errors.As(err, &bad) || strings.Contains(err.Error(), "hunter") || strings.Contains(bad.Reason, "password") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	var into struct{ V Value }
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for text, offset := range map[string]int{`{"V":` + deep + `}`: 64, "{ \"V\" : [\"\xff\"]}": 2} {
		var bad *SyntaxError
		if err := json.Unmarshal([]byte(text), &into); !errors.As(err, &bad) || bad.Offset != offset {
			t.Errorf("%.20q: got %v, want a *SyntaxError at byte %d of the value", text, err, offset)
		}
	}
}

// TestReadingsOfASizeKeepTheirOrder: Bytes is never the smallest, Runes never the
// largest.
func TestReadingsOfASizeKeepTheirOrder(t *testing.T) {
	d := newDice(t)
	for range 2000 {
		p := change(t, d.object(4, true))
		for _, s := range []tree.Size{Apply(Properties{}, p).sizes(), p.root.Size()} {
			if s.Bytes < s.UTF16 || s.UTF16 < s.Runes {
				t.Fatalf("%v has the size %+v", p, s)
			}
		}
	}
	if s := half(t, `{"é€😀":"é€😀"}`).sizes(); s.Bytes <= s.UTF16 || s.UTF16 <= s.Runes {
		t.Errorf("the readings are not told apart: %+v", s)
	}
}

// TestValuesAreReadFromAnyGoroutine, for the race detector, while others are made
// of them, and never change.
func TestValuesAreReadFromAnyGoroutine(t *testing.T) {
	const text = `{"a":{"x":[1,2],"y":1.10},"b":"é"}`
	h, p := half(t, text), change(t, text)
	doc, v := Document{Desired: h, Reported: h}, h.At("a")
	was := []string{h.String(), p.String(), doc.String(), v.String()}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				_ = Apply(h, p.Set("a.x", i).Delete("b"))
				_ = Diff(h, Apply(h, Set("b", i)))
				_, _, _, _ = p.Replace("a", v).JSON(), h.Size(), v.Equal(h.At("a")), doc.JSON()
				_ = Validate(h, p)
				var m map[string]any
				if err := v.Decode(&m); err != nil {
					t.Error(err)
				}
				clear(m)
			}
		})
	}
	wg.Wait()
	for i, is := range []string{h.String(), p.String(), doc.String(), v.String()} {
		if is != was[i] {
			t.Errorf("%s became %s", was[i], is)
		}
	}
}

// TestEmptyKeyAtARoot: only All finds it there.
func TestEmptyKeyAtARoot(t *testing.T) {
	h := half(t, `{"":5,"a":{"":6}}`)
	found := false
	for key, v := range h.All() {
		found = found || key == "" && v.String() == "5"
	}
	if got := h.At("").Kind(); !found || got != Object || h.At("a.").String() != "6" {
		t.Errorf("found by All: %t; the value at \"\" is of kind %v", found, got)
	}
}

// TestDefaultCannotBeAcknowledged: where nothing is desired, Change.Ack fails.
func TestDefaultCannotBeAcknowledged(t *testing.T) {
	c := oneChange(t, "a", `{"a":1}`, `{}`)
	if err := c.Ack(AckOK, "").Err(); c.Value.Exists() || !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if got := CauseNewTwin.String(); got != "another twin" {
		t.Errorf("CauseNewTwin is %q", got)
	}
}

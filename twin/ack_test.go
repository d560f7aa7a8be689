package twin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

func TestChangeAck(t *testing.T) {
	c := oneChange(t, "o.x", `{}`, `{"o":{"x":21.50}}`)
	if got, want := c.Ack(AckOK, "fine").String(), `{"o":{"x":{"ac":200,"ad":"fine","av":2,"value":21.50}}}`; got != want {
		t.Errorf("Ack is %s, want %s", got, want)
	}
	if got, want := c.Ack(AckOK, "").replaced().String(), `{"o":{"x":null}}`; got != want {
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

// TestAckOfAnyText: no text keeps an acknowledgement from being made.
func TestAckOfAnyText(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"valve stuck", "valve stuck"},
		{"two  blanks \"quoted\" <&> é€😀 ", "two  blanks \"quoted\" <&> é€😀 "},
		{"device said \xff\xfe", "device said \ufffd\ufffd"},
		{"half a rune \xe2\x82", "half a rune \ufffd\ufffd"},
		{"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
		{"first\nsecond\r\n\tthird\n", "first second   third "},
		{"\n\n", "  "},
		{"a\x00b\x1b[31mc\x7f\u0080\u0085d", "ab[31mc d"},
		{strings.Repeat("x", 300), strings.Repeat("x", 256)},
		{strings.Repeat("x", 255) + "\n€", strings.Repeat("x", 255) + " "},
		{strings.Repeat("x", 256) + "\n€", strings.Repeat("x", 256)},
		{strings.Repeat("x", 254) + "é€", strings.Repeat("x", 254) + "é"},
		{strings.Repeat("x", 253) + "é€", strings.Repeat("x", 253) + "é"},
		{strings.Repeat("€", 100), strings.Repeat("€", 85)},
		{strings.Repeat("\x00", 1e6) + "end", "end"},
	} {
		for name, p := range map[string]Patch{
			"Change.Ack": Change{Path: "a", Value: Set("v", 7).At("v"), Version: 3}.Ack(AckFailed, tt.text),
			"Ack":        Replace("a", Ack{Value: 7, Code: AckFailed, Version: 3, Description: tt.text}),
			"AckOf":      AckOf(tree.Key{}, Change{Path: "a", Value: Set("v", 7).At("v"), Version: 3}, errors.New(tt.text), nil),
		} {
			if err := Validate(Properties{}, p); err != nil {
				t.Errorf("%s of %.20q: %v", name, tt.text, err)
			}
			var got string
			if err := p.At("a.ad").Decode(&got); got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("%s of %.20q: got %q, want %q", name, tt.text, got, tt.want)
			}
		}
	}
}

func FuzzAckText(f *testing.F) {
	for _, s := range []string{"", "valve stuck", "a\nb\x00c\xff\xfe", strings.Repeat("€", 90), "\u0085\u2028\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := ackText(s)
		if !utf8.ValidString(got) || len(got) > maxAckText || strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("%q became %q", s, got)
		}
		if ackText(got) != got {
			t.Fatalf("%q, cleaned twice, became %q", got, ackText(got))
		}
		if utf8.ValidString(s) && len(s) <= maxAckText && !strings.ContainsFunc(s, unicode.IsControl) && got != s {
			t.Fatalf("%q, which is clean, became %q", s, got)
		}
		p := Change{Path: "a", Value: Set("v", s).At("v"), Version: 3}.Ack(AckFailed, s)
		if utf8.ValidString(s) {
			if err := Validate(Properties{}, p); err != nil {
				t.Fatalf("%q: %v", s, err)
			}
		}
	})
}

// TestAckThatCannotEcho: the answer to a value that the hub would not take back
// says so, and has none.
func TestAckThatCannotEcho(t *testing.T) {
	wide := `{"k":"` + strings.Repeat("x", 4000) + `"}`
	for i := range 8 {
		wide = fmt.Sprintf(`{"k%d":"%s","o":%s}`, i, strings.Repeat("x", 4000), wide)
	}
	for _, tt := range []struct {
		name, path, value string
		echoed            bool
		why               string
	}{
		{"nine levels", "a", nested(9, "1"), true, ""},
		{"ten levels", "a", nested(10, "1"), false, "depth: level 11"},
		{"arrays count", "a", strings.Repeat("[", 10) + strings.Repeat("]", 10), false, "depth"},
		{"below a path", "a.b.c", nested(8, "1"), false, "depth"},
		{"a scalar at the last level", "a.b.c.d.e.f.g.h.i.j", "5", true, ""},
		{"an object at the last level", "a.b.c.d.e.f.g.h.i.j", "{}", false, "depth"},
		{"as large as a half", "a", wide, false, "section size"},
		{"an integer that the hub should not hold", "a", "9007199254740993", false, "integer range"},
		{"null in an array", "a", "[null]", false, "null in an array"},
		{"a long string", "a", `"` + strings.Repeat("x", 5000) + `"`, false, "string length"},
		{"as much as is read", "a", `"` + strings.Repeat("x", tree.MaxText-2) + `"`, false, "cannot be echoed"},
	} {
		v, err := parseFromHub([]byte(tt.value))
		if err != nil {
			t.Fatal(err)
		}
		c := Change{Path: tt.path, Value: Value{n: v}, Version: 3}
		for code, text := range map[int]string{AckOK: "", AckBad: "too hot"} {
			p := c.Ack(code, text)
			if err := Validate(Properties{}, p); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			ack := p.At(tt.path)
			ac, ad := ack.At("ac").String(), ack.At("ad").String()
			switch {
			case ack.At("av").String() != "3" || !p.replaced().Exists():
				t.Errorf("%s: %v is no acknowledgement of version 3", tt.name, ack)
			case tt.echoed && (!ack.At("value").Equal(c.Value) || ac != fmt.Sprint(code)):
				t.Errorf("%s: %v, want the value and %d", tt.name, ack, code)
			case !tt.echoed && (ack.At("value").Exists() || ac != "500" || !strings.Contains(ad, tt.why)):
				t.Errorf("%s: %v, want 500 for %q without a value", tt.name, ack, tt.why)
			case !tt.echoed && (!strings.Contains(ad, fmt.Sprint(code)) || !strings.Contains(ad, text)):
				t.Errorf("%s: %v has lost the answer %d %q", tt.name, ack, code, text)
			}
		}
	}
	tooDeep := Change{Path: "a.b.c.d.e.f.g.h.i.j.k", Value: Set("v", 1).At("v"), Version: 3}.Ack(AckOK, "")
	var limit *LimitError
	if err := tooDeep.Err(); !errors.As(err, &limit) || limit.Limit != limitDepth {
		t.Errorf("a property too deep for any acknowledgement: %v, want a *LimitError of depth", err)
	}
	null := Change{Path: "a", Value: Delete("a").At("a"), Version: 3}.Ack(AckOK, "")
	if err := null.Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("null acknowledged: %v, want ErrInvalid", err)
	}
	none := Replace("a", Ack{Code: AckFailed, Version: 3})
	if got, want := Apply(Apply(Properties{}, Set("a", Ack{Value: 1})), none).String(), `{"a":{"ac":500,"av":3}}`; got != want {
		t.Errorf("an Ack without a value leaves %s, want %s", got, want)
	}
}

type oddError struct{ text *string }

func (e *oddError) Error() string { return *e.text }

func TestAckOf(t *testing.T) {
	c := Change{Path: "a", Value: Set("a", "x").At("a"), Version: 3}
	bad := Typed(func(context.Context, int, Change) error { return nil })(t.Context(), c)
	stuck := errors.New("stuck")
	for _, tt := range []struct {
		name   string
		result error
		want   string
	}{
		{"nil", nil, `"ac":200,"av":3`},
		{"an error", stuck, `"ac":500,"ad":"stuck","av":3`},
		{"a wrong type", bad, `"ac":400,"ad":"decode \"a\": json: cannot unmarshal string into Go value of type int","av":3`},
		{"named", &AckError{Code: 422, Text: "too fast"}, `"ac":422,"ad":"too fast","av":3`},
		{"named, with a cause", &AckError{Code: 422, Text: "too fast", Err: stuck}, `"ac":422,"ad":"too fast","av":3`},
		{"the text of the cause", &AckError{Code: AckPending, Err: stuck}, `"ac":202,"ad":"stuck","av":3`},
		{"no text", &AckError{Code: AckPending}, `"ac":202,"av":3`},
		{"wrapped", fmt.Errorf("set: %w", &AckError{Code: 422, Text: "too fast"}), `"ac":422,"ad":"too fast","av":3`},
		{"joined", errors.Join(stuck, &AckError{Code: 422, Text: "too fast"}), `"ac":422,"ad":"too fast","av":3`},
		{"the outer of two", &AckError{Code: 422, Err: &AckError{Code: 1, Text: "inner"}}, `"ac":422,"ad":"acknowledge with 1: inner","av":3`},
		{"no code", &AckError{Text: "no"}, `"ac":500,"ad":"no","av":3`},
		{"no code, and a wrong type", &AckError{Text: "no", Err: bad}, `"ac":400,"ad":"no","av":3`},
		{"nothing at all", &AckError{}, `"ac":500,"av":3`},
		{"a nil one", (*AckError)(nil), `"ac":500,"ad":"acknowledge: nil *AckError","av":3`},
		{"one whose text panics", (*oddError)(nil), `"ac":500,"ad":"<nil>","av":3`},
	} {
		p := AckOf(tree.Key{}, c, tt.result, nil)
		if got, want := p.String(), `{"a":{`+tt.want+`,"value":"x"}}`; got != want || Validate(Properties{}, p) != nil {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
	p := AckOf(tree.Key{}, c, &AckError{Code: 422, Text: "too fast"}, errors.New("the half is full"))
	if got, want := p.String(), `{"a":{"ac":500,"ad":"the value cannot be echoed: the half is full; the answer was 422 too fast","av":3}}`; got != want {
		t.Errorf("refused: %s, want %s", got, want)
	}
	if got, want := p.replaced().String(), `{"a":null}`; got != want {
		t.Errorf("refused: replaces %s, want %s", got, want)
	}
	if p := AckOf(tree.Key{}, c, nil, errors.New("\xff\n"+strings.Repeat("x", 1e5))); Validate(Properties{}, p) != nil {
		t.Errorf("refused for an odd reason: %v", p)
	}
}

func TestAckError(t *testing.T) {
	stuck := errors.New("stuck")
	for _, tt := range []struct {
		err  *AckError
		want string
	}{
		{&AckError{Code: 400, Text: "too fast", Err: stuck}, "twin: acknowledge with 400: too fast: stuck"},
		{&AckError{Code: 400, Text: "too fast"}, "twin: acknowledge with 400: too fast"},
		{&AckError{Code: 400, Err: stuck}, "twin: acknowledge with 400: stuck"},
		{&AckError{Err: stuck, Text: "x"}, "twin: acknowledge: x: stuck"},
		{&AckError{}, "twin: acknowledge"},
		{nil, "twin: acknowledge: nil *AckError"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		wrapped := fmt.Errorf("listener: %w", tt.err)
		var found *AckError
		if !errors.As(wrapped, &found) || found != tt.err {
			t.Errorf("%v is not found in %v", tt.err, wrapped)
		}
		if tt.err != nil && tt.err.Err != nil && !errors.Is(wrapped, stuck) {
			t.Errorf("%v does not match its cause", wrapped)
		}
	}
}

func ExampleChange_Ack() {
	half := Apply(Properties{}, Set("target", 21))
	c := Change{Path: "target", Value: half.At("target"), Version: 3, Cause: CauseStart}
	fmt.Println(c.Ack(AckOK, "reached"))
	// Output: {"target":{"ac":200,"ad":"reached","av":3,"value":21}}
}

// A listener that acknowledges names code and text in its error.
func ExampleAckError() {
	setFan := Typed(func(_ context.Context, rpm int, _ Change) error {
		if rpm > 3000 {
			return &AckError{Code: AckBad, Text: "rpm is at most 3000"}
		}
		return nil
	})
	half := Apply(Properties{}, Set("fan.rpm", 9000))
	err := setFan(context.Background(), Change{Path: "fan.rpm", Value: half.At("fan.rpm"), Version: 4})
	var ack *AckError
	fmt.Println(errors.As(err, &ack), err)
	// Output: true twin: acknowledge with 400: rpm is at most 3000
}

// TestAckMarksComponents: where the desired half marks a component, its
// acknowledgement does, too.
func TestAckMarksComponents(t *testing.T) {
	d := half(t, `{"t1":{"__t":"c","target":21,"o":{"x":1}},"plain":{"x":1}}`)
	for path, want := range map[string]string{
		"t1.target": `{"t1":{"__t":"c","target":{"ac":200,"av":3,"value":21}}}`,
		"t1.o.x":    `{"t1":{"__t":"c","o":{"x":{"ac":200,"av":3,"value":1}}}}`,
		"plain.x":   `{"plain":{"x":{"ac":200,"av":3,"value":1}}}`,
	} {
		c := Change{Path: path, Value: d.At(path), Version: 3, Desired: d}
		if got := c.Ack(AckOK, "").String(); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

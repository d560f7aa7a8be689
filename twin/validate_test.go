package twin

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func nested(levels int, inner string) string {
	return strings.Repeat(`{"a":`, levels) + inner + strings.Repeat("}", levels)
}

// TestLimits holds each limit of the hub one below, at, and one above, by the
// fixtures of the protocol reference, 14.4. An empty limit means: it passes.
func TestLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct{ name, patch, limit, path string }{
		{"key of 1023", `{"` + long(1023) + `":1}`, "", ""},
		{"key of 1024", `{"` + long(1024) + `":1}`, "", ""},
		{"key of 1025", `{"` + long(1025) + `":1}`, limitKeyLength, long(1025)},
		{"key of 1025 to delete", `{"` + long(1025) + `":null}`, limitKeyLength, long(1025)},
		{"key of 512 é", `{"` + strings.Repeat("é", 512) + `":1}`, "", ""},
		{"key of 513 é", `{"` + strings.Repeat("é", 513) + `":1}`, limitKeyLength, strings.Repeat("é", 513)},
		{"empty key", `{"":1}`, "", ""},
		{"M13 dot", `{"a.b":1}`, limitKeyCharacter, "a.b"},
		{"M13 dollar", `{"x":{"$x":1}}`, limitKeyCharacter, "x.$x"},
		{"M13 dollar within", `{"x$":1}`, limitKeyCharacter, "x$"},
		{"M13 space", `{"a b":1}`, limitKeyCharacter, "a b"},
		{"M13 hash", `{"a#":1}`, limitKeyCharacter, "a#"},
		{"C0 first", `{"\u0000":1}`, limitKeyCharacter, "\x00"},
		{"C0 last", `{"\u001f":1}`, limitKeyCharacter, "\x1f"},
		{"DEL", `{"\u007f":1}`, "", ""},
		{"C1 first", `{"\u0080":1}`, limitKeyCharacter, "\u0080"},
		{"C1 last", `{"\u009f":1}`, limitKeyCharacter, "\u009f"},
		{"after C1", `{"\u00a0":1}`, "", ""},
		{"other white space", `{"\u2003":1}`, "", ""},
		{"all other ASCII", `{"!\"%&'()*+,-/:;<=>?@[\\]^_` + "`" + `{|}~":1}`, "", ""},
		{"keys in arrays", `{"l":[{"a.b":1}]}`, limitKeyCharacter, "l.a.b"},
		{"keys to delete", `{"a b":null}`, limitKeyCharacter, "a b"},

		{"string of 4095", `{"s":"` + long(4095) + `"}`, "", ""},
		{"string of 4096", `{"s":"` + long(4096) + `"}`, "", ""},
		{"string of 4097", `{"s":"` + long(4097) + `"}`, limitString, "s"},
		{"string of 2048 é", `{"s":"` + strings.Repeat("é", 2048) + `"}`, "", ""},
		{"string of 2049 é", `{"s":"` + strings.Repeat("é", 2049) + `"}`, limitString, "s"},
		{"string in an array", `{"o":{"l":[1,"` + long(4097) + `"]}}`, limitString, "o.l"},
		{"empty string", `{"s":""}`, "", ""},

		{"integer below the top", `{"n":4503599627370494}`, "", ""},
		{"integer at the top", `{"n":4503599627370495}`, "", ""},
		{"integer above the top", `{"n":4503599627370496}`, limitInteger, "n"},
		{"integer above the bottom", `{"n":-4503599627370495}`, "", ""},
		{"integer at the bottom", `{"n":-4503599627370496}`, "", ""},
		{"integer below the bottom", `{"n":-4503599627370497}`, limitInteger, "n"},
		{"integer in an array", `{"n":[[4503599627370496]]}`, limitInteger, "n"},
		{"integer in an array in range", `{"n":[[4503599627370495]]}`, "", ""},
		{"a double above the top", `{"n":4503599627370496.0}`, "", ""},
		{"a double with exponent", `{"n":1e300}`, "", ""},
		{"a huge double", `{"n":1e999999999}`, "", ""},

		{"9 levels", nested(9, `{"v":1}`), "", ""},
		{"10 levels", nested(10, `{"v":1}`), "", ""},
		{"11 levels", nested(11, `{"v":1}`), limitDepth, "a.a.a.a.a.a.a.a.a.a.a"},
		{"11 levels, empty", nested(11, `{}`), limitDepth, "a.a.a.a.a.a.a.a.a.a.a"},
		{"11 levels of deletion", nested(11, `{"v":null}`), limitDepth, "a.a.a.a.a.a.a.a.a.a.a"},
		{"deletion at 11", nested(11, `null`), "", ""},
		{"array at 10", nested(10, `[1]`), "", ""},
		{"array at 11", nested(11, `[1]`), limitDepth, "a.a.a.a.a.a.a.a.a.a.a"},
		{"10 arrays", `{"a":` + strings.Repeat("[", 10) + strings.Repeat("]", 10) + `}`, "", ""},
		{"11 arrays", `{"a":` + strings.Repeat("[", 11) + strings.Repeat("]", 11) + `}`, limitDepth, "a"},

		{"M12 null in an array", `{"l":[1,null]}`, limitNull, "l"},
		{"null in an object in an array", `{"l":[{"x":null}]}`, limitNull, "l.x"},
		{"null in an array in an object", `{"o":{"l":[[null]]}}`, limitNull, "o.l"},
		{"null after an array", `{"l":[1],"z":null}`, "", ""},
		{"no null in an array", `{"l":[{"x":{}}]}`, "", ""},
		{"the first in order", `{"z":[null],"a b":1}`, limitKeyCharacter, "a b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantLimit(t, Validate(Properties{}, change(t, tt.patch)), tt.limit, tt.path)
		})
	}
}

func wantLimit(t *testing.T, err error, limit, path string) {
	t.Helper()
	if limit == "" {
		if err != nil {
			t.Errorf("got %v, want it to pass", err)
		}
		return
	}
	var got *LimitError
	if !errors.As(err, &got) || !errors.Is(err, ErrInvalid) || errors.Is(err, ErrSyntax) {
		t.Fatalf("got %v, want a *LimitError", err)
	}
	if got.Limit != limit || got.Path != path {
		t.Errorf("got %s at %q, want %s at %q", got.Limit, clip(got.Path), limit, clip(path))
	}
	if got.Got == "" || got.Max == "" || got.advice == "" || len(err.Error()) > 600 {
		t.Errorf("got %q: it does not say all", err)
	}
}

// fill is a half of count strings: each is 3 characters of key and the given
// number of runes.
func fill(count, runes int, r string) string {
	var members []string
	for i := range count {
		members = append(members, fmt.Sprintf(`"k%02d":"%s"`, i, strings.Repeat(r, runes)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestSectionLimit(t *testing.T) {
	full := fill(8, 4093, "x") // 8·(3+4093) = 32768
	tests := []struct{ name, base, patch, limit string }{
		{"one below", `{}`, strings.Replace(full, "xx", "x", 1), ""},
		{"full", `{}`, full, ""},
		{"one more character", full, `{"k00":"` + strings.Repeat("x", 4094) + `"}`, limitSection},
		{"a ninth key", full, `{"":""}`, ""}, // of no size
		{"a ninth key of one", full, `{"z":""}`, limitSection},
		{"a number more", full, `{"":1}`, limitSection},
		{"another of the same size", full, `{"k00":"` + strings.Repeat("y", 4093) + `"}`, ""},
		{"one for another", full, `{"k00":null,"k99":"` + strings.Repeat("x", 4093) + `"}`, ""},
		{"a deletion", full, `{"k00":null}`, ""},
		{"all at once", `{}`, fill(9, 4000, "x"), limitSection},
		{"too large, but smaller", fill(9, 4000, "x"), `{"k00":"x"}`, ""},
		{"too large, and as large", fill(9, 4000, "x"), `{"k00":"` + strings.Repeat("y", 4000) + `"}`, ""},
		{"too large, and larger", fill(9, 4000, "x"), `{"z":true}`, limitSection},
		{"controls do not count", full, `{"k00":"` + strings.Repeat("x", 4093) + `\u0001\u0002\u0003"}`, ""},
		{"bytes above, characters below", `{}`, fill(9, 2048, "é"), ""}, // 36891 bytes, 18459 characters
		{"UTF-16 above, characters below", `{}`, fill(17, 1000, "😀"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantLimit(t, Validate(half(t, tt.base), change(t, tt.patch)), tt.limit, "")
		})
	}
}

// TestSectionLimitNeedsEveryReading: a patch that trades bytes for characters
// grows in one reading and shrinks in another, so it passes.
func TestSectionLimitNeedsEveryReading(t *testing.T) {
	base := half(t, fill(20, 2000, "é")) // 40060 characters, 80060 bytes
	p := change(t, `{"k00":"`+strings.Repeat("x", 2001)+`"}`)
	after := Apply(base, p).sizes()
	if after.Runes <= base.sizes().Runes || after.Bytes >= base.sizes().Bytes {
		t.Fatalf("from %v to %v: the test tests nothing", base.sizes(), after)
	}
	wantLimit(t, Validate(base, p), "", "")
	wantLimit(t, Validate(base, change(t, `{"z":1}`)), limitSection, "")
}

func TestValidateSmall(t *testing.T) {
	if err := Validate(Properties{}, Patch{}); err != nil {
		t.Errorf("nothing on nothing: got %v", err)
	}
	err := Validate(Properties{}, Set("fan.name", strings.Repeat("x", 5000)))
	want := `twin: invalid data: "fan.name" breaks the limit on string length: 5000 bytes; allowed: 4096 bytes; ` +
		`shorten it; long texts belong into messages or files`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	err = Validate(Properties{}, Set("s", strings.Repeat("é", 2049)))
	if err == nil || !strings.Contains(err.Error(), "4098 bytes (2049 characters)") {
		t.Errorf("got %v, want bytes and characters told", err)
	}
}

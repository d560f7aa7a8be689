package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

func TestParseTexts(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"white space", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n", `{"a":[1,2],"b":{}}`},
		{"keys are sorted", `{"b":1,"a":2,"":3,"é":4,"Z":5}`, `{"":3,"Z":5,"a":2,"b":1,"é":4}`},
		{"the last of two wins", `{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{"the last of many", `{"a":1,"a":{"x":1},"a":[],"a":"z"}`, `{"a":"z"}`},
		{"one key, spelt two ways", `{"a":1,"\u0061":2}`, `{"a":2}`},
		{"a late null wins", `{"a":1,"a":null}`, `{"a":null}`},
		{"a late value wins", `{"a":null,"a":1}`, `{"a":1}`},
		{"numbers keep their text", `[0,-0,1.10,1E+21,1e999999999,-0.0e-0]`, `[0,-0,1.10,1E+21,1e999999999,-0.0e-0]`},
		{"escapes", `"\"\\\/\b\f\n\r\t\u0000\u001f\u007f\u00e9"`, `"\"\\/\b\f\n\r\t\u0000\u001f` + "\x7fé\""},
		{"surrogate pair", `"\ud83d\ude00\uD83D\uDE00"`, `"😀😀"`},
		{"replacement character", `"\ufffd�"`, `"��"`},
		{"html is text", `"<&>` + "\u2028" + `"`, `"<&>` + "\u2028" + `"`},
		{"escape then raw", `"\u00e9é€"`, `"éé€"`},
		{"words", `[true,false,null]`, `[true,false,null]`},
		{"keys like gjson's paths", `{"@this":1,"x*":2,"e|f":3,"a\\.b":4,"#":5,"..0":6,"!":7}`,
			`{"!":7,"#":5,"..0":6,"@this":1,"a\\.b":4,"e|f":3,"x*":2}`},
		{"a scalar", `-1`, `-1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := parseFromCaller([]byte(tt.text))
			if err != nil {
				t.Fatalf("got %v", err)
			}
			if got := string(tree.AppendJSON(nil, n)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			treetest.Sound(t, n)
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		text   string
		offset int
		reason string
	}{
		{``, 0, "too early"},
		{`  `, 2, "too early"},
		{"\xef\xbb\xbf{}", 0, "no value"},
		{`{} {}`, 3, "more text"},
		{`01`, 1, "more text"},
		{`-`, 1, "too early"},
		{`-x`, 1, "digit"},
		{`+1`, 0, "no value"},
		{`.5`, 0, "no value"},
		{`1.`, 2, "too early"},
		{`[1.]`, 3, "digit"},
		{`[1e]`, 3, "digit"},
		{`[1e+]`, 4, "digit"},
		{`NaN`, 0, "no value"},
		{`Infinity`, 0, "no value"},
		{`tru`, 3, "too early"},
		{`[trux]`, 4, "misspelt true"},
		{`[nulL]`, 4, "misspelt null"},
		{`[fAlse]`, 2, "misspelt false"},
		{`True`, 0, "no value"},
		{`[1,]`, 3, "no value"},
		{`[,1]`, 1, "no value"},
		{`[1 2]`, 3, "',' or ']'"},
		{`[1}`, 2, "',' or ']'"},
		{`{"a":1,}`, 7, "key"},
		{`{a:1}`, 1, "key"},
		{`{'a':1}`, 1, "key"},
		{`{1:1}`, 1, "key"},
		{`{"a" 1}`, 5, "':'"},
		{`{"a":}`, 5, "no value"},
		{`{"a":1 "b":2}`, 7, "',' or '}'"},
		{`{"a":1]`, 6, "',' or '}'"},
		{`{,}`, 1, "key"},
		{"\"a\nb\"", 2, "control character"},
		{"\"\\t\x01\"", 3, "control character"},
		{`"\x41"`, 2, "escape"},
		{`"\u12g4"`, 5, "hexadecimal"},
		{`"\u12`, 5, "too early"},
		{`"\`, 2, "too early"},
		{`"\uD800\u12"`, 11, "hexadecimal"},
		{"\"\xff\"", 1, "UTF-8"},
		{"\"\xc0\xaf\"", 1, "UTF-8"},
		{"\"\xed\xa0\x80\"", 1, "UTF-8"},
		{"\"\\n\xe2\x82\"", 1, "UTF-8"},
		{"\"\xe2\\u0082\xac\"", 1, "UTF-8"},
		{"{\"\xff\":1}", 2, "UTF-8"},
		{"\xff", 0, "no value"},
		{"[1,\x002]", 3, "no value"},
		{"{}\x00", 2, "more text"},
		{`// c`, 0, "no value"},
		{`{"a":1/**/}`, 6, "',' or '}'"},
		{`"\ud800"`, 1, "surrogate"},
		{`"\ude00\ud83d"`, 1, "surrogate"},
		{`"x\ud800\ud800"`, 2, "surrogate"},
		{`"\ud800x"`, 1, "surrogate"},
	}
	for _, tt := range tests {
		_, err := parseFromCaller([]byte(tt.text))
		var bad *SyntaxError
		if !errors.As(err, &bad) {
			t.Errorf("%q: got %v, want a *SyntaxError", tt.text, err)
			continue
		}
		if bad.Offset != tt.offset || !strings.Contains(bad.Reason, tt.reason) {
			t.Errorf("%q: got offset %d, %q; want %d, %q", tt.text, bad.Offset, bad.Reason, tt.offset, tt.reason)
		}
		if !errors.Is(err, ErrSyntax) || errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v matches the wrong sentinels", tt.text, err)
		}
	}
}

// TestParseLoneSurrogates: the hub's become U+FFFD, one for each, as
// encoding/json has it.
func TestParseLoneSurrogates(t *testing.T) {
	for _, text := range []string{
		`"\ud800"`, `"\ude00\ud83d"`, `"\ud800\ud83d\ude00"`, `"\ud800x\udfffy"`, `"\ud800\n"`, `"\udc00\u0041"`,
	} {
		n, err := parseFromHub([]byte(text))
		if err != nil {
			t.Errorf("%s: got %v", text, err)
			continue
		}
		var want string
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if n.Text != want {
			t.Errorf("%s: got %q, want %q", text, n.Text, want)
		}
	}
}

const goodDocument = `{"desired":{"climate":{"temperature":-21.5e0,"mode":"\u00e9\ud83d\ude00€\n","on":true},` +
	`"list":[1,null,{"x":false}],"none":null,"$metadata":{"$lastUpdated":"x"},"$version":4},` +
	`"reported":{"@this":{},"x*":[],"":0,"$version":7},"other":[{}]}`

// TestEveryPrefixFails feeds a good document cut short at every byte.
func TestEveryPrefixFails(t *testing.T) {
	if _, err := ParseDocument([]byte(goodDocument)); err != nil {
		t.Fatalf("the whole: got %v", err)
	}
	for i := range len(goodDocument) {
		cut := []byte(goodDocument[:i])
		var bad *SyntaxError
		if _, err := ParseDocument(cut); !errors.As(err, &bad) || bad.Offset != i {
			t.Errorf("first %d bytes: got %v, want a *SyntaxError at the end", i, err)
		}
		if _, _, err := ParseNotification(tree.Key{}, cut); !errors.Is(err, ErrSyntax) {
			t.Errorf("first %d bytes as a notification: got %v, want ErrSyntax", i, err)
		}
	}
}

// TestEveryByteWrong replaces every byte of a good document by some others.
func TestEveryByteWrong(t *testing.T) {
	for i := range len(goodDocument) {
		for _, c := range []byte("\x00\"\\{}[],:x0 -\xff\x80") {
			b := []byte(goodDocument)
			b[i] = c
			n, err := parseFromHub(b)
			if got, want := err == nil, json.Valid(b) && utf8.Valid(b); got != want {
				t.Errorf("byte %d as %q: got %v, want it taken: %v", i, c, err, want)
			}
			if i%8 == 0 {
				treetest.Sound(t, n)
			}
		}
	}
}

func TestParseBounds(t *testing.T) {
	nest := func(open, shut string, n int) string { return strings.Repeat(open, n) + strings.Repeat(shut, n) }
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"64 arrays", nest("[", "]", 64), true},
		{"65 arrays", nest("[", "]", 65), false},
		{"64 objects", nest(`{"a":`, "}", 63)[:5*63] + "{}" + strings.Repeat("}", 63), true},
		{"65 objects", nest(`{"a":`, "}", 64)[:5*64] + "{}" + strings.Repeat("}", 64), false},
		{"65 mixed", strings.Repeat(`[{"a":`, 32) + "[]" + strings.Repeat("}]", 32), false},
		{"64 mixed", strings.Repeat(`[{"a":`, 32) + "1" + strings.Repeat("}]", 32), true},
		{"512 KB", `"` + strings.Repeat("x", tree.MaxText-2) + `"`, true},
		{"512 KB and one", `"` + strings.Repeat("x", tree.MaxText-1) + `"`, false},
		{"512 KB of white space", strings.Repeat(" ", tree.MaxText), false},
		{"half a megabyte of brackets", strings.Repeat("[", tree.MaxText), false},
		{"half a megabyte of braces", strings.Repeat(`{"":`, tree.MaxText/4), false},
		{"one key of 512 KB", `{"` + strings.Repeat("k", tree.MaxText-6) + `":1}`, true},
		{"one number of 512 KB", strings.Repeat("9", tree.MaxText), true},
		{"one key, very often", "{" + strings.Repeat(`"k":1,`, 80_000) + `"k":2}`, true},
		{"many empty arrays", "[" + strings.Repeat("[],", 170_000) + "0]", true},
		{"escapes only", `"` + strings.Repeat(`\ud83d\ude00`, tree.MaxText/12-1) + `"`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := parseFromCaller([]byte(tt.text))
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want it taken: %v", err, tt.ok)
			}
			if err != nil && len(err.Error()) > 200 {
				t.Errorf("got an error of %d bytes", len(err.Error()))
			}
			if n != nil && string(tree.AppendJSON(nil, n)) == "" {
				t.Errorf("got no text")
			}
		})
	}
}

// TestParseManyKeys: keys in the worst order, and with long common beginnings.
func TestParseManyKeys(t *testing.T) {
	var keys []string
	for i := range 5000 {
		keys = append(keys, fmt.Sprintf("%s%05d", strings.Repeat("p", 60), i))
	}
	slices.Reverse(keys)
	text := `{"` + strings.Join(keys, `":1,"`) + `":1}`
	n, err := parseFromHub([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(n.Members()), len(keys); got != want {
		t.Errorf("got %d members, want %d", got, want)
	}
	for _, key := range keys {
		if n.Get(key) == nil {
			t.Fatalf("key %q is missing", key)
		}
	}
}

// TestParseKeepsNothingOfTheInput: the bytes stay the caller's.
func TestParseKeepsNothingOfTheInput(t *testing.T) {
	b := []byte(`{"key":"text","number":12345,"escaped":"\n"}`)
	n, err := parseFromHub(b)
	if err != nil {
		t.Fatal(err)
	}
	want := string(tree.AppendJSON(nil, n))
	for i := range b {
		b[i] = '!'
	}
	if got := string(tree.AppendJSON(nil, n)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestQuotedLikeEncodingJSON(t *testing.T) {
	for r := rune(0); r < 0x300; r++ {
		s := string(r) + "x"
		text := tree.AppendQuoted(nil, s)
		var got string
		if err := json.Unmarshal(text, &got); err != nil || got != s {
			t.Errorf("%U: wrote %s, read %q, %v", r, text, got, err)
		}
		if got, want := tree.QuotedLen(s), len(text); got != want {
			t.Errorf("%U: got length %d, want %d", r, got, want)
		}
	}
}

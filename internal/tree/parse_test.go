package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// modes are the ways to read a text, by gjson and as before.
func modes() []struct {
	name string
	read func(b []byte) (*Node, error)
	scan func(b []byte) (*Node, error)
} {
	scan := func(s scanner) func(b []byte) (*Node, error) {
		return func(b []byte) (*Node, error) {
			s := s
			s.b = b
			return s.parse()
		}
	}
	return []struct {
		name string
		read func(b []byte) (*Node, error)
		scan func(b []byte) (*Node, error)
	}{
		{"document", ParseDocument, scan(scanner{document: true})},
		{"from the hub", ParseFromHub, scan(scanner{})},
		{"from a caller", ParseFromCaller, scan(scanner{strict: true})},
	}
}

// compare reads a text in every mode and both ways. Trees and errors must be the
// same, with one exception: of half a surrogate pair and a mistake of syntax, the
// scanner reports what comes first, and ParseFromCaller the syntax.
func compare(t *testing.T, b []byte) {
	t.Helper()
	syntax := false
	for _, m := range modes() {
		got, err := m.read(b)
		want, wantErr := m.scan(b)
		switch {
		case (err == nil) != (wantErr == nil):
			t.Fatalf("%s: %.200q: got %v, want %v", m.name, b, err, wantErr)
		case err != nil:
			var g, w *SyntaxError
			if !errors.As(err, &g) || !errors.As(wantErr, &w) {
				t.Fatalf("%s: %.200q: got %T, want %T", m.name, b, err, wantErr)
			}
			if *g != *w && !(syntax && strings.Contains(w.Reason, "surrogate")) {
				t.Fatalf("%s: %.200q: got %v, want %v", m.name, b, err, wantErr)
			}
			syntax = true
		case !Identical(got, want) || got.Depth != want.Depth || got.Acts != want.Acts ||
			got.Size() != want.Size() || got.Wire() != want.Wire():
			t.Fatalf("%s: %.200q: got %s, want %s", m.name, b, AppendJSON(nil, got), AppendJSON(nil, want))
		}
	}
}

// corners are texts that gjson and JSON read differently, or that were hard for
// some parser.
var corners = []string{
	``, ` `, `0`, ` -0 `, `01`, `-`, `1.`, `1e`, `1E+`, `[1.]`, `1e400`, `-0.0e-00`, `+1`, `.5`, `NaN`, `nan`, `Inf`, `-inf`, `nul`, `nulx`, `trux`,
	`"`, `"\`, `"\u`, `"\u12`, `"\u12g4"`, `"\x41"`, `"\uD800"`, `"\uD800\u0041"`, `"\uD800\uD800\uDC00"`, `"\udc00\ud800"`, `"\ud83d\ude00"`,
	`"\\"`, `"\\\""`, `["\\","\\\\","\\\""]`, `{"\\":"\\","\"":1}`, `"\/\b\f\n\r\t\u0000\uFFFD"`,
	`{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `{"a":1 "b":2}`, `{1:2}`, `{,}`, `{"a"}`, `{"a",1}`, `{"a"::1}`,
	`[`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `{"a":1]`, `[]]`, `{}}`, `{} {}`, `[] x`, `1 2`, "{}\x00", "[1,\x002]", "\xef\xbb\xbf{}",
	`{"@this":1,"x*":2,"e|f":3,"a\\.b":4,"#":5,"..0":6,"!":7,"@pretty:{}":8,"?":9,"a.b":10}`, `{"a":{"@this":{"*":[{"#":1}]}}}`,
	`{"a":1,"a":2}`, `{"a":1,"\u0061":2,"a":null}`, `{"a":null,"a":{"b":null}}`, `{"a":[null,{"b":null}],"b":null}`, `{"":{"":{"":[]}}}`, `{"b":1,"a":2}`,
	"\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\"", "\"\xe2\\u0082\xac\"", "{\"\xff\":1}", "\"a\nb\"", "\"\x7f\u2028\"", "\xff", "[\xff]", `"é€😀"`,
	"\t[\r\n1 ,\t2 ]\n", "[1,\v2]", "[1,\u00a02]", `[true,false,null]`, `[tru,1]`, `[null1]`, `[1null]`, `["a""b"]`, `[{}{}]`, `[[][]]`,
	`("a")`, `[(1)]`, `{"a":(1)}`, `[1)]`, `// c`, `[1/**/]`, `['a']`,
}

func TestLikeTheScanner(t *testing.T) {
	for _, s := range corners {
		compare(t, []byte(s))
	}
	for _, n := range []int{MaxDepth - 1, MaxDepth, MaxDepth + 1} {
		compare(t, []byte(strings.Repeat("[", n)+strings.Repeat("]", n)))
		compare(t, []byte(strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n)))
		compare(t, []byte(strings.Repeat("]", n)+strings.Repeat("[", 2*n)))
		compare(t, []byte(strings.Repeat(`["]",`, n)+`"\"["`+strings.Repeat("]", n)))
	}
	for _, tt := range hostile(16 << 10) {
		compare(t, tt.text)
	}
}

// TestErrorsQuoteNothing: a text may hold what no log should.
func TestErrorsQuoteNothing(t *testing.T) {
	for _, text := range []string{`"secret\qsecret"`, `"secret\u12zz"`, `{"secret":secret}`, "\"secret\xff\"", `{"secret" "secret"}`, `[secret]`, `"secret`, `"\ud800secret"`} {
		if _, err := ParseFromCaller([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error that quotes nothing", text, err)
		}
	}
}

// hostile are texts of almost the given length, each the worst that is known for some step.
func hostile(bytes int) []struct {
	name string
	text []byte
} {
	fill := func(before, s, after string) []byte {
		n := (bytes - len(before) - len(after)) / len(s)
		return []byte(before + strings.Repeat(s, n) + after)
	}
	open, shut := strings.Repeat("[", MaxDepth-1), strings.Repeat("]", MaxDepth-1)
	tower := strings.Repeat("[", 60) + strings.Repeat("]", 60) + ","
	// Half-way between 0 and the smallest double: no shorter text tells which is nearer.
	denormal := new(big.Float).SetMantExp(big.NewFloat(1), -1075).Text('e', 500) + ","
	var descending strings.Builder
	for i := 0; descending.Len() < bytes-100; i++ {
		fmt.Fprintf(&descending, `"k%06d":1,`, 999_999-i)
	}
	return []struct {
		name string
		text []byte
	}{
		{"Towers", fill("[", tower, "0]")},
		{"DeepEscapes", fill(open+`"`, `\"`, `"`+shut)},
		{"DeepText", fill(open+`"`, `x`, `"`+shut)},
		{"DeepEmptyTexts", fill(open, `"",`, `0`+shut)},
		{"DeepShortTexts", fill(open, `"\"x",`, `0`+shut)},
		{"Denormals", fill("[", denormal, "0]")},
		{"Escapes", fill(`"`, `\\`, `"`)},
		{"Pairs", fill(`"`, `\ud83d\ude00`, `"`)},
		{"Halves", fill(`"`, `\ud83d`, `"`)},
		{"Digits", fill("", "9", "")},
		{"Zeros", fill("[", "0,", "0]")},
		{"EmptyArrays", fill("[", "[],", "0]")},
		{"OneKey", fill("{", `"k":1,`, `"k":1}`)},
		{"Descending", []byte("{" + descending.String() + `"k":1}`)},
		{"WrongAtTheEnd", fill("[", "[],", "x]")},
		{"WrongText", fill(`"`, `\"`, "\xff\"")},
		{"TooDeep", fill("", "[", "")},
	}
}

// BenchmarkHostile reads 512 KB of each. The bound is 120 ms on amd64.
func BenchmarkHostile(b *testing.B) {
	for _, tt := range hostile(MaxText) {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = ParseFromCaller(tt.text)
			}
		})
	}
}

// FuzzLikeTheScanner holds gjson and our checks to what the scanner did.
func FuzzLikeTheScanner(f *testing.F) {
	for _, s := range corners {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		compare(t, b)
		if valid := json.Valid(b); !valid {
			if _, err := ParseFromHub(b); err == nil {
				t.Fatalf("%q: taken, and it is no JSON", b)
			}
		}
	})
}

package bag_test

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/bag"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want []bag.Pair
	}{
		{"", nil},
		{"/", nil},
		{"?", nil},
		{"%24.mid=m-1&%24.ct=application%2Fjson%3Bcharset%3Dutf-8&%24.ce=utf-8&alert=true", []bag.Pair{
			{Key: "$.mid", Value: "m-1"}, {Key: "$.ct", Value: "application/json;charset=utf-8"},
			{Key: "$.ce", Value: "utf-8"}, {Key: "alert", Value: "true"}}},
		{"a~b-c_d.e=%21%2A%27%28%29&emoji=%F0%9F%98%80&=empty%20key&eq=a%3Db%26c&pct=100%25&sp=%20", []bag.Pair{
			{Key: "a~b-c_d.e", Value: "!*'()"}, {Key: "emoji", Value: "😀"}, {Key: "", Value: "empty key"},
			{Key: "eq", Value: "a=b&c"}, {Key: "pct", Value: "100%"}, {Key: "sp", Value: " "}}},
		{"a&b=&c=1%20x", []bag.Pair{{Key: "a", Null: true}, {Key: "b"}, {Key: "c", Value: "1 x"}}},
		{"$.mid=1", []bag.Pair{{Key: "$.mid", Value: "1"}}},
		{"%24.mid=1", []bag.Pair{{Key: "$.mid", Value: "1"}}},
		{"a=b=c", []bag.Pair{{Key: "a", Value: "b=c"}}},
		{"a=1&b=2&a=3", []bag.Pair{{Key: "a", Value: "3"}, {Key: "b", Value: "2"}}},
		{"a=1+1", []bag.Pair{{Key: "a", Value: "1+1"}}},
		{"?food=pizza", []bag.Pair{{Key: "food", Value: "pizza"}}},
		{"a=1/", []bag.Pair{{Key: "a", Value: "1"}}},
		{"a=1&&b=2&", []bag.Pair{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}},
	} {
		got, err := bag.Parse(c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"%zz", "a=%zz", "a=%", "a=%4", "a=%ff"} {
		if got, err := bag.Parse(text); !errors.Is(err, bag.ErrMalformed) {
			t.Errorf("Parse(%q) = %+v, %v; want ErrMalformed", text, got, err)
		}
	}
}

// FuzzParse holds what Parse returns to be the text's own: encoded again by the
// other end's rules, it reads the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "/", "?a=b", "%24.mid=1&$.mid=2", "a&b=&c=1%20x", "a=b=c", "%zz", "=x", "&&=&", "a=%F0%9F%98%80", "a=%ff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pairs, err := bag.Parse(text)
		if err != nil {
			if pairs != nil {
				t.Fatalf("Parse(%q) = %v beside %v", text, pairs, err)
			}
			return
		}
		var parts []string
		seen := map[string]bool{}
		for _, p := range pairs {
			if seen[p.Key] || !utf8.ValidString(p.Key+p.Value) || p.Null && p.Value != "" {
				t.Fatalf("Parse(%q) has %+v", text, p)
			}
			seen[p.Key] = true
			part := url.QueryEscape(p.Key)
			if !p.Null {
				part += "=" + url.QueryEscape(p.Value)
			}
			parts = append(parts, strings.ReplaceAll(part, "+", "%20"))
		}
		again, err := bag.Parse(strings.Join(parts, "&"))
		if err != nil || len(again) != len(pairs) || len(pairs) > 0 && !reflect.DeepEqual(again, pairs) {
			t.Fatalf("Parse(%q) = %+v, then %+v, %v", text, pairs, again, err)
		}
	})
}

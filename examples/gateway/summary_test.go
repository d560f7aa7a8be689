package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/devicetwin/devicetwin-go/transport"
)

func TestSummary(t *testing.T) {
	lost := fmt.Errorf("%w: EOF", transport.ErrLost)
	reset := fmt.Errorf("%w: reset by peer", transport.ErrLost)
	refused := fmt.Errorf("%w (401)", transport.ErrUnauthorized)
	odd := errors.New("the modem sings")
	tests := []struct {
		desc string
		all  []standing
		want string
		same []standing // that would be no news
	}{
		{"nobody", nil, "0 of 0 online", nil},
		{"all well", []standing{{"a", true, nil}, {"b", true, nil}}, "2 of 2 online",
			[]standing{{"c", true, nil}, {"d", true, nil}}},
		{"at the start", []standing{{"a", false, nil}, {"b", true, nil}}, "1 of 2 online, 1 connecting", nil},
		{"a wrong key", []standing{{"a", true, nil}, {"b", false, refused}},
			"1 of 2 online\n  b: " + refused.Error(), nil},
		{"a line lost, in several words", []standing{{"a", false, lost}, {"b", false, reset}, {"c", false, refused}},
			"0 of 3 online\n  a and 1 more: " + lost.Error() + "\n  c: " + refused.Error(),
			[]standing{{"a", false, reset}, {"b", false, reset}, {"c", false, refused}}},
		{"what nobody knows", []standing{{"a", false, odd}, {"b", false, errors.New("x")}},
			"0 of 2 online\n  a and 1 more: the modem sings", nil},
	}
	seen := map[string]string{}
	for _, tt := range tests {
		got, news := summary(tt.all)
		if got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.desc, got, tt.want)
		}
		if other := seen[news]; other != "" {
			t.Errorf("%s: it would be no news after: %s", tt.desc, other)
		}
		seen[news] = tt.desc
		if tt.same != nil {
			if _, again := summary(tt.same); again != news {
				t.Errorf("%s: got news %q; want none after %q", tt.desc, again, news)
			}
		}
	}
}

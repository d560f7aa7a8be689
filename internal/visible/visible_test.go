package visible_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// unseen are characters that nobody sees, of every class that has some.
func unseen() []string {
	return strings.Split("\t|\n|\r|\v|\x00|\x1b|\x7f|\u0085|\u00a0|\u00ad|\u034f|\u061c|\u115f|\u1680|\u180e|\u2000|\u200a|\u200b|\u200c|\u200d|\u200e|\u202a|\u202f|\u205f|\u2060|\u2065|\u2066|\u2800|\u3000|\u3164|\ufe0f|\ufeff|\uffa0|\ufff0|\ufff8|\U00016fe4|\U0001d159|\U000e0001|\U000e0101", "|")
}

func TestTrim(t *testing.T) {
	for _, c := range unseen() {
		if got := visible.Trim(c + " a b" + c + c); got != "a b" {
			t.Errorf("Trim around %+q: got %+q, want %q", c, got, "a b")
		}
	}
	if got := visible.Trim("a" + "\u00e4"); got != "a\u00e4" {
		t.Errorf("Trim took a letter: %q", got)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range unseen() {
		err := visible.Check("secret"+c+"more", "")
		if err == nil || !strings.Contains(err.Error(), "invisible character") || !strings.Contains(err.Error(), "at byte 6") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+q: got %v, want its place and nothing of the text", c, err)
		}
	}
	for _, good := range []string{"", "a b", "gerät", "日本", "a\nb"} {
		if err := visible.Check(good, "\n"); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, s := range []string{"\xff\xfea\x00b\x00", "\xfe\xff\x00a\x00b", "a\x00b\x00c\x00", "\x00a\x00b"} {
		if err := visible.Check(s, ""); err == nil || !strings.Contains(err.Error(), "UTF-16") {
			t.Errorf("%q: got %v, want a word about UTF-16", s, err)
		}
	}
	if err := visible.Check("ab\xffc", ""); err == nil || !strings.Contains(err.Error(), "byte 2") {
		t.Errorf("broken UTF-8: got %v", err)
	}
}

// FuzzCheck: what was trimmed has no invisible edge, and what passes Check is
// whole UTF-8.
func FuzzCheck(f *testing.F) {
	for _, c := range unseen() {
		f.Add("a" + c)
	}
	f.Fuzz(func(t *testing.T, s string) {
		trimmed := visible.Trim(s)
		if again := visible.Trim(trimmed); again != trimmed || !strings.Contains(s, trimmed) {
			t.Fatalf("%q is trimmed to %q, and that to %q", s, trimmed, again)
		}
		if visible.Check(s, "") == nil && !utf8.ValidString(s) {
			t.Fatalf("%q passes", s)
		}
	})
}

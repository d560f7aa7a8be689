package tree

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestEqualNumbers(t *testing.T) {
	big := strings.Repeat("9", 100_000)
	tests := []struct {
		a, b string
		want bool
	}{
		{"1", "1", true},
		{"1.10", "1.1", true},
		{"1.1", "11e-1", true},
		{"11e-1", "0.11E+1", true},
		{"0", "-0", true},
		{"0", "0.000", true},
		{"0e5", "-0.0E-99", true},
		{"1", "-1", false},
		{"1", "2", false},
		{"1", "10", false},
		{"100", "1e2", true},
		{"100", "1e3", false},
		{"1000000000000000000000", "1E+21", true},
		{"0.001", "1e-3", true},
		{"0.001", "1e-03", true},
		{"12e2", "120e1", true},
		{"9007199254740993", "9007199254740992", false},
		{"0.1", "0.1000000000000000055511151231257827", false},
		{"1e999999999", "1e999999998", false},
		{"10e999999998", "1e999999999", true},
		{"1e-999999999", "1e999999999", false},
		{"1e99999999999999999999999999", "10e99999999999999999999999998", true},
		{"1e99999999999999999999999999", "1e99999999999999999999999998", false},
		{"1e10000000000000000000000000", "10e9999999999999999999999999", true},
		{"1e-10000000000000000000000000", "0.1e-9999999999999999999999999", true},
		{"1e" + big, "1e" + big, true},
		{"1e" + big, "1e-" + big, false},
		{"1e" + big, "10e" + big, false},
		{"1e1" + strings.Repeat("0", 100_000), "10e" + big, true},
		{"0." + strings.Repeat("0", 99_999) + "1", "1e-100000", true},
		{"0." + strings.Repeat("0", 99_999) + "1", "1e-100001", false},
		{big, big + ".0", true},
	}
	for _, tt := range tests {
		if got := EqualNumbers(tt.a, tt.b); got != tt.want {
			t.Errorf("%s = %s: got %v, want %v", clip(tt.a), clip(tt.b), got, tt.want)
		}
		if got := EqualNumbers(tt.b, tt.a); got != tt.want {
			t.Errorf("%s = %s: got %v, want %v", clip(tt.b), clip(tt.a), got, tt.want)
		}
	}
}

// TestEqualNumbersByRat asks big.Rat about numbers close enough to be equal
// now and then.
func TestEqualNumbersByRat(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const cases = 20000
	equals := 0
	for range cases {
		a, b := literal(rnd), literal(rnd)
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		want := x.Cmp(y) == 0
		if want {
			equals++
		}
		if got := EqualNumbers(a, b); got != want {
			t.Fatalf("%s = %s: got %v, want %v", a, b, got, want)
		}
	}
	if equals < cases/100 {
		t.Errorf("got %d equal pairs of %d: the test tests little", equals, cases)
	}
}

func literal(r *rand.Rand) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	return pick("", "", "-") + pick("0", "1", "10", "100", "11") + pick("", ".0", ".1", ".01", ".10") +
		pick("", "", "e0", "e1", "E-1", "e+2", "e-02")
}

func TestIntegerRange(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{"0", true},
		{"-0", true},
		{"4503599627370495", true},
		{"4503599627370496", false},
		{"-4503599627370496", true},
		{"-4503599627370497", false},
		{"9999999999999999", false},
		{"10000000000000000", false},
		{"999999999999999", true},
		{"-999999999999999", true},
		{"-99999999999999999", false},
		{"4503599627370496.0", true}, // a double, in some reading
		{"4.503599627370496e15", true},
		{"1e400", true},
		{strings.Repeat("9", 10_000), false},
	}
	for _, tt := range tests {
		if got := InRange(tt.text); got != tt.want {
			t.Errorf("%s: got %v, want %v", clip(tt.text), got, tt.want)
		}
	}
}
func clip(s string) string { return s[:min(len(s), 128)] }

package tree

import "strings"

// A decimal is a number literal taken apart: ±0.digits × 10^(shift+exponent).
// The exponent stays text, since JSON sets it no bound.
type decimal struct {
	negative    bool
	digits      string // no zero at either end; empty for 0
	shift       int64
	expNegative bool
	exponent    string // digits, maybe with leading zeros
}

// parseDecimal takes a valid JSON number literal apart, in linear time.
func parseDecimal(text string) decimal {
	var d decimal
	text, d.negative = strings.CutPrefix(text, "-")
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		d.exponent, d.expNegative = strings.CutPrefix(text[i+1:], "-")
		d.exponent = strings.TrimPrefix(d.exponent, "+")
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	all := whole + fraction
	d.digits = strings.TrimLeft(all, "0")
	d.shift = int64(len(whole) - (len(all) - len(d.digits)))
	d.digits = strings.TrimRight(d.digits, "0")
	return d
}

// EqualNumbers compares two number literals by exact decimal value: 1.10,
// 1.1 and 11e-1 are equal, and so are 0 and -0. It costs linear time in the
// text, however large the number.
func EqualNumbers(a, b string) bool {
	if a == b {
		return true
	}
	x, y := parseDecimal(a), parseDecimal(b)
	if x.digits != y.digits {
		return false
	}
	if x.digits == "" {
		return true
	}
	if x.negative != y.negative {
		return false
	}
	gap, near := exponentGap(x, y)
	return near && gap == y.shift-x.shift
}

// farExponents is a gap between exponents that no text can bridge by moving
// its decimal point: a number has fewer digits.
const farExponents = 1 << 50

// exponentGap is x's exponent minus y's; not near when beyond farExponents.
func exponentGap(x, y decimal) (gap int64, near bool) {
	for i := max(len(x.exponent), len(y.exponent)); i > 0; i-- {
		gap = 10*gap + digitAt(x, i) - digitAt(y, i)
		// From here on the gap only grows: a digit adds 18 at most.
		if gap > farExponents || gap < -farExponents {
			return 0, false
		}
	}
	return gap, true
}

// digitAt is the exponent's i-th digit from the right, signed.
func digitAt(d decimal, i int) int64 {
	if i > len(d.exponent) {
		return 0
	}
	digit := int64(d.exponent[len(d.exponent)-i] - '0')
	if d.expNegative {
		return -digit
	}
	return digit
}

// The range of integers that the hub stores: 53 bits, signed.
const (
	MinInteger = "-4503599627370496"
	MaxInteger = "4503599627370495"
)

// InRange reports whether a number literal is within the hub's range of
// integers. Only a literal without fraction and exponent is an integer in
// every reading of the documentation; 1.0 and 1e20 are doubles in some, and so
// pass.
func InRange(text string) bool {
	if strings.ContainsAny(text, ".eE") {
		return true
	}
	limit := MaxInteger
	if text[0] == '-' {
		limit = MinInteger
	}
	// Without leading zeros, longer is larger; and as long, text orders as
	// numbers do.
	return len(text) < len(limit) || len(text) == len(limit) && text <= limit
}

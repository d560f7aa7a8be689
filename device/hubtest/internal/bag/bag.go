// Package bag reads the property bag that ends the topic of a message over MQTT.
package bag

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Pair is one property of a bag, decoded.
type Pair struct {
	Key, Value string
	// Null says that there was no "=" behind the key.
	Null bool
}

// ErrMalformed says that a text is no property bag.
var ErrMalformed = errors.New("malformed property bag")

// Parse reads a bag such as "%24.mid=1&alert=true", in which a key that comes
// twice has its last value. One slash may end the bag, as the .NET and Java SDKs
// send it, and a question mark may begin it.
func Parse(text string) ([]Pair, error) {
	text = strings.TrimPrefix(strings.TrimSuffix(text, "/"), "?")
	var pairs []Pair
	at := map[string]int{}
	for part := range strings.SplitSeq(text, "&") {
		if part == "" {
			continue
		}
		key, value, given := strings.Cut(part, "=")
		key, err1 := decode(key)
		value, err2 := decode(value)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		p := Pair{Key: key, Value: value, Null: !given}
		if i, ok := at[key]; ok {
			pairs[i] = p
			continue
		}
		at[key] = len(pairs)
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// decode takes the percent-encoding off. A plus sign is no space. What it returns
// shares no memory with the text, which is a piece of a topic.
func decode(text string) (string, error) {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out = append(out, text[i])
			continue
		}
		if len(text)-i < 3 {
			return "", fmt.Errorf("%w: %.100q ends inside an escape", ErrMalformed, text)
		}
		b, err := hex.DecodeString(text[i+1 : i+3])
		if err != nil {
			return "", fmt.Errorf("%w: %q is no escape", ErrMalformed, text[i:i+3])
		}
		out = append(out, b...)
		i += 2
	}
	if !utf8.Valid(out) {
		return "", fmt.Errorf("%w: %.100q is not UTF-8", ErrMalformed, out)
	}
	return string(out), nil
}

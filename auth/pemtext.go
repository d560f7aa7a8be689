package auth

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// maxPEMText bounds what ParsePEM reads: all the roots that a system has take
// less than 1 MB, and with their texts some 2 MB.
const maxPEMText = 4 << 20

// ParsePEM reads every PEM block of a text. In contrast to pem.Decode nothing
// vanishes: a block that cannot be read is an error, which names it by number and
// says what is wrong, and so is anything between blocks and after them that looks
// like the begin, the end or the inside of one. Other text there is skipped.
//
// It reads what editors, shells and other programs make of a file: a byte-order
// mark before a block, indented lines, lines that are joined or have a "\n"
// written out, and blocks that follow each other without a line break. It reads
// up to 4 MB.
//
// Errors match ErrInvalid and quote nothing of a block.
func ParsePEM(_ own.Key, text []byte) ([]*pem.Block, error) {
	if len(text) > maxPEMText {
		return nil, fmt.Errorf("%w: the PEM text has %d bytes; at most %d are read", ErrInvalid, len(text), maxPEMText)
	}
	if visible.IsUTF16(text) {
		return nil, fmt.Errorf("%w: the PEM text is UTF-16, as Windows writes it; save it as UTF-8", ErrInvalid)
	}
	r := pemReader{text: strings.NewReplacer(`\r\n`, "\n", `\r`, "\n", `\n`, "\n", "\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n").Replace(string(text))}
	var all []*pem.Block
	for {
		b, err := r.next()
		if err != nil {
			return nil, fmt.Errorf("%w: PEM block %d %w", ErrInvalid, len(all)+1, err)
		}
		if b == nil {
			return all, nil
		}
		all = append(all, b)
	}
}

// A pemReader is where ParsePEM is in its text.
type pemReader struct {
	text string
	at   int
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemRule  = "-----"
)

// next reads the next block, or nil at the end.
func (r *pemReader) next() (*pem.Block, error) {
	begin := strings.Index(r.text[r.at:], pemBegin)
	gap := r.text[r.at:]
	if begin >= 0 {
		gap = gap[:begin]
	}
	line := 1 + strings.Count(r.text[:r.at], "\n")
	if strings.Contains(gap, "-\x00-\x00") { // a file that was joined to another
		return nil, fmt.Errorf("cannot be read: it is UTF-16, as Windows writes it, from line %d on; save all of it as UTF-8", line)
	}
	run, width := "", 0 // lines of base64 of one width, joined: some programs make them short
	for text := range strings.SplitSeq(gap, "\n") {
		text = strings.Trim(visible.Trim(text), `"',;\ `)
		if len(text) != width || !isBase64(text) {
			run, width = "", len(text)
		}
		if isBase64(text) {
			run += text
		}
		if isRemains(text) || isBase64Line(run) {
			return nil, fmt.Errorf("cannot be read: line %d looks like a part of one, and is none; copy it whole, with its BEGIN and END lines", line)
		}
		line++
	}
	if begin < 0 {
		return nil, nil
	}
	r.at += begin + len(pemBegin)
	kind, ok := r.label()
	if !ok {
		return nil, fmt.Errorf("has a damaged BEGIN line; it is like %sCERTIFICATE%s", pemBegin, pemRule)
	}
	body, _, found := strings.Cut(r.text[r.at:], pemRule)
	r.at += len(body)
	if !found || !strings.HasPrefix(r.text[r.at:], pemEnd) {
		return nil, fmt.Errorf("(%s) has no END line; copy it whole", kind)
	}
	r.at += len(pemEnd)
	if end, ok := r.label(); !ok {
		return nil, fmt.Errorf("(%s) has a damaged END line", kind)
	} else if end != kind {
		return nil, fmt.Errorf("(%s) ends as %s; copy it whole", kind, end)
	}
	if rest := strings.TrimLeft(r.text[r.at:], "-"); strings.HasPrefix(rest, pemBegin[len(pemRule):]) {
		r.at = len(r.text) - len(rest) - len(pemRule) // this END line and the next BEGIN line may share dashes
	}
	b, err := parseBlock(kind, body)
	if err != nil {
		return nil, fmt.Errorf("(%s) %w", kind, err)
	}
	return b, nil
}

// label reads what a block is, up to the dashes behind it. It is quoted in errors,
// and so has to look like one.
func (r *pemReader) label() (string, bool) {
	const longest = 40
	kind, _, found := strings.Cut(r.text[r.at:min(len(r.text), r.at+longest+len(pemRule))], pemRule)
	if !found || kind == "" || strings.ContainsFunc(kind, func(c rune) bool {
		return !('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(" .#", c))
	}) {
		return "", false
	}
	r.at += len(kind) + len(pemRule)
	return kind, true
}

// parseBlock reads what is between the BEGIN and END lines: headers, and base64.
func parseBlock(kind, body string) (*pem.Block, error) {
	b := &pem.Block{Type: kind, Headers: map[string]string{}}
	line := 1
	for {
		first, rest, more := strings.Cut(body, "\n")
		name, value, isHeader := strings.Cut(first, ":")
		if !more || !isHeader && strings.TrimSpace(first) != "" {
			break
		}
		if isHeader {
			b.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
		body = rest
		line++
	}
	if err := visible.Check(body, "\r\n\t"); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	var digits strings.Builder
	for _, c := range body {
		switch {
		case c == '\n':
			line++
		case c == ' ' || c == '\t' || c == '\r':
		case isAlnum(c) || c == '+' || c == '/' || c == '=':
			digits.WriteRune(c)
		default:
			return nil, fmt.Errorf("holds a character that is not base64, in its line %d; copy it whole", line)
		}
	}
	if digits.Len() == 0 {
		return nil, fmt.Errorf("is empty")
	}
	var err error
	if b.Bytes, err = base64.StdEncoding.DecodeString(digits.String()); err != nil {
		return nil, fmt.Errorf("is not whole base64: it has %d characters, and one or more are lost or too many; copy it whole", digits.Len())
	}
	return b, nil
}

// isRemains reports whether a line outside of all blocks looks like a part of one:
// a BEGIN or END line that lost a dash or was made of others, or base64.
func isRemains(line string) bool {
	const dashes = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"
	line = strings.Map(func(c rune) rune {
		if strings.ContainsRune(dashes, c) {
			return '-'
		}
		return c
	}, visible.Trim(line))
	upper := upperASCII(line)
	isLabel := func(s string) bool {
		return strings.Contains(s, "CERTIFICATE") || strings.Contains(s, " KEY") || strings.Contains(s, "PKCS7")
	}
	if isLabel(line) && strings.Contains(line, "----") {
		return true
	}
	for _, word := range []string{"BEGIN", "END"} {
		for rest, at := upper, 0; ; {
			i := strings.Index(rest, word)
			if i < 0 {
				break
			}
			at += i
			before, after := upper[:at], upper[at+len(word):]
			shouted := line[at:at+len(word)] == word
			dashed := strings.HasSuffix(strings.TrimRight(before, " "), "-") || strings.HasPrefix(strings.TrimLeft(after, " "), "-")
			switch {
			case shouted && strings.HasSuffix(before, "--") && !startsWithLetter(after), // -----BEGIN, cut
				shouted && strings.HasPrefix(after, "--") && !endsInLetter(before), // BEGIN-----
				dashed && isLabel(after),                      // ----begin certificate-----
				shouted && before == "" && isLabel(line[at:]): // BEGIN CERTIFICATE
				return true
			}
			at += len(word)
			rest = upper[at:]
		}
	}
	return isBase64Line(line)
}

func startsWithLetter(s string) bool { return s != "" && isAlnum(rune(s[0])) }

func endsInLetter(s string) bool { return s != "" && isAlnum(rune(s[len(s)-1])) }

// isBase64Line reports whether a line is nothing but base64, and long: no text
// that a person writes.
func isBase64Line(line string) bool {
	const shortest = 40
	if len(line) < shortest {
		return false
	}
	var upper, lower, digit, beyondHex bool
	for _, c := range strings.ReplaceAll(line, "=", "") {
		switch {
		case '0' <= c && c <= '9':
			digit = true
		case 'A' <= c && c <= 'Z':
			upper, beyondHex = true, beyondHex || c > 'F'
		case 'a' <= c && c <= 'z':
			lower, beyondHex = true, beyondHex || c > 'f'
		}
	}
	return isBase64(line) && upper && lower && digit && beyondHex
}

// isBase64 reports whether a line may be one of base64, as far as its characters
// tell.
func isBase64(line string) bool {
	const shortest = 16 // words are not
	return len(line) >= shortest && !strings.ContainsFunc(strings.TrimRight(line, "="), func(c rune) bool { return !isAlnum(c) && c != '+' && c != '/' })
}

func upperASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

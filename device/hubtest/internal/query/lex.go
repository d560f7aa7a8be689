package query

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// tokenKind is what a piece of a query is.
type tokenKind uint8

const (
	lexEnd     tokenKind = iota
	tokenWord            // a keyword, a path, or a function's name
	tokenText            // a string
	tokenNum             // a number
	tokenPunct           // an operator, a bracket, a comma
)

// lexeme is one piece of a query.
type lexeme struct {
	kind tokenKind
	text string   // a word as written, a string's content, a number, or a sign
	path []string // a word's parts
	at   int      // where it begins, in bytes
}

// is reports whether it is that keyword or sign, in any case.
func (l lexeme) is(word string) bool {
	return (l.kind == tokenWord || l.kind == tokenPunct) && strings.EqualFold(l.text, word)
}

func (l lexeme) String() string {
	if l.kind == lexEnd {
		return "the end"
	}
	return strconv.Quote(l.text)
}

// lexer takes a query apart.
type lexer struct {
	text string
	pos  int
}

// lex takes a query apart; the last lexeme is the end.
func lex(text string) ([]lexeme, *fault.Fault) {
	if jsondoc.UTF16Len(text) > maxQuery {
		return nil, fault.New(fault.Invalid, "The query has more than %d characters.", maxQuery)
	}
	if !utf8.ValidString(text) {
		return nil, fault.New(fault.Format, "The query is not UTF-8.")
	}
	x := lexer{text: text}
	var all []lexeme
	for {
		l, f := x.next()
		if f != nil {
			return nil, f
		}
		all = append(all, l)
		if l.kind == lexEnd {
			return all, nil
		}
	}
}

func (x *lexer) next() (lexeme, *fault.Fault) {
	for x.pos < len(x.text) && strings.IndexByte(" \t\r\n", x.text[x.pos]) >= 0 {
		x.pos++
	}
	l := lexeme{at: x.pos}
	if x.pos == len(x.text) {
		return l, nil
	}
	rest := x.text[x.pos:]
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case r == '\'' || r == '"':
		return x.quoted(byte(r))
	case isDigit(r) || r == '-' && len(rest) > 1 && isDigit(rune(rest[1])):
		return x.number()
	case isWordRune(r) || strings.HasPrefix(rest, "[["):
		return x.word()
	}
	for _, sign := range []string{"!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", "*"} {
		if strings.HasPrefix(rest, sign) {
			l.kind, l.text = tokenPunct, sign
			x.pos += len(sign)
			return l, nil
		}
	}
	return l, syntaxFault(l.at, "%q has no meaning here", r)
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isWordRune(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// word reads a keyword or a path. A key with other signs in it stands in
// double brackets.
func (x *lexer) word() (lexeme, *fault.Fault) {
	l := lexeme{kind: tokenWord, at: x.pos}
	keyword := ""
	for {
		from := x.pos
		part, f := x.part()
		if f != nil {
			return l, f
		}
		if isReserved(x.text[from:x.pos]) {
			keyword = part
		}
		l.path = append(l.path, part)
		if !strings.HasPrefix(x.text[x.pos:], ".") {
			break
		}
		x.pos++
	}
	l.text = x.text[l.at:x.pos]
	if keyword != "" && len(l.path) > 1 && !l.is(fromModules) && !l.is(fromJobs) {
		return l, syntaxFault(l.at, "%q is a keyword; as a name write [[%s]]", keyword, keyword)
	}
	return l, nil
}

// Collections whose names have two parts.
const (
	fromModules = "devices.modules"
	fromJobs    = "devices.jobs"
)

// isReserved reports whether a word is one of the language's own, which name no
// property unless they are in double brackets. The list is that of Azure
// Digital Twins, whose language shares it: DEVICES is in it.
func isReserved(word string) bool {
	return slices.ContainsFunc([]string{
		"ALL", "AND", "AS", "ASC", "AVG", "BY", "COUNT", "DESC", "DEVICES", "DEVICES_JOBS", "DEVICES_MODULES", "ENDS_WITH",
		"FALSE", "FROM", "GROUP", "IN", "IS_BOOL", "IS_DEFINED", "IS_NULL", "IS_NUMBER", "IS_OBJECT", "IS_PRIMITIVE", "IS_STRING",
		"MAX", "MIN", "NIN", "NOT", "NOT_IN", "NULL", "OR", "ORDER", "SELECT", "STARTS_WITH", "SUM", "TOP", "TRUE", "UNDEFINED", "WHERE",
	}, func(k string) bool { return strings.EqualFold(k, word) })
}

// part reads one key of a path.
func (x *lexer) part() (string, *fault.Fault) {
	rest := x.text[x.pos:]
	if inner, ok := strings.CutPrefix(rest, "[["); ok {
		key, _, ok := strings.Cut(inner, "]]")
		if !ok {
			return "", syntaxFault(x.pos, "'[[' is not closed")
		}
		x.pos += len(key) + 4
		return key, nil
	}
	n := strings.IndexFunc(rest, func(r rune) bool { return !isWordRune(r) })
	if n < 0 {
		n = len(rest)
	}
	if n == 0 {
		return "", syntaxFault(x.pos, "a name is missing")
	}
	x.pos += n
	return rest[:n], nil
}

// number reads a number, hexadecimal or as JSON has it.
func (x *lexer) number() (lexeme, *fault.Fault) {
	l := lexeme{kind: tokenNum, at: x.pos}
	rest := x.text[x.pos:]
	n := 1
	for n < len(rest) && (isWordRune(rune(rest[n])) || rest[n] == '.' ||
		(rest[n] == '+' || rest[n] == '-') && (rest[n-1] == 'e' || rest[n-1] == 'E')) {
		n++
	}
	l.text = rest[:n]
	x.pos += n
	if strings.HasPrefix(l.text, "0x") || strings.HasPrefix(l.text, "0X") {
		v, err := strconv.ParseUint(l.text[2:], 16, 63)
		if err != nil {
			return l, syntaxFault(l.at, "%q is no number", l.text)
		}
		l.text = strconv.FormatUint(v, 10)
		return l, nil
	}
	if !json.Valid([]byte(l.text)) {
		return l, syntaxFault(l.at, "%q is no number", l.text)
	}
	if _, err := strconv.ParseFloat(l.text, 64); err != nil {
		return l, syntaxFault(l.at, "%q is no double", l.text)
	}
	return l, nil
}

// quoted reads a string in single or double quotes.
func (x *lexer) quoted(quote byte) (lexeme, *fault.Fault) {
	l := lexeme{kind: tokenText, at: x.pos}
	var b strings.Builder
	for i := x.pos + 1; i < len(x.text); i++ {
		switch c := x.text[i]; c {
		case quote:
			l.text = b.String()
			x.pos = i + 1
			return l, nil
		case '\\':
			n, ok := escape(&b, x.text[i+1:])
			if !ok {
				return l, syntaxFault(i, "an unknown escape")
			}
			i += n
		default:
			b.WriteByte(c)
		}
	}
	return l, syntaxFault(l.at, "a string is not closed")
}

// escape reads what stands behind a backslash, and says how long it is.
func escape(b *strings.Builder, rest string) (n int, ok bool) {
	switch {
	case rest == "":
		return 0, false
	case strings.IndexByte(`'"\`, rest[0]) >= 0:
		b.WriteByte(rest[0])
		return 1, true
	case rest[0] == 'u':
		r, ok := unit(rest)
		if low, paired := unit(strings.TrimPrefix(rest[min(5, len(rest)):], `\`)); ok && paired && rest[5] == '\\' {
			if whole := utf16.DecodeRune(r, low); whole != utf8.RuneError {
				b.WriteRune(whole)
				return 11, true
			}
		}
		b.WriteRune(r) // a half alone is U+FFFD
		return 5, ok
	}
	return 0, false
}

// unit reads the four digits of "u1F60", a unit of UTF-16.
func unit(text string) (rune, bool) {
	if len(text) < 5 || text[0] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(text[1:5], 16, 16)
	return rune(v), err == nil
}

// syntaxFault says where a query is wrong.
func syntaxFault(at int, format string, args ...any) *fault.Fault {
	f := fault.New(fault.Invalid, format, args...)
	f.Text = "Syntax error in the query at offset " + strconv.Itoa(at) + ": " + f.Text + "."
	return f
}

// unsupported says what this hub cannot do, though a real one may.
func unsupported(at int, what string) *fault.Fault {
	return fault.New(fault.Invalid, "This hub does not support %s (at offset %d of the query); a real one may.", what, at)
}

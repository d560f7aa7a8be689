package desk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// ErrUsage is matched by everything that is wrong with a command line.
var ErrUsage = errors.New("wrong usage")

// usageError is an error that matches ErrUsage without its words.
type usageError struct{ error }

func (usageError) Is(target error) bool { return target == ErrUsage }
func (e usageError) Unwrap() error      { return e.error }

// Usagef makes an error that matches ErrUsage. Values from the command line go
// through Quote first, since a secret may be in the wrong place.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

const (
	// maxQuoted is how much of a value an error repeats, in bytes.
	maxQuoted = 80
	// shortestKey is the length from which a word may be a key in base64.
	shortestKey = 20
	// hidden is what an error says in place of a value that may be a secret.
	hidden = "(a value that may be a secret)"
)

// Quote returns a value from the command line as an error may repeat it: in
// quotes, shortened, and not at all where it may hold a key, a token or a
// password.
func Quote(value string) string {
	if mayBeSecret(value) {
		return hidden
	}
	if len(value) > maxQuoted {
		cut := maxQuoted
		for cut > 0 && !utf8.RuneStart(value[cut]) {
			cut--
		}
		return fmt.Sprintf("%q…", value[:cut])
	}
	return fmt.Sprintf("%q", value)
}

// mayBeSecret reports whether a value looks like a connection string, a token, a
// URL with a password, or holds a long word in base64.
func mayBeSecret(value string) bool {
	lower := strings.ToLower(value)
	for _, sign := range []string{"sharedacc", "key=", "sig="} {
		if strings.Contains(lower, sign) {
			return true
		}
	}
	if scheme, rest, ok := strings.Cut(value, "://"); ok && scheme != "" && strings.Contains(rest, "@") {
		return true
	}
	// "@" and "file:" precede the names of files. "=" ends a key, and no file's name.
	if !strings.Contains(value, "=") && isPath(strings.TrimPrefix(strings.TrimPrefix(value, "@"), "file:")) {
		return false
	}
	for word := range strings.FieldsFuncSeq(value, notBase64) {
		if len(word) >= shortestKey && likeKey(word) {
			return true
		}
	}
	return false
}

// isPath reports whether a value names something in a folder that is there, or
// would be below it. Then its slashes are not those of a key. What is not there
// may still be one.
func isPath(value string) bool {
	rest := value
	for folder := filepath.Dir(value); ; folder = filepath.Dir(folder) {
		if folder == "." || folder == filepath.Dir(folder) {
			return false
		}
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			rest = strings.TrimPrefix(value, folder)
			break
		}
	}
	for name := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '/' || r == filepath.Separator || notBase64(r) }) {
		if len(name) >= shortestKey && likeKey(name) {
			return false
		}
	}
	return true
}

func notBase64(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
		r != '+' && r != '/' && r != '=' && r != '-' && r != '_'
}

// likeKey reports whether a long word is as mixed as random bytes in base64, or
// padded like it, whatever follows.
func likeKey(word string) bool {
	return strings.Contains(word, "=") ||
		strings.ContainsAny(word, "0123456789") && strings.ToLower(word) != word && strings.ToUpper(word) != word
}

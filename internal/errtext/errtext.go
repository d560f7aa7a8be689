// Package errtext writes the texts of errors by one rule: an error that leaves a
// package begins with the name of the package that made it, once. Sentinels and
// typed errors have it. What wraps an error of another package puts its own name
// before. What wraps an error of its own package, or borrows a sentinel of
// another, takes the name off first, by [Bare].
package errtext

import "strings"

// Bare returns err with a text that lacks the name of the package at its
// beginning. It matches what err matches. Without the name, and for nil, it is err.
func Bare(pkg string, err error) error {
	if err == nil {
		return nil
	}
	text, ok := strings.CutPrefix(err.Error(), pkg+": ")
	if !ok {
		return err
	}
	return &bare{err, text}
}

type bare struct {
	err  error
	text string
}

func (b *bare) Error() string { return b.text }

func (b *bare) Unwrap() error { return b.err }

// Package errs finds errors without reflection, which errors.As is the only one to
// bring into a program for a board: 13 KB on ARM.
package errs

// As returns the first error in err's tree that is an E, or whose method As sets
// one. It is the AsType of package errors, which Go 1.25 lacks.
func As[E error](err error) (found E, ok bool) {
	ok = first(err, func(err error) bool {
		if e, is := err.(E); is {
			found = e
			return true
		}
		as, is := err.(interface{ As(any) bool })
		return is && as.As(&found)
	})
	return found, ok
}

// first reports whether is holds for err or for an error that it wraps, asked in
// the order of package errors.
func first(err error, is func(error) bool) bool {
	for err != nil {
		if is(err) {
			return true
		}
		switch wrap := err.(type) {
		case interface{ Unwrap() error }:
			err = wrap.Unwrap()
		case interface{ Unwrap() []error }:
			for _, err := range wrap.Unwrap() {
				if first(err, is) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}

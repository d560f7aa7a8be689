package errs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"testing"
)

// numbered is an error that is compared by value, and claims to be another one.
type numbered int

func (n numbered) Error() string { return fmt.Sprintf("error %d", int(n)) }

func (n numbered) As(target any) bool {
	to, ok := target.(**fs.PathError)
	if ok {
		*to = &fs.PathError{Op: n.Error(), Err: n}
	}
	return ok
}

// several wraps errors, of which one may be nil.
type several []error

func (s several) Error() string   { return fmt.Sprint([]error(s)) }
func (s several) Unwrap() []error { return s }

// TestAs compares As with errors.As over trees of errors.
func TestAs(t *testing.T) {
	op, path := &net.OpError{Op: "read"}, &fs.PathError{Op: "open"}
	for _, err := range []error{
		nil,
		io.EOF,
		op,
		path,
		numbered(3),
		fmt.Errorf("x: %w", op),
		fmt.Errorf("x: %w", fmt.Errorf("y: %w", numbered(4))),
		fmt.Errorf("nothing is wrapped: %w", error(nil)),
		errors.Join(io.EOF, fmt.Errorf("x: %w", numbered(5)), numbered(6), op),
		fmt.Errorf("%w, %w", path, op),
		several{nil, several{}, several{io.EOF, numbered(7)}, path},
		several{nil},
	} {
		asBefore[*net.OpError](t, err)
		asBefore[*fs.PathError](t, err)
		asBefore[numbered](t, err)
		asBefore[several](t, err)
		asBefore[net.Error](t, err)
	}
}

// asBefore checks that As finds what errors.As finds.
func asBefore[E error](t *testing.T, err error) {
	t.Helper()
	var want E
	wanted := errors.As(err, &want)
	got, ok := As[E](err)
	if ok != wanted || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) && fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("As[%T](%v) = %v, %v; want %v, %v", want, err, got, ok, want, wanted)
	}
}

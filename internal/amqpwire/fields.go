package amqpwire

import "encoding/binary"

// A fields takes the fields of a list one by one. One that is null, or missing
// at the end, is absent; those behind the last that is asked for are not
// looked at. After the first that is wrong all are absent, so that a reader
// asks once, at the end, what was wrong.
type fields struct {
	rest  []byte
	left  uint32
	wrong string // what is wrong, empty for nothing yet
}

func (f *fields) fail(name, what string) {
	if f.wrong == "" {
		f.wrong = name + " " + what
	}
	f.rest, f.left = nil, 0
}

// next takes a field; raw is all its bytes.
func (f *fields) next(name string) (v value, raw []byte, present bool) {
	if f.left == 0 {
		return value{}, nil, false
	}
	v, n := consumeValue(f.rest)
	if n == 0 {
		f.fail(name, "is cut short or no AMQP value")
		return value{}, nil, false
	}
	raw = f.rest[:n:n]
	f.rest, f.left = f.rest[n:], f.left-1
	return v, raw, !v.isNull()
}

// skip passes over fields that nothing here needs.
func (f *fields) skip(n int) {
	for range n {
		f.next("a field")
	}
}

// take takes a field by one of value's readings.
func take[T any](f *fields, name string, read func(value) (T, bool)) (got T, present bool) {
	v, _, present := f.next(name)
	if !present {
		return got, false
	}
	got, ok := read(v)
	if !ok || v.described {
		f.fail(name, "is of another type")
		var none T
		return none, false
	}
	return got, true
}

// must is take for a field that may not be absent.
func must[T any](f *fields, name string, read func(value) (T, bool)) T {
	got, present := take(f, name, read)
	if !present {
		f.fail(name, "is missing")
	}
	return got
}

// or is take with what stands for an absent field.
func or[T any](f *fields, name string, read func(value) (T, bool), absent T) T {
	if got, present := take(f, name, read); present {
		return got
	}
	return absent
}

func readUbyte(v value) (byte, bool) {
	if v.code != codeUbyte {
		return 0, false
	}
	return v.data[0], true
}

func readUshort(v value) (uint16, bool) {
	if v.code != codeUshort {
		return 0, false
	}
	return binary.BigEndian.Uint16(v.data), true
}

// An optional is a number that may be absent.
type optional[T any] struct {
	value T
	set   bool
}

func some[T any](v T) optional[T] { return optional[T]{v, true} }

func takeOptional[T any](f *fields, name string, read func(value) (T, bool)) optional[T] {
	v, present := take(f, name, read)
	return optional[T]{v, present}
}

// appendOptional appends a number or null.
func appendOptional[T any](b []byte, o optional[T], write func([]byte, T) []byte) []byte {
	if !o.set {
		return append(b, codeNull)
	}
	return write(b, o.value)
}

func appendUbyte(b []byte, n byte) []byte { return append(b, codeUbyte, n) }

package twin

import (
	"bytes"
	"fmt"
)

// This file is what json.Unmarshal makes of JSON. encoding/json calls none of
// these for a null where a pointer can be nil instead.

// UnmarshalJSON implements json.Unmarshaler. null gives a value of kind Null,
// as with json.RawMessage, so a member that is null differs from one that is
// not there, which leaves the Value as it is.
//
// The error is a *SyntaxError, whose Offset counts from the first byte of the
// value, for more than 64 levels or bytes that are not UTF-8.
func (v *Value) UnmarshalJSON(b []byte) error {
	if v == nil {
		return errEmbedded()
	}
	n, err := parseFromHub(b)
	if err == nil {
		*v = Value{n: n}
	}
	return err
}

// UnmarshalJSON implements json.Unmarshaler as [ParsePatch] reads: from an
// object, whose members that are null delete. null in place of the object
// leaves the patch as it is, as encoding/json does with any struct. It deletes
// nothing.
func (p *Patch) UnmarshalJSON(b []byte) error {
	if p == nil {
		return errEmbedded()
	}
	if isNull(b) {
		return nil
	}
	parsed, err := ParsePatch(b)
	if err == nil {
		*p = parsed
	}
	return err
}

// UnmarshalJSON implements json.Unmarshaler as [ParseProperties] reads: without
// "$version" the version is not known. null leaves the half as it is.
func (p *Properties) UnmarshalJSON(b []byte) error {
	if p == nil {
		return errEmbedded()
	}
	if isNull(b) {
		return nil
	}
	parsed, err := ParseProperties(b)
	if err == nil {
		*p = parsed
	}
	return err
}

// UnmarshalJSON implements json.Unmarshaler as [ParseDocument] reads: both
// sections must be there. null leaves the twin as it is.
func (d *Document) UnmarshalJSON(b []byte) error {
	if d == nil {
		return errEmbedded()
	}
	if isNull(b) {
		return nil
	}
	parsed, err := ParseDocument(b)
	if err == nil {
		*d = parsed
	}
	return err
}

func isNull(b []byte) bool { return string(bytes.TrimSpace(b)) == "null" }

// errEmbedded is for the nil receiver that a struct with an embedded pointer
// makes of this.
func errEmbedded() error {
	return fmt.Errorf("%w: JSON for a nil pointer; embed the type, not a pointer to it", ErrInvalid)
}

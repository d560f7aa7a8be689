//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/devicetwin/devicetwin-go/auth"
)

var (
	// errNoKey is no auth.ErrInvalid: a token that was plugged in again, or is
	// provisioned while the device runs, has one.
	errNoKey = errors.New("the token has no key of this label; provision it, or name its label")
	errTwo   = fmt.Errorf("%w: the token has several keys of this label; leave one (pkcs11-tool --list-objects)", auth.ErrInvalid)
	errTaken = fmt.Errorf("%w: the token has a key of this label already; remove it first, or take another label", auth.ErrInvalid)
)

// maxFound bounds how many objects of one label are looked at.
const maxFound = 64

// all are the token's objects of a class and a label.
func (s *session) all(class uint, label string) (found []pkcs11.ObjectHandle, err error) {
	err = s.FindObjectsInit(s.handle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	})
	if err != nil {
		return nil, fmt.Errorf("look for a key: %w", err)
	}
	found, _, err = s.FindObjects(s.handle, maxFound)
	if ending := s.FindObjectsFinal(s.handle); err == nil {
		err = ending
	}
	if err != nil {
		return nil, fmt.Errorf("look for a key: %w", err)
	}
	return found, nil
}

// one is the token's only object of a class and a label.
func (s *session) one(class uint, label string) (pkcs11.ObjectHandle, error) {
	found, err := s.all(class, label)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, fmt.Errorf("%w (%q)", errNoKey, label)
	case len(found) > 1:
		return 0, fmt.Errorf("%w (%q)", errTwo, label)
	}
	return found[0], nil
}

// free says whether a label may be given to a new key.
func (s *session) free(label string, classes ...uint) error {
	for _, class := range classes {
		found, err := s.all(class, label)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("%w (%q)", errTaken, label)
		}
	}
	return nil
}

// attribute reads one attribute of an object.
func (s *session) attribute(object pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	read, err := s.GetAttributeValue(s.handle, object, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil {
		return nil, fmt.Errorf("read the key's attribute %#x: %w", kind, err)
	}
	if len(read) != 1 {
		return nil, errors.New("the token gave no attribute that was asked for")
	}
	return read[0].Value, nil
}

// kept are the attributes of a key that stays in the token and never leaves it.
func kept(label string, class uint) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
	}
}

// remove destroys all objects of the classes that have a label.
func (t *Token) remove(ctx context.Context, label string, classes ...uint) error {
	_, err := use(ctx, t, func(s *session) (none struct{}, _ error) {
		removed := 0
		for _, class := range classes {
			found, err := s.all(class, label)
			if err != nil {
				return none, err
			}
			for _, object := range found {
				if err := s.DestroyObject(s.handle, object); err != nil {
					return none, fmt.Errorf("destroy the key: %w", err)
				}
				removed++
			}
		}
		if removed == 0 {
			return none, fmt.Errorf("%w (%q)", errNoKey, label)
		}
		return none, nil
	})
	return err
}

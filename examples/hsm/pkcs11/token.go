//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/owner"
)

// Options say which token, and what it asks for.
type Options struct {
	// Module is the PKCS#11 library of the HSM's maker, such as
	// /usr/lib/softhsm/libsofthsm2.so.
	Module string
	// Token is the label of the token.
	Token string
	// PIN is the user's. A token that refuses it is not asked again: it would
	// lock itself after some tries, and for good.
	PIN string
}

// A Token is a token of an HSM. All methods may be called concurrently: its
// goroutine, which Close ends, has one session, and lets one caller at a time
// use it. A context that ends, ends the waiting: the call under way, which
// nothing can stop, comes to its end first.
//
// It initializes and finalizes the module, so a process has one Token of each
// module.
type Token struct {
	owner *owner.Owner[*session]
	opts  Options
	// What the token said to the PIN; of the goroutine alone.
	refused error
}

// A session is the module, loaded and logged in.
type session struct {
	*pkcs11.Ctx
	handle pkcs11.SessionHandle
}

// Open makes a Token. It does not load the module: that is done when it is
// needed, and anew after it failed.
func Open(opts *Options) (*Token, error) {
	if opts == nil || opts.Module == "" || opts.Token == "" {
		return nil, fmt.Errorf("%w: name the PKCS#11 module and the token's label", auth.ErrInvalid)
	}
	t := &Token{opts: *opts}
	t.owner = owner.New(owner.Device[*session]{Open: t.login, Close: (*session).end, Broken: broken})
	return t, nil
}

// Close logs out once the call under way has come to its end.
func (t *Token) Close() { t.owner.Close() }

// use has the token do something when its turn has come.
func use[T any](ctx context.Context, t *Token, f func(*session) (T, error)) (T, error) {
	return owner.Do(ctx, t.owner, func(s *session) (T, error) {
		value, err := f(s)
		return value, explain(err)
	})
}

// login loads the module, finds the token and logs in.
func (t *Token) login() (*session, error) {
	if t.refused != nil {
		return nil, t.refused
	}
	if strings.Contains(t.opts.Module, "/") { // else the system looks for it
		if _, err := os.Stat(t.opts.Module); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no PKCS#11 module at %s: install the HSM's software, or name the right file: %w", t.opts.Module, fs.ErrNotExist)
		}
	}
	s := &session{Ctx: pkcs11.New(t.opts.Module)}
	if s.Ctx == nil {
		return nil, fmt.Errorf("the PKCS#11 module %s cannot be loaded: it is no library, none for this machine, or lacks one that it needs (ldd tells)", t.opts.Module)
	}
	if err := s.Initialize(); err != nil && !is(err, pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		s.Destroy()
		return nil, fmt.Errorf("initialize the PKCS#11 module %s: %w", t.opts.Module, err)
	}
	if err := s.enter(t.opts); err != nil {
		s.leave()
		if errors.Is(err, errPIN) {
			t.refused = err
		}
		return nil, err
	}
	return s, nil
}

// enter opens a session with the token and logs in.
func (s *session) enter(opts Options) error {
	slot, err := s.find(opts.Token)
	if err != nil {
		return explain(err)
	}
	if s.handle, err = s.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return explain(fmt.Errorf("open a session with the token %q: %w", opts.Token, err))
	}
	err = s.Login(s.handle, pkcs11.CKU_USER, opts.PIN)
	if err != nil && !is(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN) {
		return explain(fmt.Errorf("log in to the token %q: %w", opts.Token, err))
	}
	return nil
}

// find is the slot of a token that may be logged in to.
func (s *session) find(label string) (uint, error) {
	slots, err := s.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("list the tokens: %w", err)
	}
	var labels []string
	for _, slot := range slots {
		info, err := s.GetTokenInfo(slot)
		if err != nil {
			continue // it may be of another token
		}
		if info.Label == label {
			return slot, lastTry(info.Flags)
		}
		if info.Label != "" {
			labels = append(labels, fmt.Sprintf("%q", info.Label))
		}
	}
	return 0, fmt.Errorf("there is no token %q: plug it in, or name one of these: %s", label, strings.Join(labels, ", "))
}

// lastTry refuses to be the one that locks the token. The count begins anew
// with a login that succeeds.
func lastTry(flags uint) error {
	if flags&(pkcs11.CKF_USER_PIN_FINAL_TRY|pkcs11.CKF_USER_PIN_LOCKED) != 0 {
		return fmt.Errorf("%w: it is locked, or one more wrong PIN locks it; log in once by hand (pkcs11-tool --login --test), or have its security officer set a new PIN", errPIN)
	}
	return nil
}

// end gives back the session and the module.
func (s *session) end() {
	_ = s.Logout(s.handle)
	_ = s.CloseSession(s.handle)
	s.leave()
}

// leave gives back the module. What fails here, a new start mends.
func (s *session) leave() {
	_ = s.Finalize()
	s.Destroy()
}

// errPIN says that the token is not to be asked again with this PIN.
var errPIN = fmt.Errorf("%w: the token refuses the PIN", auth.ErrInvalid)

// is reports whether a call came back with one of the codes.
func is(err error, codes ...pkcs11.Error) bool {
	var code pkcs11.Error
	return errors.As(err, &code) && slices.Contains(codes, code)
}

// broken reports whether the session or the module is of no more use. One that
// shows no key may be that of a token that was taken away.
func broken(err error) bool {
	return errors.Is(err, errNoKey) || is(err,
		pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_MEMORY, pkcs11.CKR_DEVICE_REMOVED,
		pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_SLOT_ID_INVALID,
		pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_USER_NOT_LOGGED_IN,
		pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_OPERATION_ACTIVE,
		pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_HOST_MEMORY)
}

// explain says what to do about a code.
func explain(err error) error {
	switch {
	case is(err, pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE):
		return fmt.Errorf("%w; it is not asked again, for it would lock itself: give the right one, and start anew: %w", errPIN, err)
	case is(err, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED):
		return fmt.Errorf("%w: have its security officer set a new one: %w", errPIN, err)
	case is(err, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT):
		return fmt.Errorf("the token is gone: plug it in again: %w", err)
	case is(err, pkcs11.CKR_SESSION_COUNT):
		return fmt.Errorf("the token has no session left: end another program that uses it: %w", err)
	case is(err, pkcs11.CKR_KEY_SIZE_RANGE):
		return fmt.Errorf("the token takes no key of this size: %w", err)
	case is(err, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_KEY_TYPE_INCONSISTENT, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED):
		return fmt.Errorf("the token cannot sign so with this key (pkcs11-tool --list-mechanisms tells what it can): %w", err)
	case is(err, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, pkcs11.CKR_ATTRIBUTE_READ_ONLY):
		return fmt.Errorf("the token's rules do not allow such a key; one in FIPS mode may take no key in the clear: unwrap it there with the maker's tool: %w", err)
	}
	return err
}

//go:build cgo

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/owner"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// software holds a secret as the library does.
func software(t *testing.T, secret []byte) auth.Key {
	t.Helper()
	key, err := auth.ParseKey(base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestHMACIsThatOfSoftware(t *testing.T) {
	h := newHSM(t)
	token := h.open(userPIN)
	for _, size := range []int{1, 16, 31, 32, 33, 63, 64, 65, 200} {
		secret := random(size)
		name := fmt.Sprint("key of ", size)
		if err := token.ImportHMAC(h.ctx, name, secret); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 100, 1024, 5000} {
			data := random(n)
			got, err := token.HMACKey(name).Sign(h.ctx, data)
			want, _ := software(t, secret).Sign(h.ctx, data)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("a key of %d bytes over %d: got %x (%v), want %x", size, n, got, err, want)
			}
		}
	}
}

func TestKeyPairsSign(t *testing.T) {
	h := newHSM(t)
	token := h.open(userPIN)
	ec, err := token.Generate(h.ctx, "ec", 0)
	if err != nil {
		t.Fatal(err)
	}
	rsaPair, err := token.Generate(h.ctx, "rsa", 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		digest := random(hash.Size())
		signature, err := ec.Sign(nil, digest, hash)
		if err != nil || !ecdsa.VerifyASN1(ec.public.(*ecdsa.PublicKey), digest, signature) {
			t.Errorf("ECDSA over %v: got %x (%v), want a signature that verifies", hash, signature, err)
		}
		if hash == crypto.SHA1 {
			continue
		}
		public := rsaPair.public.(*rsa.PublicKey)
		signature, err = rsaPair.Sign(nil, digest, hash)
		if err != nil || rsa.VerifyPKCS1v15(public, hash, digest, signature) != nil {
			t.Errorf("RSA PKCS#1 1.5 over %v: got %x (%v), want a signature that verifies", hash, signature, err)
		}
		for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, rsa.PSSSaltLengthAuto, 20} {
			opts := &rsa.PSSOptions{SaltLength: salt, Hash: hash}
			signature, err = rsaPair.Sign(nil, digest, opts)
			if salt == rsa.PSSSaltLengthAuto {
				opts.SaltLength = 256 - 2 - hash.Size() // as long as may be
			}
			if err != nil || rsa.VerifyPSS(public, hash, digest, signature, opts) != nil {
				t.Errorf("RSA PSS over %v, salt %d: got %x (%v), want a signature that verifies", hash, salt, signature, err)
			}
		}
	}
	found, err := token.KeyPair(h.ctx, "rsa")
	if err != nil || !rsaPair.public.(*rsa.PublicKey).Equal(found.Public()) {
		t.Errorf("got another RSA key (%v), want the one that was made", err)
	}
}

// TestKeysDoNotLeave asks the token for them.
func TestKeysDoNotLeave(t *testing.T) {
	h := newHSM(t)
	token := h.open(userPIN)
	if err := token.ImportHMAC(h.ctx, "sas", random(32)); err != nil {
		t.Fatal(err)
	}
	if _, err := token.Generate(h.ctx, "x509", 0); err != nil {
		t.Fatal(err)
	}
	_, err := owner.Do(h.ctx, token.owner, func(s *session) (none struct{}, _ error) {
		for name, class := range map[string]uint{"sas": pkcs11.CKO_SECRET_KEY, "x509": pkcs11.CKO_PRIVATE_KEY} {
			key, err := s.one(class, name)
			if err != nil {
				return none, err
			}
			if value, err := s.attribute(key, pkcs11.CKA_VALUE); !is(err, pkcs11.CKR_ATTRIBUTE_SENSITIVE) {
				t.Errorf("%s: got %d bytes and %v, want that the key is sensitive", name, len(value), err)
			}
			err = s.SetAttributeValue(s.handle, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true)})
			if err == nil {
				t.Errorf("%s: the key could be made extractable", name)
			}
		}
		return none, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTokenThatGoesAway is pulled, and its session is ended from elsewhere.
func TestTokenThatGoesAway(t *testing.T) {
	h := newHSM(t)
	token := h.open(userPIN)
	secret := random(32)
	if err := token.ImportHMAC(h.ctx, "sas", secret); err != nil {
		t.Fatal(err)
	}
	want, _ := software(t, secret).Sign(h.ctx, []byte("data"))
	sign := func(desc, fails string) {
		t.Helper()
		got, err := token.HMACKey("sas").Sign(h.ctx, []byte("data"))
		if fails == "" && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%s: got %x (%v), want %x", desc, got, err, want)
		}
		if fails != "" && (err == nil || !strings.Contains(err.Error(), fails) || errors.Is(err, auth.ErrInvalid)) {
			t.Errorf("%s: got %v, want an error that waiting may mend and that says %q", desc, err, fails)
		}
	}
	sign("at first", "")
	plugIn := h.unplug()
	sign("pulled", "the token has no key of this label")
	sign("pulled, a new session", `there is no token "board": plug it in, or name one of these`)
	sign("still pulled", `there is no token "board"`)
	plugIn()
	sign("plugged in", "")
	_, err := owner.Do(h.ctx, token.owner, func(s *session) (none struct{}, _ error) { return none, s.CloseSession(s.handle) })
	if err != nil {
		t.Fatal(err)
	}
	sign("the session was ended", "CKR_SESSION_HANDLE_INVALID")
	sign("a new session", "")
}

func TestManyCallersSignAtOnce(t *testing.T) {
	h := newHSM(t)
	token := h.open(userPIN)
	secret := random(32)
	if err := token.ImportHMAC(h.ctx, "sas", secret); err != nil {
		t.Fatal(err)
	}
	pair, err := token.Generate(h.ctx, "x509", 0)
	if err != nil {
		t.Fatal(err)
	}
	known := software(t, secret)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 20 {
				data := random(32)
				got, err := token.HMACKey("sas").Sign(h.ctx, data)
				if want, _ := known.Sign(h.ctx, data); err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %x (%v), want %x", got, err, want)
				}
				signature, err := pair.Sign(nil, data, crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(pair.public.(*ecdsa.PublicKey), data, signature) {
					t.Errorf("got %x (%v), want a signature that verifies", signature, err)
				}
			}
		})
	}
	callers.Wait()
}

// TestWrongPIN holds that a token is asked once: most lock after three.
func TestWrongPIN(t *testing.T) {
	h := newHSM(t)
	const guess = "111111"
	token := h.open(guess)
	var first error
	for n := range 5 {
		_, err := token.HMACKey("sas").Sign(h.ctx, nil)
		if !errors.Is(err, auth.ErrInvalid) || !errors.Is(err, errPIN) || strings.Contains(err.Error(), guess) {
			t.Fatalf("got %v, want one that is %q and does not tell the PIN", err, errPIN)
		}
		if n == 0 {
			first = err
		} else if err != first {
			t.Errorf("try %d: got %v, want the error of the first one: the token was asked again", n+1, err)
		}
	}
	if got := lastTry(pkcs11.CKF_USER_PIN_COUNT_LOW); got != nil {
		t.Errorf("a count that is low: got %v, want a try", got)
	}
	for _, flag := range []uint{pkcs11.CKF_USER_PIN_FINAL_TRY, pkcs11.CKF_USER_PIN_LOCKED} {
		if got := lastTry(flag); !errors.Is(got, errPIN) {
			t.Errorf("flag %#x: got %v, want no try", flag, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := newHSM(t)
	token := h.open(userPIN)
	for _, name := range []string{"sas", "short lived"} {
		if err := token.ImportHMAC(h.ctx, name, random(32)); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := token.Generate(h.ctx, "x509", 0)
	if err != nil {
		t.Fatal(err)
	}
	rsaPair, err := token.Generate(h.ctx, "rsa", 2048)
	if err != nil {
		t.Fatal(err)
	}
	// A second key of one label, which other tools allow.
	_, err = owner.Do(h.ctx, token.owner, func(s *session) (none struct{}, _ error) {
		_, err := s.CreateObject(s.handle, append(kept("twice", pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET), pkcs11.NewAttribute(pkcs11.CKA_VALUE, random(32))))
		if err == nil {
			_, err = s.CreateObject(s.handle, append(kept("twice", pkcs11.CKO_SECRET_KEY),
				pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET), pkcs11.NewAttribute(pkcs11.CKA_VALUE, random(32))))
		}
		return none, err
	})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(name string) error {
		_, err := token.HMACKey(name).Sign(h.ctx, nil)
		return err
	}
	second := func(_ any, err error) error { return err }
	ended, cancel := context.WithCancel(h.ctx)
	cancel()
	tests := []struct {
		desc string
		err  error
		is   error
		want string
	}{
		{"the label is taken", token.ImportHMAC(h.ctx, "sas", random(32)), errTaken, `remove it first, or take another label ("sas")`},
		{"the pair's label is taken", second(token.Generate(h.ctx, "x509", 0)), errTaken, "remove it first"},
		{"the key is empty", token.ImportHMAC(h.ctx, "empty", nil), auth.ErrInvalid, "the shared key is empty"},
		{"the key is small", second(token.Generate(h.ctx, "small", 1024)), auth.ErrInvalid, "from 2048 to 4096"},
		{"there is no key", sign("none"), errNoKey, "provision it"},
		{"there is no pair", second(token.KeyPair(h.ctx, "none")), errNoKey, "provision it"},
		{"there is no key to remove", token.RemoveHMAC(h.ctx, "none"), errNoKey, "provision it"},
		{"there are two keys", sign("twice"), errTwo, "leave one"},
		{"a removed key", errors.Join(token.RemoveHMAC(h.ctx, "short lived"), sign("short lived")), errNoKey, "provision it"},
		{"a removed pair", errors.Join(token.RemovePair(h.ctx, "x509"), second(pair.Sign(nil, random(32), crypto.SHA256))), errNoKey, "provision it"},
		{"RSA with SHA-1", second(rsaPair.Sign(nil, random(20), crypto.SHA1)), auth.ErrInvalid, "a signature over SHA-1"},
		{"half a digest", second(rsaPair.Sign(nil, random(16), crypto.SHA256)), auth.ErrInvalid, "a digest of 16 bytes"},
		{"less than no salt", second(rsaPair.Sign(nil, random(32), &rsa.PSSOptions{SaltLength: -7, Hash: crypto.SHA256})), auth.ErrInvalid, "a salt of -7 bytes"},
		{"a context that had ended", second(token.HMACKey("sas").Sign(ended, nil)), context.Canceled, ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			if !errors.Is(tt.err, tt.is) || !strings.Contains(fmt.Sprint(tt.err), tt.want) {
				t.Errorf("got %v, want one that is %q and says %q", tt.err, tt.is, tt.want)
			}
		})
	}
	if err := sign("sas"); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// TestWaysToTheToken needs none.
func TestWaysToTheToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.so")
	if err := os.WriteFile(file, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	signWith := func(module string) error {
		token, err := Open(&Options{Module: module, Token: label})
		if err != nil {
			return err
		}
		defer token.Close()
		_, err = token.HMACKey("sas").Sign(t.Context(), nil)
		return err
	}
	_, nothing := Open(nil)
	tests := []struct {
		desc string
		err  error
		is   error
		want string
	}{
		{"nothing is named", nothing, auth.ErrInvalid, "name the PKCS#11 module"},
		{"no module", signWith("/no/such.so"), fs.ErrNotExist, "install the HSM's software"},
		{"no library", signWith(file), nil, "cannot be loaded"},
		{"an expired PIN", explain(pkcs11.Error(pkcs11.CKR_PIN_EXPIRED)), errPIN, "security officer"},
		{"a token that was pulled", explain(pkcs11.Error(pkcs11.CKR_DEVICE_REMOVED)), nil, "plug it in again"},
		{"no session left", explain(pkcs11.Error(pkcs11.CKR_SESSION_COUNT)), nil, "end another program"},
		{"a key of a wrong size", explain(pkcs11.Error(pkcs11.CKR_KEY_SIZE_RANGE)), nil, "no key of this size"},
		{"a mechanism that is not there", explain(pkcs11.Error(pkcs11.CKR_MECHANISM_INVALID)), nil, "--list-mechanisms"},
		{"FIPS mode", explain(pkcs11.Error(pkcs11.CKR_TEMPLATE_INCONSISTENT)), nil, "in the clear"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			if tt.err == nil || tt.is != nil && !errors.Is(tt.err, tt.is) || !strings.Contains(tt.err.Error(), tt.want) {
				t.Errorf("got %v, want one that is %v and says %q", tt.err, tt.is, tt.want)
			}
		})
	}
}

// TestPublicKeys reads what tokens tell of ECDSA keys.
func TestPublicKeys(t *testing.T) {
	der := func(v any) []byte {
		text, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	curves := map[string]asn1.ObjectIdentifier{
		"P-256": oid(1, 2, 840, 10045, 3, 1, 7), "P-384": oid(1, 3, 132, 0, 34), "P-521": oid(1, 3, 132, 0, 35),
	}
	for name, curve := range curves {
		size := map[string]int{"P-256": 32, "P-384": 48, "P-521": 66}[name]
		if _, err := parseECDSA(der(curve), append([]byte{4}, make([]byte, 2*size)...)); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: a point that is none: got %v, want %v", name, err, auth.ErrInvalid)
		}
	}
	for desc, params := range map[string][]byte{"a curve without a name": {4, 1, 1}, "an unknown curve": der(oid(1, 3, 132, 0, 10)), "nothing": nil} {
		if _, err := parseECDSA(params, nil); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", desc, err, auth.ErrInvalid)
		}
	}
}

func FuzzParseECDSA(f *testing.F) {
	p256, err := asn1.Marshal(oid(1, 2, 840, 10045, 3, 1, 7))
	if err != nil {
		f.Fatal(err)
	}
	known, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	point, err := known.PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	wrapped, err := asn1.Marshal(point)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p256, point)
	f.Add(p256, wrapped)
	f.Add(p256, []byte{4, 2, 4, 0})
	f.Fuzz(func(t *testing.T, params, point []byte) {
		key, err := parseECDSA(params, point)
		if err != nil {
			if !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("got %v, want %v", err, auth.ErrInvalid)
			}
			return
		}
		if _, err := key.Bytes(); err != nil {
			t.Errorf("a key was read that is on no curve: %v", err)
		}
	})
}

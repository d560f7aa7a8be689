package pbe_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/pbe"
)

// algorithm is an AlgorithmIdentifier of an object identifier's text.
func algorithm(t *testing.T, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	der, err := asn1.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}
}

type pbes2 struct{ KDF, Cipher pkix.AlgorithmIdentifier }

type pbkdf2 struct {
	Salt       []byte
	Iterations int64
	KeyLength  int64                    `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type scrypt struct {
	Salt      []byte
	N, R, P   int64
	KeyLength int64 `asn1:"optional"`
}

type pkcs12 struct {
	Salt       []byte
	Iterations int64
}

func ids(last ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113549}, last...)
}

func aes256() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
}

func kdfScrypt() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11} }

// scheme is PBES2 of a derivation with AES-256.
func scheme(t *testing.T, kdf asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	return algorithm(t, ids(1, 5, 13), pbes2{algorithm(t, kdf, params), algorithm(t, aes256(), make([]byte, 16))})
}

func TestSchemesWithinTheBounds(t *testing.T) {
	salt, iv := []byte("eight of"), make([]byte, 16)
	sha256 := pkix.AlgorithmIdentifier{Algorithm: ids(2, 9)}
	tests := []struct {
		name      string
		algorithm pkix.AlgorithmIdentifier
		want      pbe.Scheme
	}{
		{"PBKDF2 as openssl writes it", scheme(t, ids(1, 5, 12), pbkdf2{salt, 2048, 0, sha256}),
			pbe.Scheme{KDF: pbe.PBKDF2, PRF: "HMAC-SHA256", Iterations: 2048, Cipher: "AES-256-CBC", Salt: salt, KeySize: 32, BlockSize: 16, IV: iv}},
		{"PBKDF2 without a hash has SHA-1", scheme(t, ids(1, 5, 12), pbkdf2{salt, 1, 0, pkix.AlgorithmIdentifier{}}),
			pbe.Scheme{KDF: pbe.PBKDF2, PRF: "HMAC-SHA1", Iterations: 1, Cipher: "AES-256-CBC", Salt: salt, KeySize: 32, BlockSize: 16, IV: iv}},
		{"PBKDF2 with the length of the key", scheme(t, ids(1, 5, 12), pbkdf2{salt, 600_000, 32, sha256}),
			pbe.Scheme{KDF: pbe.PBKDF2, PRF: "HMAC-SHA256", Iterations: 600_000, Cipher: "AES-256-CBC", Salt: salt, KeySize: 32, BlockSize: 16, IV: iv}},
		{"PBKDF2 at its bound", scheme(t, ids(1, 5, 12), pbkdf2{salt, pbe.MaxIterations, 0, sha256}),
			pbe.Scheme{KDF: pbe.PBKDF2, PRF: "HMAC-SHA256", Iterations: pbe.MaxIterations, Cipher: "AES-256-CBC", Salt: salt, KeySize: 32, BlockSize: 16, IV: iv}},
		{"scrypt as openssl writes it", scheme(t, kdfScrypt(), scrypt{salt, 16384, 8, 1, 0}),
			pbe.Scheme{KDF: pbe.Scrypt, N: 16384, R: 8, P: 1, Cipher: "AES-256-CBC", Salt: salt, KeySize: 32, BlockSize: 16, IV: iv}},
		{"scrypt at the bound of memory", scheme(t, kdfScrypt(), scrypt{salt, 32768, 8, 4, 32}),
			pbe.Scheme{KDF: pbe.Scrypt, N: 32768, R: 8, P: 4, Cipher: "AES-256-CBC", Salt: salt, KeySize: 32, BlockSize: 16, IV: iv}},
		{"RC2 of old PFX", algorithm(t, ids(1, 12, 1, 6), pkcs12{salt, 2048}),
			pbe.Scheme{KDF: pbe.PKCS12, Iterations: 2048, Cipher: "RC2-40-CBC", Salt: salt, BlockSize: 8}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pbe.Parse(tt.algorithm)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRefusedSchemes(t *testing.T) {
	salt := make([]byte, 8)
	iv := make([]byte, 16)
	pb := func(p any) pkix.AlgorithmIdentifier { return scheme(t, ids(1, 5, 12), p) }
	sc := func(n, r, p int64) pkix.AlgorithmIdentifier {
		return scheme(t, kdfScrypt(), scrypt{salt, n, r, p, 0})
	}
	enc := func(cipher pkix.AlgorithmIdentifier) pkix.AlgorithmIdentifier {
		return algorithm(t, ids(1, 5, 13), pbes2{algorithm(t, ids(1, 5, 12), pbkdf2{salt, 2048, 0, pkix.AlgorithmIdentifier{}}), cipher})
	}
	none := pkix.AlgorithmIdentifier{}
	tests := []struct {
		name      string
		algorithm pkix.AlgorithmIdentifier
		want      string // part of the error
	}{
		{"one iteration too many", pb(pbkdf2{salt, pbe.MaxIterations + 1, 0, none}), "2000001 iterations"},
		{"iterations for ever", pb(pbkdf2{salt, math.MaxInt64, 0, none}), "iterations"},
		{"no iteration", pb(pbkdf2{salt, 0, 0, none}), "0 iterations"},
		{"less than none", pb(pbkdf2{salt, -1, 0, none}), "-1 iterations"},
		{"no salt", pb(pbkdf2{nil, 1, 0, none}), "salt has 0 bytes"},
		{"a salt of 1 MB", pb(pbkdf2{make([]byte, 1<<20), 1, 0, none}), "salt has 1048576 bytes"},
		{"a key of another length", pb(pbkdf2{salt, 1, 16, none}), "a key of 16 bytes for AES-256-CBC"},
		{"a key without end", pb(pbkdf2{salt, 1, math.MaxInt64, none}), "a key of"},
		{"an unknown hash", pb(pbkdf2{salt, 1, 0, pkix.AlgorithmIdentifier{Algorithm: ids(2, 5)}}), "a hash that is not known (1.2.840.113549.2.5)"},
		{"parameters that are none", pb("text"), "parameters of PBKDF2"},
		{"scrypt of 64 MB", sc(65536, 8, 1), "N = 65536"},
		{"scrypt without end", sc(math.MaxInt64, math.MaxInt64, math.MaxInt64), "costs too much"},
		{"scrypt whose product overflows to nothing", sc(1<<32, 1<<32, 1), "costs too much"},
		{"scrypt with N that is no power of two", sc(16383, 8, 1), "N = 16383"},
		{"scrypt with N of one", sc(1, 8, 1), "N = 1"},
		{"scrypt with r of nought", sc(16384, 0, 1), "r = 0"},
		{"scrypt with p below nought", sc(16384, 8, -1), "p = -1"},
		{"scrypt that takes long in little memory", sc(16384, 8, 9), "p = 9"},
		{"scrypt with a wide r", sc(2, 1<<20, 1), "r = 1048576"},
		{"scrypt without a salt", scheme(t, kdfScrypt(), scrypt{nil, 2, 1, 1, 0}), "salt"},
		{"scrypt with a key of another length", scheme(t, kdfScrypt(), scrypt{salt, 2, 1, 1, 24}), "a key of 24 bytes"},
		{"scrypt with parameters that are none", scheme(t, kdfScrypt(), 1), "parameters of scrypt"},
		{"another derivation", scheme(t, ids(1, 5, 99), 1), "a function that is not known (1.2.840.113549.1.5.99)"},
		{"another cipher", enc(algorithm(t, ids(3, 2), iv)), "a cipher that is not known (1.2.840.113549.3.2)"},
		{"an initial vector that is short", enc(algorithm(t, aes256(), iv[:15])), "15 bytes in place of 16"},
		{"an initial vector that is none", enc(algorithm(t, aes256(), 7)), "parameters of AES-256-CBC"},
		{"no initial vector", enc(pkix.AlgorithmIdentifier{Algorithm: aes256()}), "parameters of AES-256-CBC"},
		{"PBES2 without parameters", pkix.AlgorithmIdentifier{Algorithm: ids(1, 5, 13)}, "parameters of PBES2"},
		{"PBES1 with MD5 and DES", algorithm(t, ids(1, 5, 3), pkcs12{salt, 1}), "MD5 and DES (PBES1)"},
		{"PBES1 with SHA-1 and RC2", algorithm(t, ids(1, 5, 11), pkcs12{salt, 1}), "openssl pkcs8 -topk8"},
		{"an algorithm that nobody knows", algorithm(t, ids(9, 9), 1), "1.2.840.113549.9.9"},
		{"no algorithm", none, "not known"},
		{"PKCS#12 with too many iterations", algorithm(t, ids(1, 12, 1, 3), pkcs12{salt, 3_000_000}), "3000000 iterations"},
		{"PKCS#12 without parameters", pkix.AlgorithmIdentifier{Algorithm: ids(1, 12, 1, 3)}, "parameters of 3DES-CBC"},
		{"PKCS#12 with RC4", algorithm(t, ids(1, 12, 1, 1), pkcs12{salt, 1}), "not known"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pbe.Parse(tt.algorithm)
			if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	salt := make([]byte, 8)
	for last, want := range map[int]string{7: "HMAC-SHA1", 8: "HMAC-SHA224", 9: "HMAC-SHA256", 10: "HMAC-SHA384", 11: "HMAC-SHA512", 12: "HMAC-SHA512-224", 13: "HMAC-SHA512-256"} {
		k, err := pbe.ParsePBKDF2(algorithm(t, ids(1, 5, 12), pbkdf2{salt, 7, 20, pkix.AlgorithmIdentifier{Algorithm: ids(2, last)}}))
		if err != nil || k.PRF != want || k.Iterations != 7 || k.KeyLength != 20 {
			t.Errorf("PBKDF2 with %s: got %+v, %v", want, k, err)
		}
	}
	if _, err := pbe.ParsePBKDF2(algorithm(t, kdfScrypt(), 1)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("scrypt in place of PBKDF2: got %v, want ErrInvalid", err)
	}
	for last, want := range map[int]string{3: "3DES-CBC", 4: "2-key 3DES-CBC", 5: "RC2-128-CBC", 6: "RC2-40-CBC"} {
		s, err := pbe.Parse(algorithm(t, ids(1, 12, 1, last), pkcs12{salt, 1}))
		if err != nil || s.Cipher != want {
			t.Errorf("PKCS#12 algorithm %d: got %q, %v, want %q", last, s.Cipher, err, want)
		}
	}
	for last, want := range map[int]string{1: "MD2 and DES", 3: "MD5 and DES", 4: "MD2 and RC2", 6: "MD5 and RC2", 10: "SHA-1 and DES", 11: "SHA-1 and RC2"} {
		if _, err := pbe.Parse(algorithm(t, ids(1, 5, last), 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("PBES1 algorithm %d: got %v, want it to name %q", last, err, want)
		}
	}
	for last, want := range map[int]string{2: "AES-128-CBC", 22: "AES-192-CBC", 42: "AES-256-CBC"} {
		oid := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, last}
		s, err := pbe.Parse(algorithm(t, ids(1, 5, 13), pbes2{algorithm(t, ids(1, 5, 12), pbkdf2{Salt: salt, Iterations: 1}), algorithm(t, oid, make([]byte, 16))}))
		if err != nil || s.Cipher != want {
			t.Errorf("cipher %v: got %q, %v, want %q", oid, s.Cipher, err, want)
		}
	}
}

func TestMemory(t *testing.T) {
	tests := []struct {
		scheme pbe.Scheme
		want   int
	}{
		{pbe.Scheme{KDF: pbe.Scrypt, N: 16384, R: 8, P: 1}, 16 << 20},
		{pbe.Scheme{KDF: pbe.Scrypt, N: 32768, R: 8, P: 4}, pbe.MaxMemory},
		{pbe.Scheme{KDF: pbe.PBKDF2, Iterations: 2048}, 0},
	}
	for _, tt := range tests {
		if got := tt.scheme.Memory(); got != tt.want {
			t.Errorf("%+v takes %d bytes, want %d", tt.scheme, got, tt.want)
		}
	}
}

func TestCheckData(t *testing.T) {
	s := pbe.Scheme{Cipher: "AES-256-CBC", BlockSize: 16}
	for n, good := range map[int]bool{0: false, 1: false, 15: false, 16: true, 17: false, 32: true} {
		if err := s.CheckData(make([]byte, n)); (err == nil) != good {
			t.Errorf("%d bytes: got %v, want good to be %v", n, err, good)
		}
	}
}

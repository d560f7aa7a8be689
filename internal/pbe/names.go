package pbe

// A blockCipher is one of PBES2's; sizes in bytes.
type blockCipher struct {
	name  string
	block int
	key   int
}

func cipherOf(oid string) (blockCipher, bool) {
	switch oid {
	case "2.16.840.1.101.3.4.1.2":
		return blockCipher{"AES-128-CBC", 16, 16}, true
	case "2.16.840.1.101.3.4.1.22":
		return blockCipher{"AES-192-CBC", 16, 24}, true
	case "2.16.840.1.101.3.4.1.42":
		return blockCipher{"AES-256-CBC", 16, 32}, true
	case "1.2.840.113549.3.7":
		return blockCipher{"3DES-CBC", 8, 24}, true
	}
	return blockCipher{}, false
}

// prf names the hash of PBKDF2; where none is said it is SHA-1 (RFC 8018,
// appendix A.2).
func prf(oid string) (string, bool) {
	switch oid {
	case "", "1.2.840.113549.2.7":
		return "HMAC-SHA1", true
	case "1.2.840.113549.2.8":
		return "HMAC-SHA224", true
	case "1.2.840.113549.2.9":
		return "HMAC-SHA256", true
	case "1.2.840.113549.2.10":
		return "HMAC-SHA384", true
	case "1.2.840.113549.2.11":
		return "HMAC-SHA512", true
	case "1.2.840.113549.2.12":
		return "HMAC-SHA512-224", true
	case "1.2.840.113549.2.13":
		return "HMAC-SHA512-256", true
	}
	return "", false
}

// pkcs12Cipher names PKCS#12's own algorithms (RFC 7292, appendix C), but for
// RC4, which nobody can read any more.
func pkcs12Cipher(oid string) (string, bool) {
	switch oid {
	case "1.2.840.113549.1.12.1.3":
		return "3DES-CBC", true
	case "1.2.840.113549.1.12.1.4":
		return "2-key 3DES-CBC", true
	case "1.2.840.113549.1.12.1.5":
		return "RC2-128-CBC", true
	case "1.2.840.113549.1.12.1.6":
		return "RC2-40-CBC", true
	}
	return "", false
}

// pbes1 names the algorithms of RFC 8018, section 6.1.
func pbes1(oid string) (string, bool) {
	switch oid {
	case "1.2.840.113549.1.5.1":
		return "MD2 and DES", true
	case "1.2.840.113549.1.5.3":
		return "MD5 and DES", true
	case "1.2.840.113549.1.5.4":
		return "MD2 and RC2", true
	case "1.2.840.113549.1.5.6":
		return "MD5 and RC2", true
	case "1.2.840.113549.1.5.10":
		return "SHA-1 and DES", true
	case "1.2.840.113549.1.5.11":
		return "SHA-1 and RC2", true
	}
	return "", false
}

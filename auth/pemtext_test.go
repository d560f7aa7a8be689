package auth_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A damaged text is one that editors, shells and people make of a good block.
type damaged struct {
	what string
	make func(block string) string
	read bool // it is read all the same
}

func damages() []damaged {
	replace := func(old, with string) func(string) string {
		return func(b string) string { return strings.Replace(b, old, with, 1) }
	}
	body := func(b string) (string, string, string) {
		lines := strings.SplitAfter(b, "\n")
		return lines[0], strings.Join(lines[1:len(lines)-2], ""), lines[len(lines)-2]
	}
	return []damaged{
		{"as it is", func(b string) string { return b }, true},
		{"a byte-order mark before it", func(b string) string { return "\ufeff" + b }, true},
		{"a no-break space before it", func(b string) string { return "\u00a0" + b }, true},
		{"no line break behind it", strings.TrimSpace, true},
		{"line breaks written out", func(b string) string { return strings.ReplaceAll(b, "\n", `\n`) }, true},
		{"CR and LF written out", func(b string) string { return strings.ReplaceAll(b, "\n", `\r\n`) }, true},
		{"CR LF", func(b string) string { return strings.ReplaceAll(b, "\n", "\r\n") }, true},
		{"CR alone", func(b string) string { return strings.ReplaceAll(b, "\n", "\r") }, true},
		{"indented", func(b string) string { return strings.ReplaceAll("\n"+b, "\n", "\n    ") }, true},
		{"indented by tabs", func(b string) string { return strings.ReplaceAll("\n"+b, "\n", "\n\t") }, true},
		{"on one line", func(b string) string { return strings.ReplaceAll(b, "\n", " ") }, true},
		{"empty lines between", func(b string) string { return strings.ReplaceAll(b, "\n", "\n\n") }, true},
		{"white space at the ends", func(b string) string { return strings.ReplaceAll(b, "\n", "  \n") }, true},
		{"in quotes", func(b string) string { return `"` + strings.TrimSpace(b) + `"` + "\n" }, true},
		{"a dash too many", func(b string) string { return "-" + b }, true},

		{"a stray character", replace("\nMI", "\n*MI"), false},
		{"a stray dash", replace("\nMI", "\n-MI"), false},
		{"a zero-width space", replace("\nMI", "\nM\u200bI"), false},
		{"a no-break space inside", replace("\nMI", "\nM\u00a0I"), false},
		{"a character lost", replace("A", ""), false},
		{"a character too many", replace("A", "AA"), false},
		{"a line lost at the end", func(b string) string {
			lines := strings.SplitAfter(b, "\n")
			return strings.Join(slices.Delete(lines, len(lines)-3, len(lines)-2), "") + "" // its padding is gone
		}, false},
		{"a quoted mail", func(b string) string { return "> " + strings.ReplaceAll(strings.TrimSpace(b), "\n", "\n> ") + "\n" }, false},
		{"a comment inside", func(b string) string { first, mid, last := body(b); return first + "# the CA\n" + mid + last }, false},
		{"no END line", func(b string) string { first, mid, _ := body(b); return first + mid }, false},
		{"cut in the middle", func(b string) string { return b[:len(b)/2] + "\n" }, false},
		{"cut in its END line", func(b string) string { return b[:len(b)-8] + "\n" }, false},
		{"no BEGIN line", func(b string) string { _, mid, last := body(b); return mid + last }, false},
		{"neither BEGIN nor END", func(b string) string { _, mid, _ := body(b); return mid }, false},
		{"four dashes at its begin", func(b string) string { return b[1:] }, false},
		{"four dashes behind BEGIN", replace("-----\n", "----\n"), false},
		{"four dashes at END", replace("\n-----END", "\n----END"), false},
		{"four dashes behind END", func(b string) string { return strings.TrimSuffix(b, "-\n") + "\n" }, false},
		{"no dashes at its begin", replace("-----BEGIN", "BEGIN"), false},
		{"long dashes", func(b string) string { return strings.ReplaceAll(b, "-----", "—–—") }, false},
		{"minus signs", func(b string) string { return strings.ReplaceAll(b, "-----", "−−−−−") }, false},
		{"a dash lost by Markdown", func(b string) string { return strings.ReplaceAll(b, "-----", "—---") }, false},
		{"a space among the dashes", replace("-----BEGIN", "- ----BEGIN"), false},
		{"in lower case", func(b string) string {
			first, mid, last := body(b)
			return strings.ToLower(first) + mid + strings.ToLower(last)
		}, false},
		{"BEGIN misspelled", replace("BEGIN", "BEGN"), false},
		{"BEGIN without its blank", replace("BEGIN ", "BEGIN"), false},
		{"two blanks", replace("BEGIN ", "BEGIN  "), false},
		{"another END", replace("END ", "END X"), false},
		{"a tab for the blank", replace("BEGIN ", "BEGIN\t"), false},
		{"BEGIN twice", func(b string) string { first, _, _ := body(b); return first + b }, false},
		{"END twice", func(b string) string { _, _, last := body(b); return b + last }, false},
		{"empty", func(b string) string { first, _, last := body(b); return first + last }, false},
		{"a label cut in two lines", replace("BEGIN ", "BEGIN\n"), false},
	}
}

// TestNoBlockVanishes damages the first, the second and the last certificate of a
// chain, and the key, in every way: each is read, or the error names it by number.
func TestNoBlockVanishes(t *testing.T) {
	root := newIssuer(t, "root", nil)
	upper := newIssuer(t, "upper", root)
	lower := newIssuer(t, "lower", upper)
	key := newECKey(t)
	leaf := newLeaf(t, "dev1", lower, key)
	files := []string{string(certPEM(leaf)), string(certPEM(lower)), string(certPEM(upper))}
	plain := string(keyPEM(t, key))
	for _, d := range damages() {
		for n := range files {
			chain := slices.Clone(files)
			chain[n] = d.make(chain[n])
			if chain[n] == files[n] && d.what != "as it is" {
				t.Fatalf("%s: it damages nothing", d.what)
			}
			cert, err := auth.ParseX509([]byte(strings.Join(chain, "")), []byte(plain), nil)
			pool, rootsErr := auth.ParseRoots([]byte(strings.Join(chain, "")))
			if d.read {
				if err != nil || len(cert.Certificate) != 3 || rootsErr != nil {
					t.Errorf("certificate %d, %s: got %d certificates, %v, %v; want 3", n+1, d.what, len(cert.Certificate), err, rootsErr)
				}
				continue
			}
			for _, err := range []error{err, rootsErr} {
				if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "PEM block") || strings.Contains(err.Error(), "gap") {
					t.Errorf("certificate %d, %s: got %v, want ErrInvalid that names a block", n+1, d.what, err)
				}
			}
			if pool != nil {
				t.Errorf("certificate %d, %s: a pool with the error", n+1, d.what)
			}
		}
		cert, err := auth.ParseX509([]byte(strings.Join(files, "")), []byte(d.make(plain)), nil)
		switch {
		case d.read && (err != nil || len(cert.Certificate) != 3):
			t.Errorf("the key, %s: %v", d.what, err)
		case !d.read && (!errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "PEM block") && !strings.Contains(err.Error(), "cannot be read: cut")):
			t.Errorf("the key, %s: got %v, want ErrInvalid that names the block", d.what, err)
		case err != nil:
			for i := 0; i+8 < len(plain)-60; i++ {
				if part := plain[28+i : 36+i]; !strings.Contains(part, "-") && strings.Contains(err.Error(), part) {
					t.Errorf("the key, %s: the error holds %q of it: %v", d.what, part, err)
				}
			}
		}
	}
}

// TestBlocksOfOtherKinds: certificates in other blocks than CERTIFICATE, and
// do not vanish there.
func TestBlocksOfOtherKinds(t *testing.T) {
	root := newIssuer(t, "root", nil)
	lower := newIssuer(t, "lower", root)
	key := newECKey(t)
	leaf := newLeaf(t, "dev1", lower, key)
	block := func(kind string, der ...byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for _, tt := range []struct{ what, text, says string }{ // says is empty where both are read
		{"an old name", block("X509 CERTIFICATE", lower.cert.Raw...), ""},
		{"OpenSSL's, with what it is trusted for", block("TRUSTED CERTIFICATE", append(slices.Clone(lower.cert.Raw), 0x30, 3, 0x0c, 1, 'x')...), ""},
		{"a list of curves beside it", string(certPEM(lower)) + block("EC PARAMETERS", 6, 0), ""},
		{"a CRL beside it", string(certPEM(lower)) + block("X509 CRL", 0x30, 0), ""},
		{"the request beside it", block("CERTIFICATE REQUEST", 0x30, 0) + string(certPEM(lower)), ""},
		{"PKCS#7", block("PKCS7", lower.cert.Raw...), "PEM block 2 (PKCS7) cannot be read: certificates in this form are not read; openssl pkcs7"},
		{"PKCS#7 by its long name", block("PKCS #7 SIGNED DATA", 0x30, 0), "PEM block 2"},
		{"CMS", block("CMS", 0x30, 0), "PEM block 2 (CMS)"},
		{"a kind that is not known", block("MY CERTIFICATE", 0x30, 0), "PEM block 2 (MY CERTIFICATE)"},
		{"nothing that OpenSSL trusts", block("TRUSTED CERTIFICATE", 0x30, 99), "PEM block 2 (TRUSTED CERTIFICATE)"},
		{"another name", block("CERT", lower.cert.Raw...), "PEM block 2 (CERT) cannot be read: a certificate is in it"},
		{"a misspelt name", block("CERTIFCATE", lower.cert.Raw...), "PEM block 2 (CERTIFCATE)"},
		{"junk", block("CERTIFICATE", 0x30, 0), "certificate 2 in the file cannot be read (PEM block 2)"},
		{"UTF-16", "", "UTF-16"},
	} {
		text := []byte(string(certPEM(leaf)) + tt.text)
		if tt.what == "UTF-16" {
			text = append([]byte("\xff\xfe"), bytes.ReplaceAll(text, []byte(""), []byte("\x00"))[1:]...)
		}
		cert, err := auth.ParseX509(text, keyPEM(t, key), nil)
		switch {
		case tt.says == "" && (err != nil || len(cert.Certificate) != 2):
			t.Errorf("%s: got %d certificates, %v; want 2", tt.what, len(cert.Certificate), err)
		case tt.says != "" && (!errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: got %v, want ErrInvalid with %q", tt.what, err, tt.says)
		}
	}
	_, err := auth.ParseX509([]byte(block("CERTIFICATE REQUEST", 0x30, 0)), keyPEM(t, key), nil)
	wantError(t, err, auth.ErrInvalid, "a certificate request is")
}

// TestRemains: base64 outside of blocks is what was left of one, however its lines
// are made, and so is a file in UTF-16 that was joined to another.
func TestRemains(t *testing.T) {
	block := string(certPEM(newIssuer(t, "root", nil)))
	_, body, _ := strings.Cut(strings.TrimSpace(block), "\n")
	body = body[:strings.LastIndex(body, "\n")+1]
	short := regexp.MustCompile(`.{1,32}`).ReplaceAllString(body, "$0\n")
	for what, text := range map[string]string{
		"lines that end as on an old Mac": strings.ReplaceAll(body, "\n", "\r"),
		"Unicode's line separators":       strings.ReplaceAll(body, "\n", "\u2028"),
		"short lines":                     short,
		"short lines between stars":       "** BEGIN CERT **\n" + short + "** END CERT **\n",
		"quoted lines":                    "\"" + strings.ReplaceAll(body, "\n", "\",\n\""),
		"lines with commas":               strings.ReplaceAll(body, "\n", ",\n"),
		"lines of a shell":                strings.ReplaceAll(body, "\n", "\\\n"),
		"UTF-16, little end first":        "\xff\xfe" + regexp.MustCompile(`(?s).`).ReplaceAllString(block, "$0\x00"),
		"UTF-16, big end first":           "\xfe\xff" + regexp.MustCompile(`(?s).`).ReplaceAllString(block, "\x00$0"),
	} {
		for _, text := range []string{block + text, text + block, block + text + block} {
			if _, err := auth.ParseRoots([]byte(text)); !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("%s: got %v, want ErrInvalid", what, err)
			}
		}
	}
}

// TestTextBetweenBlocks: what people and tools write there is no block.
func TestTextBetweenBlocks(t *testing.T) {
	block := string(certPEM(newIssuer(t, "root", nil)))
	for _, text := range []string{
		"# My CA, the end of the chain\n", "=====================\n", "subject=CN = root, O = Friends & Vendors\n", "---\nCertificate chain\n",
		" 0 s:CN=dev1\n   i:CN=lower\n", "Bag Attributes\n    localKeyID: 54 69 6D 65 20 31\n    friendlyName: dev1\nKey Attributes: <No Attributes>\n",
		"SHA256 Fingerprint=AB:CD:EF\n", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\n", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
		"        Signature Value:\n            30:45:02:20:5a:\n", "/usr/local/share/ca-certificates/root.crt\n", "ParseCertificate2048\n", "myPlantCertificates2026\nandTheirIntermediates\n", "Not After : Jan  1 00:00:00 2030 GMT\n",
		"No client certificate CA names sent\n", "-- send it to the vendor --\n", "tls: |\n", "// begin\n", "\x00", "\xff",
	} {
		blocks, err := auth.ParsePEM(own.Key{}, []byte(text+block+text+block+text))
		if err != nil || len(blocks) != 2 {
			t.Errorf("%q between blocks: got %d of them, %v", text, len(blocks), err)
		}
	}
	joined := strings.Replace(block+block, "-----\n-----BEGIN", "-----BEGIN", 1)
	if blocks, err := auth.ParsePEM(own.Key{}, []byte(joined)); err != nil || len(blocks) != 2 {
		t.Errorf("blocks that share their dashes: got %d, %v", len(blocks), err)
	}
	inJSON := `{"cert": "` + strings.ReplaceAll(block, "\n", `\n`) + `", "CERTIFICATE_CHAIN": "` + strings.ReplaceAll(block, "\n", `\n`) + `"}`
	if blocks, err := auth.ParsePEM(own.Key{}, []byte(inJSON)); err != nil || len(blocks) != 2 {
		t.Errorf("blocks in JSON: got %d, %v", len(blocks), err)
	}
	if bundle, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt"); err == nil {
		if _, err := auth.ParseRoots(bundle); err != nil {
			t.Errorf("the system's own roots: %v", err)
		}
	}
	if _, err := auth.ParsePEM(own.Key{}, make([]byte, 4<<20+1)); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a huge text: got %v", err)
	}
}

// FuzzParsePEM: every BEGIN line is a block or an error, and what package pem
// reads is read the same.
func FuzzParsePEM(f *testing.F) {
	const block = "-----BEGIN CERTIFICATE-----\nMIIBGTCBwaADAgECAgEBMAoGCCqGSM49BAMCMA8xDTALBgNVBAMTBGRldjEwHhcN\n-----END CERTIFICATE-----\n"
	for _, d := range damages() {
		f.Add([]byte(block + d.make(block)))
	}
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		blocks, err := auth.ParsePEM(own.Key{}, text)
		if err != nil {
			if !errors.Is(err, auth.ErrInvalid) || blocks != nil || len(err.Error()) > 400 {
				t.Fatalf("%q: got %d blocks with %v", text, len(blocks), err)
			}
			return
		}
		if n := bytes.Count(text, []byte("-----BEGIN ")); n != len(blocks) {
			t.Fatalf("%q: %d blocks of %d, and no error", text, len(blocks), n)
		}
		for i, rest := 0, text; ; i++ {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil {
				break
			}
			if !slices.ContainsFunc(blocks, func(own *pem.Block) bool { return own.Type == b.Type && bytes.Equal(own.Bytes, b.Bytes) }) {
				t.Fatalf("%q: package pem reads a %s that is not among the blocks", text, b.Type)
			}
		}
	})
}

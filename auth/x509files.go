package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// X509Files is the Credential of a certificate and its key in PEM files, as
// [ParseX509] reads them. An empty keyFile means that the key stands in
// certFile, or that opts.Key is it. It is [X509Reload] of these files.
func X509Files(certFile, keyFile string, opts *X509Options) Credential {
	var o X509Options
	if opts != nil {
		o = *opts
	}
	files := []string{certFile}
	if keyFile != "" {
		files = append(files, keyFile)
	}
	return X509Reload(func(texts [][]byte) (tls.Certificate, error) {
		var key []byte
		if len(texts) > 1 {
			key = texts[1]
		}
		return ParseX509(texts[0], key, &o)
	}, files...)
}

// X509Reload is the Credential of a certificate in files that may be replaced
// while the program runs. The files are read for each connection, and parsed
// when one of them has changed; package device's Client.Renew makes a connection
// at once.
//
// Files are replaced one after the other, and a connection may fall in between:
// while the new ones cannot be read, do not fit each other or parse fails, the
// certificate that was read last stays in use. Without an earlier one that is
// an error: a file that cannot be read matches the error of package os, and
// is tried again at the next connection; what parse returns stays as it is.
//
// parse gets the contents of the files in order, each up to 256 KB, and is not
// called concurrently.
func X509Reload(parse func(contents [][]byte) (tls.Certificate, error), files ...string) Credential {
	r := &reloader{files: files, parse: parse}
	return &certificate{load: r.load}
}

// reloader reads files when they are asked for.
type reloader struct {
	files []string
	parse func([][]byte) (tls.Certificate, error)

	mu    sync.Mutex // held while the files are read and parsed
	texts [][]byte   // what good came from
	good  *tls.Certificate
}

func (r *reloader) load(context.Context) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cert, err := r.read()
	if err != nil && r.good != nil {
		return r.good, nil
	}
	return cert, err
}

// read reads the files, and parses what is new.
func (r *reloader) read() (*tls.Certificate, error) {
	texts := make([][]byte, len(r.files))
	for i, name := range r.files {
		var err error
		if texts[i], err = readFile(name); err != nil {
			return nil, fmt.Errorf("auth: read the client certificate or its key: %w", errtext.Bare("auth", err))
		}
	}
	if r.good != nil && equalTexts(texts, r.texts) {
		return r.good, nil
	}
	cert, err := r.parse(texts)
	if err != nil {
		return nil, err
	}
	if err := checkPair(&cert); err != nil {
		return nil, err
	}
	r.good, r.texts = &cert, texts
	return r.good, nil
}

// readFile reads a file that should be small.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrInvalid, name, maxPEM)
	}
	return text, err
}

func equalTexts(a, b [][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

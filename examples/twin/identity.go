package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pfx"
	"github.com/devicetwin/devicetwin-go/auth/pkcs8"
)

// who is what the command line says of the identity.
type who struct {
	connection       string
	hostname, device string
	cert, key, pfx   string
	pass             string
}

func (w *who) flags(f *flag.FlagSet) {
	f.StringVar(&w.connection, "c", "", "")
	f.StringVar(&w.hostname, "hostname", "", "")
	f.StringVar(&w.device, "device", "", "")
	f.StringVar(&w.cert, "cert", "", "")
	f.StringVar(&w.key, "key", "", "")
	f.StringVar(&w.pfx, "pfx", "", "")
	f.StringVar(&w.pass, "pass", "", "")
}

// identify finds the identity, and what proves it.
func (w *who) identify(env func(string) string) (auth.Identity, auth.Credential, error) {
	id, cred, err := w.named(env)
	if err != nil {
		return id, nil, err
	}
	certificate, err := w.certificate(env)
	switch {
	case err != nil:
		return id, nil, err
	case cred != nil && certificate != nil:
		return id, nil, usagef("the connection string holds a key or token, and there is a certificate, too; leave one")
	case cred == nil && certificate == nil:
		return id, nil, usagef("the identity is proven by a certificate: give -cert and -key, or -pfx")
	case cred == nil:
		cred = certificate
	}
	return id, cred, nil
}

// named reads the identity; the credential is nil where a certificate has to
// prove it.
func (w *who) named(env func(string) string) (auth.Identity, auth.Credential, error) {
	if w.hostname != "" || w.device != "" {
		if w.connection != "" {
			return auth.Identity{}, nil, usagef("-hostname and -device stand in place of -c; leave one")
		}
		id := auth.Identity{Host: w.hostname}
		id.DeviceID, id.ModuleID, _ = strings.Cut(w.device, "/")
		if id.Validate() != nil { // whose text would quote what stands in the wrong place
			return id, nil, usagef("-hostname and -device go together: a hub's full name, such as myhub.azure-devices.net, and an id of up to 128 letters, digits and - : . + %% _ # * ? ! ( ) , = @ ; $ ', other than . and ..")
		}
		return id, nil, nil
	}
	if w.connection == "" {
		w.connection = env(variable)
	}
	if w.connection == "" {
		return auth.Identity{}, nil, usagef("there is no connection string; set %s, or give -c, or -hostname and -device", variable)
	}
	return auth.ParseConnectionString(w.connection)
}

// certificate is the credential of the files that are named; nil for none. They
// are read once here, so that what is wrong with them is wrong usage.
func (w *who) certificate(env func(string) string) (auth.Credential, error) {
	pass, err := w.passphrase(env)
	if err != nil {
		return nil, err
	}
	var cred auth.Credential
	switch {
	case w.pfx != "" && (w.cert != "" || w.key != ""):
		return nil, usagef("-pfx holds certificate and key; leave it, or -cert and -key")
	case w.pfx != "":
		cred = pfx.File(w.pfx, pass)
	case w.cert != "":
		cred = auth.X509Files(w.cert, w.key, &auth.X509Options{Passphrase: pass, Decrypt: pkcs8.Decrypt})
	case w.key != "":
		return nil, usagef("-key has no -cert")
	case w.pass != "":
		return nil, usagef("-pass has no -key and no -pfx to open")
	default:
		return nil, nil
	}
	var file *fs.PathError
	if _, err := cred.Certificate(context.Background()); errors.As(err, &file) { // without the name, which might be a secret
		return nil, usagef("the certificate or its key cannot be read: %w", file.Err)
	} else if err != nil {
		return nil, err
	}
	return cred, nil
}

// passphrase is read from where -pass says.
func (w *who) passphrase(env func(string) string) (string, error) {
	if name, ok := strings.CutPrefix(w.pass, "env:"); ok {
		if env(name) == "" {
			return "", usagef("-pass: the variable is not set")
		}
		return env(name), nil
	}
	name, ok := strings.CutPrefix(w.pass, "file:")
	if !ok {
		return w.pass, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", usagef("-pass: the file cannot be read")
	}
	defer f.Close()
	line := bufio.NewScanner(f)
	if !line.Scan() {
		return "", usagef("-pass: the file has no first line")
	}
	return strings.TrimPrefix(line.Text(), "\ufeff"), nil // which Windows puts at a file's beginning
}

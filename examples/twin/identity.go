package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pfx"
	"github.com/devicetwin/devicetwin-go/auth/pkcs8"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
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

// fromInfo takes identity and place from the file of a hub.
func (w *who) fromInfo(file string, hub *desk.Place) error {
	for _, other := range []struct{ flag, value string }{
		{"-c", w.connection}, {"-hostname", w.hostname}, {"-cert", w.cert}, {"-key", w.key}, {"-pfx", w.pfx},
		{"-pass", w.pass}, {"-ca", hub.CA}, {"-endpoint", hub.Endpoint},
	} {
		if other.value != "" {
			if other.flag != "-c" && other.flag != "-pass" {
				other.flag += " " + desk.Quote(other.value)
			}
			return desk.Usagef("-info %s and %s: leave one; -info is for the whole of identity and place", desk.Quote(file), other.flag)
		}
	}
	info, err := desk.ReadInfo(file)
	if err != nil {
		return err
	}
	id, err := info.Pick(w.device)
	if err != nil {
		return err
	}
	d := info.Devices[id]
	*w = who{connection: d.ConnectionString, cert: d.Cert, key: d.Key}
	hub.Take(info)
	return nil
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
		return id, nil, desk.Usagef("%s: leave it; the connection string holds a key or token", w.files())
	case cred == nil && certificate == nil:
		return id, nil, desk.Usagef("missing -cert and -key, or -pfx: %s proves its identity by a certificate", desk.Quote(id.DeviceID))
	case cred == nil:
		cred = certificate
	}
	return id, cred, nil
}

// named reads the identity; the credential is nil where a certificate has to
// prove it.
func (w *who) named(env func(string) string) (auth.Identity, auth.Credential, error) {
	if w.hostname != "" || w.device != "" {
		id, err := w.spelt()
		return id, nil, err
	}
	if w.connection != "" {
		return desk.Identity(w.connection, "-c")
	}
	if env(desk.DeviceVariable) == "" {
		return auth.Identity{}, nil, desk.Usagef("missing connection string: set %s, or give -c, or -hostname and -device, or -info", desk.DeviceVariable)
	}
	return desk.Identity(env(desk.DeviceVariable), desk.DeviceVariable)
}

// spelt is the identity of -hostname and -device.
func (w *who) spelt() (auth.Identity, error) {
	var id auth.Identity
	switch {
	case w.connection != "" && w.hostname != "":
		return id, desk.Usagef("-hostname %s and -c: leave one", desk.Quote(w.hostname))
	case w.connection != "":
		return id, desk.Usagef("-device %s and -c: leave one", desk.Quote(w.device))
	case w.hostname == "":
		return id, desk.Usagef("-device %s: missing -hostname", desk.Quote(w.device))
	case w.device == "":
		return id, desk.Usagef("-hostname %s: missing -device", desk.Quote(w.hostname))
	}
	id.Host = w.hostname
	if (auth.Identity{Host: id.Host, DeviceID: "d"}).Validate() != nil { // which quotes what may be a secret
		return id, desk.Usagef("-hostname %s: want a hub's full name, such as myhub.azure-devices.net", desk.Quote(w.hostname))
	}
	id.DeviceID, id.ModuleID, _ = strings.Cut(w.device, "/")
	if id.Validate() != nil || strings.HasSuffix(w.device, "/") {
		return id, desk.Usagef("-device %s: want device or device/module, each up to 128 letters, digits and - : . + %% _ # * ? ! ( ) , = @ ; $ ', other than . and ..", desk.Quote(w.device))
	}
	return id, nil
}

// files names the certificate's files, with their flags.
func (w *who) files() string {
	switch {
	case w.pfx != "":
		return "-pfx " + desk.Quote(w.pfx)
	case w.key != "":
		return "-cert " + desk.Quote(w.cert) + " and -key " + desk.Quote(w.key)
	}
	return "-cert " + desk.Quote(w.cert)
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
		return nil, desk.Usagef("-pfx %s and -cert or -key: leave one; a PFX holds certificate and key", desk.Quote(w.pfx))
	case w.pfx != "":
		cred = pfx.File(w.pfx, pass)
	case w.cert != "":
		cred = auth.X509Files(w.cert, w.key, &auth.X509Options{Passphrase: pass, Decrypt: pkcs8.Decrypt})
	case w.key != "":
		return nil, desk.Usagef("-key %s: missing -cert", desk.Quote(w.key))
	case w.pass != "":
		return nil, desk.Usagef("-pass: missing -key or -pfx, which it opens")
	default:
		return nil, nil
	}
	_, err = auth.CertificateOf(context.Background(), cred)
	var file *fs.PathError
	switch {
	case err == nil:
		return cred, nil
	case errors.As(err, &file) && file.Path == w.key && w.key != "":
		return nil, desk.Usagef("-key %s: %w", desk.Quote(w.key), file.Err)
	case errors.As(err, &file) && file.Path == w.cert:
		return nil, desk.Usagef("-cert %s: %w", desk.Quote(w.cert), file.Err)
	}
	return nil, desk.Usagef("%s: %w", w.files(), desk.Nameless(err))
}

// passphrase is read from where -pass says.
func (w *who) passphrase(env func(string) string) (string, error) {
	if name, ok := strings.CutPrefix(w.pass, "env:"); ok {
		if env(name) == "" {
			return "", desk.Usagef("-pass %s: the variable is not set", desk.Quote(w.pass))
		}
		return env(name), nil
	}
	name, ok := strings.CutPrefix(w.pass, "file:")
	if !ok {
		return w.pass, nil
	}
	text, err := desk.ReadFile(name)
	if err != nil {
		return "", desk.Usagef("-pass %s: %w", desk.Quote(w.pass), err)
	}
	line := bufio.NewScanner(bytes.NewReader(text))
	if !line.Scan() {
		return "", desk.Usagef("-pass %s: no first line in the file", desk.Quote(w.pass))
	}
	return strings.TrimPrefix(line.Text(), "\ufeff"), nil // which Windows puts at a file's beginning
}

package edge

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// DefaultTimeout bounds one request to the daemon unless Options says
// otherwise. It is long for a socket on the same board, since the key may be in
// a TPM that is busy with others.
const DefaultTimeout = 30 * time.Second

// DefaultAPIVersion is the version of the workload API that is asked for where
// IOTEDGE_APIVERSION is unset: the first, which every daemon still speaks. What
// is used of it has not changed since.
const DefaultAPIVersion = "2018-06-28"

// Options shape a module; nil means all defaults.
type Options struct {
	// TokenLifetime is the life of each token, from one minute to 366 days; 0
	// means an hour. A module at a desk always has the default.
	TokenLifetime time.Duration
	// Timeout bounds each request to the daemon, besides its context; 0 means
	// DefaultTimeout. A negative one is an error.
	Timeout time.Duration
}

// A Module is what IoT Edge tells a module about itself. It may be used
// concurrently and by many clients, and needs no closing.
type Module struct {
	// Identity names the module, its hub and its gateway.
	Identity auth.Identity
	// Credential signs tokens by the daemon, or at a desk by the key of the
	// connection string.
	Credential auth.Credential

	roots func(context.Context) (*x509.CertPool, error)
}

// The variables of the environment.
const (
	varWorkload   = "IOTEDGE_WORKLOADURI"
	varHub        = "IOTEDGE_IOTHUBHOSTNAME"
	varGateway    = "IOTEDGE_GATEWAYHOSTNAME"
	varDevice     = "IOTEDGE_DEVICEID"
	varModule     = "IOTEDGE_MODULEID"
	varGeneration = "IOTEDGE_MODULEGENERATIONID"
	varScheme     = "IOTEDGE_AUTHSCHEME"
	varAPIVersion = "IOTEDGE_APIVERSION"

	varConnection = "EdgeHubConnectionString"
	varCAFile     = "EdgeModuleCACertificateFile"
)

// FromEnvironment makes a Module of the variables that IoT Edge sets, as the
// package's documentation lists them; getenv is os.Getenv, or the like of it.
// It asks nobody and reads no file, so there is nothing to retry: each error
// names a variable, says what to do, and matches auth.ErrInvalid.
func FromEnvironment(getenv func(name string) string, opts *Options) (*Module, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	var m *Module
	var err error
	switch {
	case getenv == nil:
		err = invalid("no function to read the environment with; pass os.Getenv")
	case o.Timeout < 0:
		err = invalid("Options.Timeout is %v; it is positive, or 0 for %v", o.Timeout, DefaultTimeout)
	case getenv(varWorkload) != "":
		m, err = inside(getenv, o)
	case getenv(varConnection) != "":
		m, err = atDesk(getenv)
	default:
		err = invalid("neither %s nor %s is set: IoT Edge sets the first for the modules that it starts; at a desk, set the second, with %s",
			varWorkload, varConnection, varCAFile)
	}
	if err != nil {
		return nil, fmt.Errorf("edge: the environment: %w", errtext.Bare("auth", err))
	}
	return m, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{auth.ErrInvalid}, args...)...)
}

// inside is the module that IoT Edge started.
func inside(getenv func(string) string, o Options) (*Module, error) {
	id, d, err := readInside(getenv, o.Timeout)
	if err != nil {
		return nil, err
	}
	cred := auth.SAS(d, &auth.SASOptions{Lifetime: o.TokenLifetime})
	if auth.CheckCredential(own.Key{}, cred) != nil {
		return nil, invalid("Options.TokenLifetime is %v; it is from one minute to 366 days, or 0 for an hour", o.TokenLifetime)
	}
	return &Module{Identity: id, Credential: cred, roots: d.roots}, nil
}

func readInside(getenv func(string) string, timeout time.Duration) (auth.Identity, *daemon, error) {
	var id auth.Identity
	var generation string
	for _, v := range []struct {
		name  string
		to    *string
		check func(string) error
	}{
		{varHub, &id.Host, func(s string) error { return auth.Identity{Host: s, DeviceID: "d"}.Validate() }},
		{varGateway, &id.Gateway, func(s string) error { return auth.Identity{Host: "h", DeviceID: "d", Gateway: s}.Validate() }},
		{varDevice, &id.DeviceID, func(s string) error { return auth.Identity{Host: "h", DeviceID: s}.Validate() }},
		{varModule, &id.ModuleID, func(s string) error { return auth.Identity{Host: "h", DeviceID: "d", ModuleID: s}.Validate() }},
		{varGeneration, &generation, checkWord},
	} {
		*v.to = getenv(v.name)
		if *v.to == "" {
			return auth.Identity{}, nil, invalid("%s is not set, and %s is: IoT Edge sets both for the modules that it starts; does something remove it?", v.name, varWorkload)
		}
		if err := v.check(*v.to); err != nil {
			return auth.Identity{}, nil, fmt.Errorf("%s: %w", v.name, errtext.Bare("auth", err))
		}
	}
	if scheme := getenv(varScheme); scheme != "" && !strings.EqualFold(scheme, "sasToken") {
		return auth.Identity{}, nil, invalid("%s is %.40q; only sasToken is known", varScheme, scheme)
	}
	version := getenv(varAPIVersion)
	if version == "" {
		version = DefaultAPIVersion
	}
	if err := checkWord(version); err != nil {
		return auth.Identity{}, nil, fmt.Errorf("%s: %w", varAPIVersion, errtext.Bare("auth", err))
	}
	at, err := parseURI(getenv(varWorkload))
	if err != nil {
		return auth.Identity{}, nil, fmt.Errorf("%s: %w", varWorkload, errtext.Bare("auth", err))
	}
	return id, newDaemon(at, id.ModuleID, generation, version, timeout), nil
}

// maxWord bounds generation and version; real ones have 18 and 10 characters.
const maxWord = 128

// checkWord refuses what would not stand in a URL as it is, or only by a trick.
func checkWord(s string) error {
	if len(s) > maxWord {
		return invalid("it has %d bytes; at most %d are taken", len(s), maxWord)
	}
	if s == "." || s == ".." {
		return invalid("it is %q, which in a URL means another place", s)
	}
	for i, c := range s {
		alnum := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alnum && !strings.ContainsRune("-._~", c) {
			return invalid("it holds %q at offset %d; only letters, digits and - . _ ~ are known", c, i)
		}
	}
	return nil
}

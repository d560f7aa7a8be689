// Package proxyflag is the flag -proxy of the programs under examples. It is apart
// from desk, so that a program without the flag links no proxy.
package proxyflag

import (
	"flag"
	"log/slog"
	"strings"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
)

// Define defines -proxy, and returns its value.
func Define(f *flag.FlagSet) *string {
	return f.String("proxy", "", "go through the proxy at this `URL`, http:// or socks5://, in place of HTTPS_PROXY's; \"none\" for none. Others on this machine see a password in it: better set HTTPS_PROXY")
}

// Dial returns the way to the proxy that -proxy names, or else the environment, or nil
// for none. The log hears of entries of NO_PROXY that are not understood.
func Dial(url string, env func(string) string, log *slog.Logger) (proxy.DialFunc, error) {
	switch url {
	case "none":
		return nil, nil
	case "":
		dial, err := proxy.FromEnvironment(env, &proxy.Options{Logger: log})
		if err != nil {
			return nil, desk.Usagef("%w", err) // it names the variable
		}
		return dial, nil
	}
	if !strings.Contains(url, "://") {
		return nil, desk.Usagef("-proxy %s: want a URL, such as http://proxy.example:3128 or socks5://proxy.example, or none; one with a password belongs in HTTPS_PROXY", desk.Quote(url))
	}
	dial, err := proxy.New(url, nil)
	if err != nil {
		return nil, desk.Usagef("-proxy %s: %w", desk.Quote(url), err)
	}
	return dial, nil
}

package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
)

// toolsVariable asks for the tests against proxies that are in real use:
// tinyproxy, squid and microsocks, which must then be installed.
const toolsVariable = "DEVICETWIN_TOOLS"

// A tool is a proxy program.
type tool struct {
	name   string
	scheme string
	// start gives its command line, in a folder of its own. It is to listen at
	// the address, and to lead nowhere but to the hub; auth "user:password"
	// is what it wants of clients, if not empty.
	start func(t *testing.T, dir, host, port, hubPort, auth string) []string
	// refuses says that it can be told to lead to some ports only.
	refuses bool
}

func tools() []tool {
	return []tool{
		{"tinyproxy", "http", startTinyproxy, true},
		{"squid", "http", startSquid, true},
		{"squid", "https", startSquidTLS, true},
		{"microsocks", "socks5", startMicrosocks, false},
	}
}

func startTinyproxy(t *testing.T, dir, host, port, hubPort, auth string) []string {
	conf := fmt.Sprintf("Listen %s\nPort %s\nTimeout 60\nAllow 127.0.0.1\nConnectPort %s\n", host, port, hubPort)
	if user, password, ok := strings.Cut(auth, ":"); ok {
		conf += "BasicAuth " + user + " " + password + "\n"
	}
	return []string{"-d", "-c", writeFile(t, dir, "conf", conf, 0o644)}
}

func startSquid(t *testing.T, dir, host, port, hubPort, auth string) []string {
	return squid(t, dir, "http_port "+host+":"+port, hubPort, auth)
}

func startSquidTLS(t *testing.T, dir, host, port, hubPort, auth string) []string {
	cert, _ := selfSigned(t, "localhost")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, der []byte) string {
		return writeFile(t, dir, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})), 0o644)
	}
	file("ca.pem", "CERTIFICATE", cert.Certificate[0]) // for the client
	return squid(t, dir, fmt.Sprintf("https_port %s:%s tls-cert=%s tls-key=%s", host, port,
		file("cert.pem", "CERTIFICATE", cert.Certificate[0]), file("key.pem", "PRIVATE KEY", key)), hubPort, auth)
}

func squid(t *testing.T, dir, listen, hubPort, auth string) []string {
	conf := listen + `
visible_hostname localhost
pid_filename none
access_log none
cache_log /dev/stderr
cache_store_log none
netdb_filename none
coredump_dir none
pinger_enable off
max_filedescriptors 1024
cache deny all
acl hub port ` + hubPort + "\nhttp_access deny !hub\n"
	if user, password, ok := strings.Cut(auth, ":"); ok {
		helper := writeFile(t, dir, "helper",
			"#!/bin/sh\nwhile read -r user password; do [ \"$user $password\" = '"+user+" "+password+"' ] && echo OK || echo ERR; done\n", 0o755)
		conf += "auth_param basic program " + helper + "\nauth_param basic children 1\nacl known proxy_auth REQUIRED\nhttp_access deny !known\n"
	}
	return []string{"-N", "-d", "0", "-f", writeFile(t, dir, "conf", conf+"http_access allow all\n", 0o644)}
}

func startMicrosocks(_ *testing.T, _, host, port, _, auth string) []string {
	args := []string{"-i", host, "-p", port}
	if user, password, ok := strings.Cut(auth, ":"); ok {
		args = append(args, "-u", user, "-P", password)
	}
	return args
}

func writeFile(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask: the tool may run as another user
		t.Fatal(err)
	}
	return file
}

// TestRealProxies logs in at a hub on loopback through programs that others
// wrote.
func TestRealProxies(t *testing.T) {
	if os.Getenv(toolsVariable) == "" {
		t.Skipf("set %s=1 to run against tinyproxy, squid and microsocks", toolsVariable)
	}
	for _, tool := range tools() {
		t.Run(tool.name+" by "+tool.scheme, func(t *testing.T) {
			hub := hubtest.New(t, nil)
			at, err := hub.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, hubPort, err := net.SplitHostPort(at.String())
			if err != nil {
				t.Fatal(err)
			}
			t.Run("open", func(t *testing.T) {
				through := tool.run(t, hubPort, "")
				logIn(t, hub, "dev1", at.String(), through(""))
				// The proxy looks the name up, not the device.
				logIn(t, hub, "dev2", net.JoinHostPort("localhost", hubPort), through(""))
				// A port where nobody listens: a proxy that may go there finds none.
				closed := freePort(t)
				want := proxy.ErrRefused
				_, err := through("")(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", closed))
				wantError(t, "dial a port that is closed", err, want, transport.ErrUnavailable)
			})
			t.Run("with a login", func(t *testing.T) {
				through := tool.run(t, hubPort, "dev:s3cr")
				logIn(t, hub, "dev3", at.String(), through("dev:s3cr@"))
				for _, login := range []string{"", "dev:s3crx@"} {
					_, err := through(login)(t.Context(), "tcp", at.String())
					wantError(t, "dial with another login", err, proxy.ErrLogin, transport.ErrUnavailable)
				}
			})
		})
	}
}

// run starts the tool and returns what makes a dial function through it, by
// the login of its URL. The tool ends with the test.
func (l tool) run(t *testing.T, hubPort, auth string) func(login string) proxy.DialFunc {
	t.Helper()
	program, err := exec.LookPath(l.name)
	if err != nil {
		t.Fatalf("%v; install %s, or unset %s", err, l.name, toolsVariable)
	}
	// Not t.TempDir, which only its owner can enter: squid runs as another user.
	dir, err := os.MkdirTemp("", "proxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const host = "127.0.0.1"
	port := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, l.start(t, dir, host, port, hubPort, auth)...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { cancel(); <-ended })
	awaitListener(t, net.JoinHostPort(host, port), ended, output.Name())

	return func(login string) proxy.DialFunc {
		t.Helper()
		config := &tls.Config{ServerName: "localhost"}
		if text, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err == nil {
			config.RootCAs = x509.NewCertPool()
			config.RootCAs.AppendCertsFromPEM(text)
		}
		dial, err := proxy.New(l.scheme+"://"+login+net.JoinHostPort(host, port), &proxy.Options{Config: config})
		if err != nil {
			t.Fatal(err)
		}
		return dial
	}
}

// awaitListener knocks until somebody listens: the tools do not tell.
func awaitListener(t *testing.T, address string, ended <-chan struct{}, output string) {
	t.Helper()
	knock := time.NewTicker(20 * time.Millisecond)
	defer knock.Stop()
	for range 500 {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-knock.C:
		case <-ended:
			text, _ := os.ReadFile(output)
			t.Fatalf("the proxy has ended: %s", text)
		}
	}
	text, _ := os.ReadFile(output)
	t.Fatalf("nobody listens at %s after 10 s: %s", address, text)
}

// freePort is a port that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

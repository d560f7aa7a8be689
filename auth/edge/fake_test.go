package edge_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth/edge"
)

// A fake is a workload daemon on a real socket. It works on bytes: what it got
// is kept as it came, and what it answers need not be HTTP.
type fake struct {
	network, address string
	uri              string // for IOTEDGE_WORKLOADURI

	listener net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
	got      []string
}

// A handler answers one request, given as it came. The connection is closed
// after it.
type handler func(c net.Conn, raw string)

// serve starts a daemon that ends with the test. An empty address means any.
func serve(t *testing.T, network, address string, h handler) *fake {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	if network == "unix" && runtime.GOOS == "windows" {
		t.Skip("a name with a drive in it makes no unix:// URI, and IoT Edge runs modules on Linux")
	}
	if network == "unix" && !filepath.IsAbs(address) {
		dir, err := os.MkdirTemp("", "edge") // t.TempDir is too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address = filepath.Join(dir, "workload.sock")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{network: network, address: l.Addr().String(), listener: l, conns: map[net.Conn]bool{}}
	f.uri = map[string]string{"unix": "unix://", "tcp": "http://"}[network] + f.address
	f.wg.Go(func() { f.accept(h) })
	t.Cleanup(f.stop)
	return f
}

func (f *fake) accept(h handler) {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[c] = true
		f.mu.Unlock()
		f.wg.Go(func() {
			defer c.Close()
			if raw, err := readRequest(c); err == nil {
				f.mu.Lock()
				f.got = append(f.got, raw)
				f.mu.Unlock()
				h(c, raw)
			}
		})
	}
}

// stop ends the daemon, and its socket with it. Again, it does nothing.
func (f *fake) stop() {
	_ = f.listener.Close()
	f.mu.Lock()
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.got...)
}

// readRequest returns the bytes of one request.
func readRequest(c net.Conn) (string, error) {
	var raw bytes.Buffer
	r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return raw.String(), err
}

// reply is a handler that says the same to everybody.
func reply(status int, body string) handler {
	return func(c net.Conn, _ string) { _, _ = io.WriteString(c, answer(status, body)) }
}

// answer is a whole answer as the daemon gives it.
func answer(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
}

// hang is a handler that never answers, and ends when the module hangs up.
func hang(c net.Conn, _ string) { _, _ = io.Copy(io.Discard, c) }

// keeper is the daemon of one module: it has the key, and a trust bundle that
// may change.
type keeper struct {
	sign, key string // the path that it signs at, and the key in base64

	mu     sync.Mutex
	bundle string
}

func (k *keeper) setBundle(pem string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bundle = pem
}

// handle is strict: whatever is not as documented it refuses.
func (k *keeper) handle(c net.Conn, raw string) {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	line, _, _ := strings.Cut(head, "\r\n")
	k.mu.Lock()
	bundle := k.bundle
	k.mu.Unlock()
	switch line {
	case "POST " + k.sign + "?api-version=2018-06-28 HTTP/1.1":
		digest, err := k.digest(body)
		if err != nil {
			reply(400, fmt.Sprintf(`{"message":%q}`, err))(c, raw)
			return
		}
		reply(200, fmt.Sprintf(`{"digest":%q}`, digest))(c, raw)
	case "GET /trust-bundle?api-version=2018-06-28 HTTP/1.1":
		text, _ := json.Marshal(bundle)
		reply(200, `{"certificate":`+string(text)+`}`)(c, raw)
	default:
		reply(404, fmt.Sprintf(`{"message":%q}`, "no such thing: "+line))(c, raw)
	}
}

func (k *keeper) digest(body string) (string, error) {
	var r struct{ KeyID, Algo, Data string }
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return "", err
	}
	data, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil || r.KeyID != "primary" || r.Algo != "HMACSHA256" {
		return "", fmt.Errorf("not a request to sign")
	}
	key, err := base64.StdEncoding.DecodeString(k.key)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// environment is that of module filter on device edge1, with some variables
// set otherwise.
func environment(uri string, but map[string]string) func(string) string {
	all := map[string]string{
		"IOTEDGE_WORKLOADURI":        uri,
		"IOTEDGE_IOTHUBHOSTNAME":     "myhub.azure-devices.net",
		"IOTEDGE_GATEWAYHOSTNAME":    "localhost",
		"IOTEDGE_DEVICEID":           "edge1",
		"IOTEDGE_MODULEID":           "filter",
		"IOTEDGE_MODULEGENERATIONID": "637308306805488864",
		"IOTEDGE_AUTHSCHEME":         "sasToken",
	}
	maps.Copy(all, but)
	return func(name string) string { return all[name] }
}

func fromEnvironment(t *testing.T, getenv func(string) string, opts *edge.Options) *edge.Module {
	t.Helper()
	m, err := edge.FromEnvironment(getenv, opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

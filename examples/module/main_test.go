package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is IoT Edge's, as far as a module sees it.
func daemon(t *testing.T, module hubtest.Device, bundle []byte) *httptest.Server {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(module.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /modules/sampler/genid/1/sign", func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Data []byte }
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(request.Data)
		_ = json.NewEncoder(w).Encode(map[string][]byte{"digest": mac.Sum(nil)})
	})
	mux.HandleFunc("GET /trust-bundle", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"certificate": string(bundle)})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// The whole module, as IoT Edge runs it: from its environment to its twin, and
// to a good end when it is stopped.
func TestModule(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hub := hubtest.New(t, nil)
	if _, err := hub.AddDevice("edge1"); err != nil {
		t.Fatal(err)
	}
	at, err := hub.AddDevice("edge1/sampler")
	if err != nil {
		t.Fatal(err)
	}
	address, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{
		"IOTEDGE_WORKLOADURI":        daemon(t, at, hub.CAPEM()).URL,
		"IOTEDGE_IOTHUBHOSTNAME":     hub.Host(),
		"IOTEDGE_GATEWAYHOSTNAME":    "localhost",
		"IOTEDGE_DEVICEID":           "edge1",
		"IOTEDGE_MODULEID":           "sampler",
		"IOTEDGE_MODULEGENERATIONID": "1",
		"IOTEDGE_AUTHSCHEME":         "sasToken",
		"IOTEDGE_APIVERSION":         "2019-01-30",
	}
	module, stop := context.WithCancel(ctx)
	defer stop()
	running, end := context.WithCancel(ctx) // an end that comes too early is not waited out
	ended := make(chan error, 1)
	go func() {
		defer end()
		ended <- run(module, func(name string) string { return environment[name] }, &transport.TLSOptions{Address: address.String()})
	}()
	if _, err := hub.Device("edge1/sampler").WaitReported(running, "status", `"running"`); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Device("edge1/sampler").SetDesired(`{"sampling":{"seconds":5}}`); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Device("edge1/sampler").WaitReported(running, "sampling.seconds", `{"value":5,"ac":200,"av":2}`); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped, the module ended with %v, want nil", err)
	}
	if _, err := hub.Device("edge1/sampler").Wait(ctx, func(t hubtest.Twin) bool { return !t.Connected }); err != nil {
		t.Fatal(err)
	}
	if got := hub.Device("edge1/sampler").Stats().Disconnects; got != 1 {
		t.Errorf("got %d polite ends at the hub, want 1", got)
	}
}

// Started by hand and without its variables, it says so and ends.
func TestNoEnvironment(t *testing.T) {
	err := run(t.Context(), func(string) string { return "" }, nil)
	if !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("got %v, want an error that matches auth.ErrInvalid", err)
	}
}

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// Limits of the readers of telemetry.
const (
	eventsHeader  = 10 * time.Second // for the header of a request
	eventsWrite   = 30 * time.Second // for a message, in which a reader has to take it
	eventsReaders = 64               // at a time
)

// events serves telemetry over HTTP, to whoever reaches its address.
type events struct {
	hub    *hubtest.Hub
	log    *slog.Logger
	url    string
	server *http.Server
	cancel context.CancelFunc // ends the readers
	done   sync.WaitGroup
	places chan struct{} // one is taken by each reader
}

func listenEvents(address string, hub *hubtest.Hub, log *slog.Logger) (*events, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-events %s: %w", desk.Quote(address), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &events{hub: hub, log: log, url: "http://" + l.Addr().String(), cancel: cancel, places: make(chan struct{}, eventsReaders)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /devices/{device}/messages/events", e.read)
	mux.HandleFunc("GET /devices/{device}/modules/{module}/messages/events", e.read)
	e.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: eventsHeader, IdleTimeout: eventsWrite,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	e.done.Go(func() {
		if err := e.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("no more telemetry is served", "err", err)
		}
	})
	return e, nil
}

// close ends it, and its readers.
func (e *events) close() error {
	e.cancel()
	err := e.server.Close()
	e.done.Wait()
	for range eventsReaders { // each reader has left
		e.places <- struct{}{}
	}
	return err
}

// read streams the messages of a device or module, one in a line. With follow=0
// it ends after those that the hub has.
func (e *events) read(w http.ResponseWriter, r *http.Request) {
	select {
	case e.places <- struct{}{}:
		defer func() { <-e.places }()
	default:
		http.Error(w, fmt.Sprintf("%d readers are here, which is as many as there can be", eventsReaders), http.StatusServiceUnavailable)
		return
	}
	id := r.PathValue("device")
	if module := r.PathValue("module"); module != "" {
		id += "/" + module
	}
	if !slices.Contains(e.hub.Devices(), id) {
		http.Error(w, fmt.Sprintf("no device or module %q", id), http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if r.URL.Query().Get("follow") == "0" {
		cancel()
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	if out.Flush() != nil {
		return
	}
	for m, err := range e.hub.Device(id).Messages(ctx) {
		if err != nil {
			return // the reader's end, the hub's, or the device's
		}
		_ = out.SetWriteDeadline(time.Now().Add(eventsWrite))
		if err := errors.Join(lines.Encode(lineOfEvent(m)), out.Flush()); err != nil {
			e.log.Info("a reader of telemetry has gone", "device", id, "err", err)
			return
		}
	}
}

// An eventLine is a message as a line of JSON, with the names that IoT Hub has in
// the files of its storage endpoint.
type eventLine struct {
	EnqueuedTimeUtc  time.Time
	SequenceNumber   int64
	Repeat           int `json:",omitempty"`
	SystemProperties map[string]string
	Properties       map[string]string
	Body             any
}

// lineOfEvent is a message for a reader. As in those files, a body is JSON if the
// message says so of it, and else base64.
func lineOfEvent(m hubtest.TelemetryMessage) eventLine {
	line := eventLine{
		EnqueuedTimeUtc: m.Enqueued, SequenceNumber: m.Sequence, Repeat: m.Repeat,
		SystemProperties: m.System, Properties: m.Properties, Body: base64.StdEncoding.EncodeToString(m.Body),
	}
	if m.Properties == nil {
		line.Properties = map[string]string{}
	}
	kind, _, _ := mime.ParseMediaType(m.ContentType)
	if kind == "application/json" && strings.EqualFold(m.ContentEncoding, "utf-8") && json.Valid(m.Body) {
		line.Body = json.RawMessage(m.Body)
	}
	return line
}

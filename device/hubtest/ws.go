package hubtest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// webPath is where a hub speaks WebSocket, on its port for HTTPS.
	webPath = "/$iothub/websocket"
	// noClientCert, in the query, asks the hub not to ask for a certificate.
	noClientCert = "iothub-no-client-cert"
)

// Why a WebSocket ended, for the log.
var (
	errText       = errors.New("a WebSocket message of text")
	errNoProtocol = errors.New("no sub-protocol that this hub speaks in the handshake; offer mqtt or AMQPWSB10")
)

// subprotocols are what is spoken inside a WebSocket, by their names in lower
// case; any case will do, as the C SDK's "MQTT" shows.
func subprotocols() map[string]Protocol {
	return map[string]Protocol{"mqtt": MQTT, "amqpwsb10": AMQP}
}

// upgraded is a WebSocket on its way from the HTTP server to the connection.
type upgraded struct {
	ws       *websocket.Conn
	speaks   Protocol
	certless bool // the client's certificate is not to be looked at
}

// serveWebSocket upgrades a request, and so takes its connection from the HTTP
// server. The connection's own goroutine goes on with it.
func (h *Hub) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	hc := httpConnOf(r)
	if !hc.conn.passGate() {
		return
	}
	name, speaks := chooseSubprotocol(r)
	if speaks == 0 && websocket.IsWebSocketUpgrade(r) {
		h.log.Warn("WebSocket refused", "reason", errNoProtocol, "offered", websocket.Subprotocols(r))
		http.Error(w, errNoProtocol.Error(), http.StatusBadRequest)
		return
	}
	u := websocket.Upgrader{
		Subprotocols:     []string{name},
		HandshakeTimeout: writeLimit,
		WriteBufferSize:  maxPiece,
		CheckOrigin:      func(*http.Request) bool { return true }, // pages of any site are devices, too
	}
	taking := &taking{ResponseWriter: w, hc: hc}
	ws, err := u.Upgrade(taking, r, nil)
	if err != nil {
		h.log.Warn("WebSocket refused", "reason", err)
		if taking.done {
			hc.conn.close(err.Error())
			hc.end()
		}
		return
	}
	ws.SetReadLimit(maxMessage)
	certless := strings.EqualFold(r.URL.Query().Get(noClientCert), "true")
	hc.upgraded = &upgraded{ws, speaks, certless}
	hc.end()
}

// chooseSubprotocol takes the first that the client offers and the hub speaks,
// and spells it as the client does.
func chooseSubprotocol(r *http.Request) (string, Protocol) {
	known := subprotocols()
	for _, name := range websocket.Subprotocols(r) {
		if p := known[strings.ToLower(name)]; p != 0 {
			return name, p
		}
	}
	return "", 0
}

// taking is a ResponseWriter that gives the library a webLine when it takes the
// connection from the HTTP server.
type taking struct {
	http.ResponseWriter
	hc   *httpConn
	done bool
}

// Hijack takes the connection from the HTTP server.
func (t *taking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.done = true
	return webLine{raw, t.hc.conn}, rw, nil
}

// webLine is the stream below a WebSocket. The library takes a deadline that
// passed for the end of the stream, even in the midst of a frame; to a hub it is
// but the time to look at its clocks.
type webLine struct {
	net.Conn
	c *conn
}

// Read goes on after a deadline, unless the clocks say that the connection ends.
func (l webLine) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		next, err := l.c.front.late()
		if err != nil {
			return 0, err
		}
		if err := l.c.readBy(next); err != nil {
			return 0, err
		}
	}
}

// over says what a device is connected over, for the log. The stream is the one
// that the protocol is spoken on.
func (c *conn) over(p Protocol) string {
	if _, web := c.stream.(*webStream); web {
		return p.String() + "/WebSocket"
	}
	return p.String()
}

// speakUpgraded serves what is spoken inside a WebSocket.
func (c *conn) speakUpgraded(u *upgraded) error {
	s := &webStream{Conn: c.stream, c: c, ws: u.ws}
	u.ws.SetPingHandler(func(text string) error { return s.control(websocket.PongMessage, []byte(text)) })
	u.ws.SetCloseHandler(func(code int, _ string) error {
		return s.control(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
	})
	if u.certless && c.peer != nil {
		c.peer = new(tls.ConnectionState)
	}
	c.stream, c.in = s, bufio.NewReader(s)
	return c.speakIn(u.speaks)
}

// webStream is the byte stream inside a WebSocket. Its read deadline is the one
// of the stream below, which webLine obeys; its Close is the connection's, and
// says no goodbye.
type webStream struct {
	net.Conn // below
	c        *conn
	ws       *websocket.Conn
	message  io.Reader // what is left of the message under way, nil for none
}

// Read returns what comes next, in whatever messages it comes.
func (s *webStream) Read(b []byte) (int, error) {
	for {
		if s.message == nil {
			kind, message, err := s.ws.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				why := websocket.FormatCloseMessage(websocket.CloseUnsupportedData, "binary messages only")
				return 0, errors.Join(errText, s.control(websocket.CloseMessage, why))
			}
			s.message = message
		}
		n, err := s.message.Read(b)
		if errors.Is(err, io.EOF) {
			s.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write sends b in pieces.
func (s *webStream) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		piece := b[done:min(done+maxPiece, len(b))]
		if err := s.ws.WriteMessage(websocket.BinaryMessage, piece); err != nil {
			return done, err
		}
		done += len(piece)
	}
	return done, nil
}

// SetWriteDeadline is the library's, which sets the one below for each message.
func (s *webStream) SetWriteDeadline(t time.Time) error { return s.ws.SetWriteDeadline(t) }

// control answers a ping or a goodbye. On a line that stalls it waits, as all
// else does.
func (s *webStream) control(kind int, text []byte) error {
	if !s.c.passGate() {
		return errEnded
	}
	if err := s.ws.WriteControl(kind, text, time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("WebSocket control frame: %w", err)
	}
	return nil
}

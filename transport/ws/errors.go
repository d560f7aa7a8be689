package ws

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/devicetwin/devicetwin-go/transport"
)

// maxText bounds what the other end's text may add to an error and so to a log.
const maxText = 200

// A HandshakeError is an answer other than 101 to the WebSocket handshake. It
// matches transport.ErrUnauthorized (401, 403), ErrThrottled (429),
// ErrUnavailable (5xx) or ErrProtocol (all others): what answered is no
// endpoint of a hub.
type HandshakeError struct {
	// Status is HTTP's, such as 403.
	Status int
	// Message is the beginning of the answer's body, at most 200 bytes; empty
	// when there was none.
	Message string
}

// Error tells the status, what to do about it, and the other end's words.
func (e *HandshakeError) Error() string {
	s := fmt.Sprintf("it answered %d: %s", e.Status, e.advice())
	if e.Message != "" {
		s += fmt.Sprintf(" (it says %q)", e.Message)
	}
	return s
}

func (e *HandshakeError) advice() string {
	switch class := e.class(); {
	case class == transport.ErrUnauthorized:
		return "it refuses this client; check the certificate, and whether the hub admits this address"
	case class == transport.ErrThrottled:
		return "it asks for fewer connections; try again later"
	case class == transport.ErrUnavailable:
		return "it cannot serve now; try again later"
	case e.Status == http.StatusSwitchingProtocols:
		return "it agreed, but to something else than WebSocket; check for a proxy in between"
	case e.Status >= 300 && e.Status < 400:
		return "it points elsewhere, as the login page of a network does; check the network and the host name"
	}
	return "no hub speaks WebSocket there; check the host name, and for a proxy in between"
}

func (e *HandshakeError) class() error {
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return transport.ErrUnauthorized
	case e.Status == http.StatusTooManyRequests:
		return transport.ErrThrottled
	case e.Status >= 500 && e.Status <= 599:
		return transport.ErrUnavailable
	}
	return transport.ErrProtocol
}

// Is matches the sentinel of the status.
func (e *HandshakeError) Is(target error) bool { return target == e.class() }

// handshakeError says why there is no WebSocket. The library hides what the
// line said; l remembers it.
func handshakeError(l *line, answer *http.Response, err error) error {
	if answer != nil {
		e := &HandshakeError{Status: answer.StatusCode}
		if answer.Body != nil {
			text, _ := io.ReadAll(io.LimitReader(answer.Body, maxText)) // what there is; it is in memory
			e.Message = strings.TrimSpace(strings.ToValidUTF8(string(text), ""))
		}
		return e
	}
	if err := l.failure(); err != nil {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it hung up: %w", err)
	}
	return fmt.Errorf("%w: %.*s", transport.ErrProtocol, maxText, err.Error()) // it may quote the answer
}

// readError says why no more is read.
func readError(l *line, err error) error {
	var closed *websocket.CloseError
	switch failure := l.readFailure(); {
	case errors.Is(failure, net.ErrClosed) && l.writeFailure() != nil: // a ping could not be answered
		return l.writeFailure()
	case failure != nil:
		return failure
	case errors.As(err, &closed):
		return closeError(closed)
	case errors.Is(err, websocket.ErrReadLimit):
		return fmt.Errorf("%w: a WebSocket message of more than %d bytes", transport.ErrProtocol, maxMessage)
	}
	return fmt.Errorf("%w: %w", transport.ErrProtocol, err)
}

// closeError is the peer's goodbye, or that the line ended without one.
func closeError(e *websocket.CloseError) error {
	switch e.Code {
	case websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived:
		return io.EOF
	case websocket.CloseAbnormalClosure: // never on the wire: the library's word for a line that ended
		return fmt.Errorf("ws: the line ended within the WebSocket: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("ws: the hub closed the WebSocket with code %d, %q", e.Code, e.Text)
}

// writeError says why no more is written.
func writeError(l *line, err error) error {
	switch {
	case l.writeFailure() != nil:
		return l.writeFailure()
	case errors.Is(err, websocket.ErrCloseSent): // in answer to the peer's
		return fmt.Errorf("ws: the hub has closed the WebSocket: %w", io.ErrClosedPipe)
	}
	return err
}

// closedError is what a call on a closed stream gets.
func closedError(op string) error { return fmt.Errorf("ws: %s: %w", op, net.ErrClosed) }

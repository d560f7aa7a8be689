package hubtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// web is the hub's HTTP server. It starts with the first HTTP connection, so
// that a test without REST does not pay for it, and ends with the hub.
type web struct {
	once  sync.Once
	conns chan *httpConn
}

// errHTTPDone is the usual end of an HTTP connection.
var errHTTPDone = errors.New("HTTP connection was closed")

// speakHTTP hands the connection to the HTTP server, and waits until that has
// done with it.
func speakHTTP(c *conn) error {
	w := &c.hub.web
	w.once.Do(func() {
		w.conns = make(chan *httpConn)
		c.hub.wg.Go(c.hub.serveHTTP) // this goroutine holds the group open
	})
	hc := &httpConn{buffered: buffered{c.stream, c.in}, conn: c, served: make(chan struct{})}
	if err := c.raw.SetDeadline(time.Time{}); err != nil { // the server sets its own
		return err
	}
	select {
	case w.conns <- hc:
	case <-c.done:
		return errEnded
	case <-c.hub.done:
		return errEnded
	}
	<-hc.served // closing the stream ends the server's part, too
	if hc.upgraded != nil {
		return c.speakUpgraded(hc.upgraded)
	}
	return errHTTPDone
}

// serveHTTP runs the HTTP server until the hub ends.
func (h *Hub) serveHTTP() {
	s := &http.Server{
		Handler:           h.restHandler(),
		ReadHeaderTimeout: firstPacket,
		IdleTimeout:       httpIdle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
		ConnState: func(n net.Conn, state http.ConnState) {
			if hc, ok := n.(*httpConn); ok && state == http.StateClosed {
				hc.end()
			}
		},
		ConnContext: func(ctx context.Context, n net.Conn) context.Context {
			if hc, ok := n.(*httpConn); ok {
				return context.WithValue(ctx, connKey{}, hc)
			}
			return ctx
		},
	}
	if err := s.Serve(webListener{h}); err != nil && !errors.Is(err, net.ErrClosed) {
		h.log.Warn("HTTP server ended", "err", err)
	}
}

// connKey is under what a request's context holds its *httpConn.
type connKey struct{}

// httpConnOf is the connection that a request came on, as the server has it.
func httpConnOf(r *http.Request) *httpConn { return r.Context().Value(connKey{}).(*httpConn) }

// connOf is the connection that a request came on.
func connOf(r *http.Request) *conn { return httpConnOf(r).conn }

// webListener brings the HTTP server its connections.
type webListener struct{ hub *Hub }

// Accept waits for the next connection that speaks HTTP.
func (l webListener) Accept() (net.Conn, error) {
	select {
	case hc := <-l.hub.web.conns:
		return hc, nil
	case <-l.hub.done:
		return nil, net.ErrClosed
	}
}

// Close does nothing: the listener ends with the hub.
func (l webListener) Close() error { return nil }

// Addr is the hub's name.
func (l webListener) Addr() net.Addr { return webAddr(l.hub.opts.Host) }

// webAddr is the address of the hub as the HTTP server sees it.
type webAddr string

// Network is "hub".
func (webAddr) Network() string { return "hub" }

// String is the hub's name.
func (a webAddr) String() string { return string(a) }

// httpConn is a connection in the hands of the HTTP server.
type httpConn struct {
	buffered
	conn     *conn
	once     sync.Once
	served   chan struct{} // closed when the server is done with it
	upgraded *upgraded     // read once served: nil unless it speaks WebSocket now
}

func (hc *httpConn) end() { hc.once.Do(func() { close(hc.served) }) }

// SetReadDeadline bounds reads, unless the end of the connection has done so.
func (hc *httpConn) SetReadDeadline(t time.Time) error { return hc.conn.readBy(t) }

// SetDeadline bounds reads and writes.
func (hc *httpConn) SetDeadline(t time.Time) error {
	return errors.Join(hc.SetReadDeadline(t), hc.SetWriteDeadline(t))
}

// Write sends what the HTTP server answers, in pieces: a client may leave each
// one unread for as long as over the other protocols.
func (hc *httpConn) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		if err = hc.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			break
		}
		var done int
		done, err = hc.Conn.Write(b[n:min(n+maxRESTPiece, len(b))])
		n += done
	}
	return n, hc.conn.wrote(err)
}

// Close ends the connection, with TLS's own goodbye where there is TLS.
func (hc *httpConn) Close() error {
	if s, ok := hc.Conn.(*tls.Conn); ok {
		_ = s.CloseWrite() // it may have ended already
	}
	hc.conn.close(errHTTPDone.Error())
	return nil
}

// buffered is a stream of which something may have been read ahead.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

// Read reads what was read ahead first.
func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

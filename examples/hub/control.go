package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// controlPatience is how long a client may take for a line: the next one waits
// for it to end.
const controlPatience = 10 * time.Second

// A control takes commands on a Unix socket, from one client after the other.
// One goroutine does all of it; close waits for its end.
type control struct {
	hub      *hubtest.Hub
	log      *slog.Logger
	listener net.Listener
	ctx      context.Context // ends with close
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

func listenControl(path string, hub *hubtest.Hub, log *slog.Logger) (*control, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("-control %s: %w (remove the file if no other hub runs)", desk.Quote(path), err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	c := &control{hub: hub, log: log, listener: l}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.done.Go(c.serve)
	return c, nil
}

// close ends it, and the client that it serves.
func (c *control) close() error {
	c.cancel()
	err := c.listener.Close()
	c.done.Wait()
	return err
}

func (c *control) serve() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.log.Error("no more commands are taken", "err", err)
			}
			return
		}
		c.answer(conn)
	}
}

// answer serves one client to its end. A line too long for the scanner's
// 64 KiB is one such end.
func (c *control) answer(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(c.ctx, func() { _ = conn.Close() })
	defer stop()
	lines := bufio.NewScanner(conn)
	for c.ctx.Err() == nil {
		_ = conn.SetDeadline(time.Now().Add(controlPatience))
		if !lines.Scan() {
			return
		}
		reply := "ok"
		err := c.obey(lines.Text())
		if err != nil {
			reply = "error: " + err.Error()
		}
		c.log.Info("command", "line", lines.Text(), "err", err)
		if _, err := fmt.Fprintln(conn, reply); err != nil {
			return
		}
	}
}

// obey does what one line says.
func (c *control) obey(line string) error {
	verb, id, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch verb {
	case "cut":
		return c.hub.Device(id).Cut()
	case "down":
		return lineOf(c.hub, id).SetLine(false)
	case "up":
		return lineOf(c.hub, id).SetLine(true)
	}
	return errors.New("unknown command; known are cut, down and up")
}

// lineOf is the line of a device, or everyone's for an empty id.
func lineOf(hub *hubtest.Hub, id string) interface{ SetLine(up bool) error } {
	if id == "" {
		return hub
	}
	return hub.Device(id)
}

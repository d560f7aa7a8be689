// Package desk is what the programs under examples share, and no device needs:
// their command lines, exit statuses and signals, and the way to a hub that has
// another place than its own name and ports.
package desk

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// A Console is what a process has around it.
type Console struct {
	Env    func(name string) string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Main runs a whole program and ends the process with its exit status. Ctrl-C and
// SIGTERM end the context. A second one kills the process.
func Main(run func(ctx context.Context, args []string, c Console) int) {
	ctx, stop := Signals()
	status := run(ctx, os.Args[1:], Console{os.Getenv, os.Stdin, os.Stdout, &serial{w: os.Stderr}})
	stop()
	os.Exit(status)
}

// Signals returns a context that ends with the first Ctrl-C or SIGTERM. Once it has
// ended, another one has its usual effect: it kills the process.
func Signals() (context.Context, context.CancelFunc) {
	notified, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(notified, func() {
		release() // before the program hears of the first one
		cancel()
	})
	return ctx, release
}

// serial is a writer for many goroutines: a client's logger and callbacks write
// beside the program.
type serial struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// Serial returns a writer to w that may be used by many goroutines.
func Serial(w io.Writer) io.Writer { return &serial{w: w} }

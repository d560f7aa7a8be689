package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// asBoard is the argument that makes this program the board.
const asBoard = "board"

// A machine is the board as seen from outside: a process with a sensor, its
// standard input, and a console, its standard output. It belongs to one
// goroutine.
type machine struct {
	cmd    *exec.Cmd
	sensor io.WriteCloser
	lines  chan string // of the console; closed when the process has ended
	unread []string    // lines that nobody has waited for yet
}

// powerOn boots the board, which is this program once more. It ends with ctx
// at the latest, and when this process ends: then its sensor does.
func powerOn(ctx context.Context, env []string) (*machine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &machine{cmd: exec.CommandContext(ctx, self, asBoard), lines: make(chan string)}
	m.cmd.Env = append(os.Environ(), env...)
	console, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.cmd.Stderr = m.cmd.Stdout // its last words are part of the story
	if m.sensor, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.lines)
		for in := bufio.NewScanner(console); in.Scan(); {
			m.lines <- in.Text()
		}
	}()
	return m, nil
}

// measure lets the sensor say something.
func (m *machine) measure(battery int) error {
	_, err := fmt.Fprintln(m.sensor, battery)
	return err
}

// hear waits until a line that begins as given was said, and returns the line.
// Lines said before it may be waited for later: the board does several things
// at a time.
func (m *machine) hear(ctx context.Context, start string) (string, error) {
	for {
		if line, ok := m.said(start); ok {
			return line, nil
		}
		select {
		case line, ok := <-m.lines:
			if ok {
				m.unread = append(m.unread, line)
				continue
			}
			if ctx.Err() == nil {
				return "", fmt.Errorf("the board ended before it said %q, after %q", start, m.unread)
			}
		case <-ctx.Done():
		}
		return "", fmt.Errorf("the board did not say %q, but %q: %w", start, m.unread, ctx.Err())
	}
}

// said takes a line that begins as given out of the unread ones.
func (m *machine) said(start string) (string, bool) {
	for i, line := range m.unread {
		if strings.HasPrefix(line, start) {
			m.unread = slices.Delete(m.unread, i, i+1)
			return line, true
		}
	}
	return "", false
}

// nothingElse fails if something was said that nobody waited for.
func (m *machine) nothingElse() error {
	if len(m.unread) > 0 {
		return fmt.Errorf("the board said %q, which nobody expected", m.unread)
	}
	return nil
}

// cutPower is kill -9: the process gets no chance to do one thing more. What it
// had said by then is unread.
func (m *machine) cutPower() error {
	err := m.cmd.Process.Kill()
	if m.end() == nil {
		err = errors.New("the board had ended by itself")
	}
	return err
}

// switchOff lets the board end in order.
func (m *machine) switchOff() error {
	err := m.sensor.Close()
	if err := m.end(); err != nil {
		return fmt.Errorf("the board did not end well: %w, after %q", err, m.unread)
	}
	return err
}

// end waits until the process has ended and everything it said is here.
func (m *machine) end() error {
	for line := range m.lines {
		m.unread = append(m.unread, line)
	}
	return m.cmd.Wait()
}

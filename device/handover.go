package device

import (
	"context"
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// maxBurst is how many bytes of messages leave in one turn before others would
// wait for them on a slow line.
const maxBurst = 4 << 10

// long reports whether a frame takes so long on a slow line, after those that have
// left in this turn, that others wait.
func (s *session) long(f transport.Frame) bool {
	if f.Message != nil {
		s.burst += f.Message.Size()
	}
	return s.burst > maxBurst
}

// send hands a frame to the Conn. A request that has no room waits for Ready.
func (s *session) send(ctx context.Context, f transport.Frame, from lane) error {
	if from != nil && s.long(f) { // others are served meanwhile
		s.sending = from
		go func() { s.sent <- s.conn.Send(ctx, f) }()
		return nil
	}
	err := s.conn.Send(ctx, f)
	if from != nil {
		return s.handed(err, from)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, transport.ErrBusy) && isRequest(f):
		s.busy = true
		s.twin.unsent()
		return nil
	case errors.Is(err, transport.ErrTooLarge) && isRequest(f):
		s.twin.tooLarge(err)
		return nil
	}
	return fmt.Errorf("device: send: %w", errtext.Bare("device", err))
}

// isRequest reports whether the twin's lane sent a frame.
func isRequest(f transport.Frame) bool {
	return f.Kind == transport.GetTwin || f.Kind == transport.PatchReported
}

// handed tells a lane what became of the frame that it gave.
func (s *session) handed(err error, from lane) error {
	switch {
	case err == nil:
		from.sent(s.c.recent()) // the write may have taken long
	case errors.Is(err, transport.ErrBusy):
		from.noRoom()
	case errors.Is(err, transport.ErrTooLarge), errors.Is(err, transport.ErrUnsupported):
		from.failed(err)
	default:
		return fmt.Errorf("device: send: %w", errtext.Bare("device", err))
	}
	return nil
}

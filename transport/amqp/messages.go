package amqp

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Words of the twin's messages.
const (
	noteOperation = "operation"
	noteResource  = "resource"
	noteVersion   = "version"
	noteStatus    = "status"

	resourceReported = "/properties/reported"
	resourceChanges  = "/notifications/twin/properties/desired"
)

// message returns the message of a frame, nil for Open and Close of
// TwinResponses, which need none.
func message(f transport.Frame) (*amqp.Message, error) {
	feature := f.Kind == transport.Open || f.Kind == transport.Close
	if err := fate.CheckID(f); err != nil {
		return nil, err
	}
	notes := amqp.Annotations{}
	m := &amqp.Message{Properties: &amqp.MessageProperties{CorrelationID: f.ID}, Annotations: notes}
	switch {
	case feature && f.Feature == transport.TwinResponses:
		return nil, nil
	case feature && f.Feature == transport.DesiredChanges:
		notes[noteOperation], notes[noteResource] = "PUT", resourceChanges
		if f.Kind == transport.Close {
			notes[noteOperation] = "DELETE"
		}
	case feature:
		return nil, fmt.Errorf("%w: feature %q", transport.ErrUnsupported, f.Feature)
	case f.Kind == transport.GetTwin:
		notes[noteOperation] = "GET"
	case f.Kind == transport.PatchReported:
		switch {
		case f.Version < 0:
			return nil, fmt.Errorf("%w: version %d", transport.ErrUnsupported, f.Version)
		case len(f.Body) > transport.MaxBody:
			return nil, fmt.Errorf("%w: a patch of %d bytes; the limit is %d", transport.ErrTooLarge, len(f.Body), transport.MaxBody)
		}
		notes[noteOperation], notes[noteResource] = "PATCH", resourceReported
		if f.Version > 0 {
			notes[noteVersion] = f.Version
		}
		m.Data = [][]byte{f.Body}
	default:
		return nil, fmt.Errorf("%w: a device does not send a frame of kind %q", transport.ErrUnsupported, f.Kind)
	}
	return m, nil
}

// parse reads a message of the twin's link. It is not ok if it means nothing here.
// The caller recognizes the answer to an Open or Close.
func parse(m *amqp.Message) (f transport.Frame, ok bool) {
	if body := m.GetData(); len(body) > 0 {
		f.Body = body
	}
	f.Version = max(0, wholeNumber(m.Annotations[noteVersion]))
	if m.Properties == nil || m.Properties.CorrelationID == nil {
		// An empty one is broken, and still reports a change that was missed.
		f.Kind = transport.Desired
		return f, true
	}
	f.Kind = transport.Response
	f.ID, ok = m.Properties.CorrelationID.(string)
	status := wholeNumber(m.Annotations[noteStatus])
	if !ok || !fate.ValidID(f.ID) || status < 100 || status > 599 {
		return transport.Frame{}, false
	}
	f.Status, f.RetryAfter = int(status), pause(m.ApplicationProperties)
	return f, true
}

// pause reads the pause that a service asks for, in whole seconds. 0 means no pause.
func pause(properties map[string]any) time.Duration {
	for name, v := range properties {
		if !strings.EqualFold(name, hubproto.RetryAfter) {
			continue
		}
		seconds := wholeNumber(v)
		if text, ok := v.(string); ok {
			seconds, _ = strconv.ParseInt(text, 10, 64) // 0 if it is no number
		}
		return time.Duration(min(max(seconds, 0), math.MaxUint32)) * time.Second
	}
	return 0
}

// wholeNumber reads a number of any width, 0 for anything else. Hubs send an int
// for a status and a long for a version.
func wholeNumber(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		return int64(min(v, 1<<62))
	}
	return 0
}

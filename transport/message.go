package transport

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A Message is what firmware sends to the hub, and what a hub sends to a device
// or a module, whatever the protocol. It is a value: what it is given to keeps
// copies of Body and Properties.
//
// Names and values of properties are texts. Hubs document ASCII letters, digits
// and !#$%&'*+-.^_`|~ for them; other characters pass over MQTT and AMQP, yet
// portable firmware keeps to these.
type Message struct {
	// Body is any bytes. For a hub to route on it, it is JSON, ContentType is
	// "application/json" and ContentEncoding is "utf-8".
	Body []byte
	// ContentType and ContentEncoding say what Body is; empty means not said.
	ContentType, ContentEncoding string
	// ID tells a message from all others, over repetitions too. Empty means
	// that package device gives one of up to 22 bytes. Hubs document up to 128
	// ASCII letters, digits and -:.+%_#*?!(),=@;$'.
	ID string
	// CorrelationID names the message that this one answers; empty for none.
	CorrelationID string
	// Created is when the message was made, to the millisecond; zero for not said.
	Created time.Time
	// Component is the Plug and Play component that the telemetry is of; empty
	// for the root.
	Component string
	// Output is the output of a module that the message leaves by; empty for
	// none.
	Output string
	// Properties are the application's own. No name may begin with "$.", for
	// there the hub's names stand. Nil means none.
	Properties map[string]string
	// Urgent lets this client send the message before those that are not
	// urgent. The hub does not see it.
	Urgent bool
}

// Received is a Message that has come from a hub, and what the hub says of it.
// What a protocol does not carry is zero.
type Received struct {
	Message
	// Enqueued is when the hub took the message.
	Enqueued time.Time
	// Sequence is the message's number in its queue.
	Sequence int64
	// Deliveries is how often the hub delivered the message before.
	Deliveries int
	// Input is the module's input that the message came by.
	Input string
	// From is the sender, "device" or "device/module".
	From string
}

// MaxMessage is the largest Size of a message to the hub, in bytes (IoT Hub
// quotas: a device-to-cloud message has 256 KB).
const MaxMessage = 256 << 10

// maxTopic is the largest topic that MQTT has, in bytes.
const maxTopic = 1<<16 - 1

// PropertyCreated is the application property that carries Message.Created.
const PropertyCreated = "iothub-creation-time-utc"

// CreatedText is Created as the hub reads it, or empty.
func (m *Message) CreatedText() string {
	if m.Created.IsZero() {
		return ""
	}
	return m.Created.UTC().Format("2006-01-02T15:04:05.999Z")
}

// Size is what the hub counts: the body, the values of the system properties
// that are set, and the names and values of the application's. The protocol's
// own bytes do not count.
func (m *Message) Size() int {
	n := len(m.Body) + len(m.ContentType) + len(m.ContentEncoding) + len(m.ID) + len(m.CorrelationID) + len(m.Component) + len(m.Output)
	if !m.Created.IsZero() {
		n += len(PropertyCreated) + len(m.CreatedText())
	}
	for name, value := range m.Properties {
		n += len(name) + len(value)
	}
	return n
}

// Check says what no hub would take of a message from that identity: one that
// is too large (ErrTooLarge), or text that is not UTF-8, has control characters,
// or takes a name of the hub's (ErrMessage). It names the field.
func (m *Message) Check(id auth.Identity) error {
	if n := m.Size(); n > MaxMessage {
		return fmt.Errorf("%w: the message has %d bytes; the hub's limit is %d for body and properties together", ErrTooLarge, n, MaxMessage)
	}
	topic := len("devices//messages/events/") + len(id.DeviceID) - len("&") // which stands between pairs
	if id.ModuleID != "" {
		topic += len("modules//") + len(id.ModuleID)
	}
	if created := m.CreatedText(); created != "" {
		topic += len(PropertyCreated) + escapedLen(created) + len("=&")
	}
	for _, f := range [...]struct{ name, key, text string }{
		{"ContentType", "%24.ct=&", m.ContentType}, {"ContentEncoding", "%24.ce=&", m.ContentEncoding}, {"ID", "%24.mid=&", m.ID},
		{"CorrelationID", "%24.cid=&", m.CorrelationID}, {"Component", "%24.sub=&", m.Component}, {"Output", "%24.on=&", m.Output},
	} {
		if err := checkText(f.name, f.text); err != nil {
			return err
		}
		if f.text != "" {
			topic += escapedLen(f.text) + len(f.key)
		}
	}
	if y := m.Created.UTC().Year(); y < 1 || y > 9999 {
		return fmt.Errorf("%w: Created is in the year %d", ErrMessage, y)
	}
	for name, value := range m.Properties {
		if strings.HasPrefix(name, "$.") {
			return fmt.Errorf("%w: the property %.64q begins with \"$.\", where the hub's own names stand", ErrMessage, name)
		}
		if err := checkText("the name of a property", name); err != nil {
			return err
		}
		if err := checkText(fmt.Sprintf("the property %.64q", name), value); err != nil {
			return err
		}
		topic += escapedLen(name) + escapedLen(value) + len("=&")
	}
	if topic > maxTopic {
		return fmt.Errorf("%w: the properties have %d bytes once they are encoded for a topic; MQTT's limit is %d", ErrTooLarge, topic, maxTopic)
	}
	return nil
}

func checkText(name, text string) error {
	switch {
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: %s is not UTF-8", ErrMessage, name)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%w: %s has a control character", ErrMessage, name)
	}
	return nil
}

// escapedLen is the length of a text once it is percent-encoded for a topic.
func escapedLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if !unreserved(s[i]) {
			n += 2
		}
	}
	return n
}

// unreserved reports whether a byte stands for itself in a topic.
func unreserved(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-._~", b) >= 0
}

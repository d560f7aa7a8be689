package hubtest

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Op says what a message is about. An answer has the Op of what it answers.
type Op uint8

// The messages between device and hub. "In" comes from the device, "out" from
// the hub.
const (
	// Connect is the login: CONNECT in, CONNACK out.
	Connect Op = iota + 1
	// Disconnect is a polite end: DISCONNECT in.
	Disconnect
	// Subscribe is SUBSCRIBE in, SUBACK out.
	Subscribe
	// Unsubscribe is UNSUBSCRIBE in, UNSUBACK out.
	Unsubscribe
	// GetTwin is the request for the whole twin, and its answer.
	GetTwin
	// PatchReported is a patch of the reported properties, and its answer.
	PatchReported
	// Desired is a change of the desired properties, out.
	Desired
	// Ping is the sign of life: PINGREQ in, PINGRESP out.
	Ping
	// Telemetry is a message of the device, in; over AMQP a transfer, which may
	// hold a batch.
	Telemetry
	// MethodAnswer is a device's answer to a direct method, in.
	MethodAnswer
	// Ack is the PUBACK of whatever was published with QoS 1, in or out, and over
	// AMQP the outcome of Telemetry, out.
	Ack
	// Method is the call of a direct method, out.
	Method
	// Rest is a request of a service over REST, in. Its answers are not shown.
	Rest
	// Devicebound is a message from the cloud, out.
	Devicebound
)

// String names the op.
func (o Op) String() string {
	names := []string{"Connect", "Disconnect", "Subscribe", "Unsubscribe", "GetTwin",
		"PatchReported", "Desired", "Ping", "Telemetry", "MethodAnswer", "Ack", "Method", "Rest", "Devicebound"}
	if o == 0 || int(o) > len(names) {
		return "Op(" + strconv.Itoa(int(o)) + ")"
	}
	return names[o-1]
}

// A Message is one message between a device and the hub, as Intercept shows
// it. Only the fields that its Op has are set.
type Message struct {
	// Device is "device" or "device/module"; for Connect, as the client claims
	// to be; for Rest, whom the request's path names, empty for nobody.
	Device string
	Op     Op
	// FromHub tells the direction.
	FromHub bool
	// RequestID is the $rid of a request and of its answer; over AMQP, their
	// correlation id as text. Of Telemetry and its Ack it is the message's id, and
	// of a batch that of the first message.
	RequestID string
	// Status is an answer's: HTTP-like, or CONNACK's return code; of a
	// MethodAnswer, the device's own.
	Status int
	// Version is of a section: after the change in Desired and in the answer
	// to PatchReported, 0 for none; expected in PatchReported, 0 for any.
	Version int64
	// Topics are the filters of Subscribe and Unsubscribe, and over MQTT the topic
	// of Telemetry and Devicebound.
	Topics []string
	// Method is the name of a direct method. Of Rest, it is the HTTP method and the
	// path, decoded and without its query: "GET /twins/dev1".
	Method string
	// Body is the payload: a copy, which match may keep. A batch has none.
	Body []byte
}

// FromDevice matches the messages of one kind from a device; an empty device
// means any.
func FromDevice(device string, op Op) func(Message) bool {
	return func(m Message) bool { return !m.FromHub && m.Op == op && (device == "" || m.Device == device) }
}

// FromHub matches the messages of one kind to a device: answers, and Desired;
// an empty device means any.
func FromHub(device string, op Op) func(Message) bool {
	return func(m Message) bool { return m.FromHub && m.Op == op && (device == "" || m.Device == device) }
}

// PatchNaming matches a device's patches of its reported properties that name
// the property at a path such as "fan.rpm", deletions included. An empty device
// means any. With Cut the hub hangs up at that property, with Fail or Answer it
// refuses it, with Drop it is silent:
//
//	hub.Intercept(hubtest.PatchNaming("dev1", "fan.rpm"), hubtest.Cut().Times(-1))
func PatchNaming(device, path string) func(Message) bool {
	return func(m Message) bool {
		if !FromDevice(device, PatchReported)(m) {
			return false
		}
		doc, err := jsondoc.Parse(m.Body)
		return err == nil && jsondoc.At(doc, path) != any(jsondoc.Absent{})
	}
}

// FromService matches a REST request such as "GET /twins/dev1"; an empty one
// means any.
func FromService(request string) func(Message) bool {
	return func(m Message) bool { return m.Op == Rest && (request == "" || m.Method == request) }
}

// An Action is what becomes of an intercepted message. The zero Action is
// Pass.
type Action struct {
	kind   actionKind
	delay  time.Duration
	status int
	code   int
	body   string
	path   string        // of an Edit
	err    error         // why Intercept refuses it
	after  time.Duration // the pause that is asked for, or 0 for none
	times  int           // 0 means 1
}

type actionKind uint8

const (
	actPass actionKind = iota
	actDrop
	actDuplicate
	actDelay
	actLate
	actAnswer
	actCut
	actCutAfter
	actFreeze
	actEdit
)

// Pass lets the message pass: the match function has seen it.
func Pass() Action { return Action{} }

// Drop loses the message. A request is neither performed nor answered.
func Drop() Action { return Action{kind: actDrop} }

// Duplicate brings the message twice: a request is performed and answered
// twice. A login passes once. Telemetry is stored twice, and acknowledged once.
func Duplicate() Action { return Action{kind: actDuplicate} }

// Delay holds the message back while later ones overtake it. If the connection
// ends meanwhile, the message is lost. A login holds up all that follows it.
func Delay(d time.Duration) Action { return Action{kind: actDelay, delay: d} }

// Late performs a request only after d, and even if its connection has ended
// by then: the hub had taken it, but was slow. It is answered if the
// connection still stands. For other messages it is Delay.
func Late(d time.Duration) Action { return Action{kind: actLate, delay: d} }

// Answer answers a request in this way instead of performing it; of an answer
// it replaces status and body, of which Edit changes one member alone. A login's status is CONNACK's return code, 1 to
// 5, or an HTTP-like one that is translated; SUBSCRIBE fails with any of 128
// and more. What knows no answer is dropped.
//
// Telemetry over MQTT has no answer but its PUBACK, so the connection ends. Over
// AMQP it is rejected, with body as the condition; an empty one is that of the
// status. The bodies "released" and "modified" are those outcomes. Of an Ack over
// AMQP it replaces the outcome, when the message is stored already.
func Answer(status int, body string) Action {
	return Action{kind: actAnswer, status: status, body: body}
}

// Fail is Answer with the hub's usual error body for an error code such as
// 429001 (throttled), 503001 (unavailable) or 403002 (quota used up); the
// status is the code / 1000.
func Fail(code int) Action { return Action{kind: actAnswer, status: code / 1000, code: code} }

// Cut cuts the line before a request is performed, or an answer sent.
func Cut() Action { return Action{kind: actCut} }

// CutAfter performs the request, and cuts the line instead of answering. A
// message from the hub is sent first.
func CutAfter() Action { return Action{kind: actCutAfter} }

// Freeze makes this connection half-open, this message being the first to get
// lost: the hub neither reads nor writes on it any more, and does not close
// it. Other connections, also later ones of the same device, are well.
func Freeze() Action { return Action{kind: actFreeze} }

// RetryAfter makes Answer and Fail ask for a pause, in whole seconds, rounded
// up: over REST in the header Retry-After, over MQTT in the topic's parameter
// retry-after, over AMQP in the application property retry-after, where the
// Device Provisioning Service has them. CONNACK and SUBACK have no place for it.
func (a Action) RetryAfter(d time.Duration) Action {
	a.after = d
	return a
}

// pause is the pause that is asked for, in whole seconds, or 0 for none.
func (a Action) pause() int { return int((a.after + time.Second - 1) / time.Second) }

// Times makes the action apply to n matching messages instead of one; below 0,
// to all of them until it is removed.
func (a Action) Times(n int) Action {
	a.times = n
	return a
}

// rule is one interception. hub.mu guards left.
type rule struct {
	match func(Message) bool
	do    Action
	left  int // below 0: for ever
}

// Intercept takes one matching message and does something to it; then it is
// spent, unless the action says Times. Of several that match, the one
// registered first takes the message. The function returned removes it.
//
// match is called for every message, by the goroutines that serve the
// connections, of which several may call at once, with no lock held: it may
// call the hub's methods, except Close, and must not block.
func (h *Hub) Intercept(match func(Message) bool, do Action) (remove func()) {
	if do.err != nil {
		h.misused(do.err)
		return func() {}
	}
	r := &rule{match: match, do: do, left: 1}
	if do.times != 0 {
		r.left = do.times
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rules = append(slices.Clone(h.rules), r)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.forget(r)
	}
}

// forget removes a rule. The slice is copied: others look at it without h.mu,
// which is held here.
func (h *Hub) forget(r *rule) {
	h.rules = slices.DeleteFunc(slices.Clone(h.rules), func(o *rule) bool { return o == r })
}

// intercept says what becomes of a message. No lock is held.
func (h *Hub) intercept(m Message) Action {
	h.mu.Lock()
	rules := h.rules
	h.mu.Unlock()
	for _, r := range rules {
		seen := m
		seen.Body, seen.Topics = bytes.Clone(m.Body), slices.Clone(m.Topics)
		if r.match(seen) && h.take(r) {
			h.log.Info("intercepted", "device", m.Device, "op", m.Op.String(), "fromHub", m.FromHub, "rid", m.RequestID)
			return r.do
		}
	}
	return Pass()
}

// take uses a rule once; false when others used it up meanwhile.
func (h *Hub) take(r *rule) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.rules, r) {
		return false
	}
	if r.left > 0 {
		r.left--
	}
	if r.left == 0 {
		h.forget(r)
	}
	return true
}

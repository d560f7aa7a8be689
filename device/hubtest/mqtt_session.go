package hubtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// Topics of direct methods.
const (
	prefixMethod       = "$iothub/methods/POST/"
	filterMethods      = hubproto.FilterMethods
	prefixMethodAnswer = "$iothub/methods/res/"
)

// session is what outlives a connection: the subscriptions. hub.mu guards it.
type session struct {
	clean bool            // it ends with its connection
	subs  map[string]byte // filter to granted QoS
}

func newSession(clean bool) *session {
	return &session{clean: clean, subs: map[string]byte{}}
}

func (s *session) has(filter string) bool {
	_, ok := s.subs[filter]
	return ok
}

// subscribe adds filters and returns what is granted; an error ends the
// connection, and nothing is added.
func (s *session) subscribe(who *identity, filters []string, qos []byte) ([]byte, error) {
	all := maps.Clone(s.subs)
	granted := make([]byte, len(filters))
	for i, f := range filters {
		if !who.maySubscribe(f) {
			return nil, fmt.Errorf("SUBSCRIBE to %q, which is no topic of this hub and device", f)
		}
		granted[i] = min(qos[i], 1) // QoS 2 is granted as 1
		all[f] = granted[i]
	}
	if len(all) > maxSubscriptions {
		return nil, fmt.Errorf("%d subscriptions; at most %d are allowed", len(all), maxSubscriptions)
	}
	s.subs = all
	return granted, nil
}

// maySubscribe knows the documented filters. Real hubs close the connection
// for any other.
func (id *identity) maySubscribe(filter string) bool {
	known := []string{hubproto.FilterTwinResponses, hubproto.FilterDesired, filterMethods}
	own := id.ownTopics()
	known = append(known, own+hubproto.FilterDevicebound)
	if id.module == "" {
		known = append(known, filterAnyDevicebound)
	} else {
		// The C and .NET SDKs ask for all of it.
		known = append(known, own+hubproto.FilterInputs, own+"#")
	}
	if slices.Contains(known, filter) {
		return true
	}
	// One method alone may be subscribed to.
	name, ok := strings.CutPrefix(filter, prefixMethod)
	name, ok2 := strings.CutSuffix(name, "/#")
	return ok && ok2 && name != "" && !strings.ContainsAny(name, "/+#")
}

func (s *session) unsubscribe(filters []string) {
	all := maps.Clone(s.subs)
	for _, f := range filters {
		delete(all, f)
	}
	s.subs = all
}

// invoke implements presence: a device subscribes to all methods, or to one.
func (c *mqttConn) invoke(n uint64, m Message) *call {
	if !c.session.has(filterMethods) && !c.session.has(prefixMethod+m.Method+"/#") {
		return nil
	}
	m.RequestID = strconv.FormatUint(n, 16)
	c.tell(m)
	return newCall(m.RequestID, c, c.done)
}

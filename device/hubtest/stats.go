package hubtest

// Stats counts what passed between the hub and one device, or all of them. A
// request counts when it arrives, whatever Intercept does to it then.
type Stats struct {
	Connects      int // logins accepted
	Refused       int // logins refused
	Takeovers     int // connections that ended because of a newer one
	Disconnects   int // polite ends
	Subscribes    int // SUBSCRIBE packets
	Gets          int
	Patches       int
	Notifications int // desired changes told to a connected, subscribed device
	Pings         int
	Telemetry     int
	Methods       int // direct methods handed to a device that listens
	Requests      int // over REST; only in the sum
}

// Stats returns the counters of an identity, which outlive its removal; an
// empty id means the sum over all, and over whoever is unknown. An id that the
// hub never knew has counted nothing.
func (h *Hub) Stats(id string) Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.stats[id]; s != nil {
		return *s
	}
	return Stats{}
}

// count counts for one identity and for the sum. h.mu is held.
func (h *Hub) count(id string, f func(*Stats)) {
	f(h.stats[""])
	if s := h.stats[id]; s != nil && id != "" {
		f(s)
	}
}

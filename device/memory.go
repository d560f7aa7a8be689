package device

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The bounds of what durable listeners heard that are not registered: beyond
// one of them, the names that were heard of longest ago are forgotten.
const (
	maxIdleNames = 64
	maxIdleBytes = 64 << 10
)

// maxForgets bounds the names to forget before the store is claimed. The oldest
// of more are not forgotten.
const maxForgets = 256

// maxDurableName bounds the name of a durable listener, in bytes.
const maxDurableName = 128

// memories are what durable listeners heard last, by name.
type memories struct {
	byName map[string]*memory
	live   map[string]catchup.ListenerID // names that have a listener
	forget []string                      // asked for before the store was claimed
	clock  uint64
}

type memory struct {
	path string
	kept keptDoc // see catchup.Heard.Doc
	used uint64  // grows with each use
}

// checkDurableName says why a name cannot be one.
func checkDurableName(name string) error {
	if len(name) > maxDurableName || !utf8.ValidString(name) {
		return fmt.Errorf("device: %w: ListenOptions.Durable has %d bytes; give a name of at most %d, in UTF-8", errtext.Bare("twin", twin.ErrInvalid), len(name), maxDurableName)
	}
	return nil
}

// enlist notes that a name has a listener.
func (m *memories) enlist(name string, id catchup.ListenerID) {
	if m.live == nil {
		m.live = map[string]catchup.ListenerID{}
	}
	m.live[name] = id
}

// at returns the memory of a name, making it if needed. A memory
// of another path begins again.
func (m *memories) at(name, path string) *memory {
	if m.byName == nil {
		m.byName = map[string]*memory{}
	}
	h := m.byName[name]
	if h == nil || h.path != path {
		h = &memory{path: path}
		m.byName[name] = h
	}
	m.clock++
	h.used = m.clock
	return h
}

// recall takes what a store holds of a name.
func (m *memories) recall(s savedHeard, seen keptDoc) error {
	h := m.at(s.Name, s.Path)
	if s.Same && seen.number == 0 {
		h.kept = keptDoc{}
		return nil
	}
	if s.Same {
		h.kept = keptDoc{s.Number - 1, heardIn(seen.doc, s.Path)}
	}
	if err := h.kept.from(s.savedDoc); err != nil {
		return fmt.Errorf("what %q heard: %w", s.Name, err)
	}
	return nil
}

// heardIn is what a listener hears of a document.
func heardIn(doc twin.Properties, path string) twin.Properties {
	return catchup.Heard{Value: doc.At(path)}.Doc()
}

// byAge returns the names, those used longest ago first.
func (m *memories) byAge() []string {
	names := make([]string, 0, len(m.byName))
	for name := range m.byName {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(m.byName[a].used, m.byName[b].used) })
	return names
}

// saved is what a snapshot holds: the difference to its desired half, since most
// often there is no such listener.
func (m *memories) saved(seen keptDoc) (all []savedHeard) {
	for _, name := range m.byAge() {
		h := m.byName[name]
		if h.kept.number == 0 {
			continue
		}
		s := savedHeard{Name: name, Path: h.path, savedDoc: h.kept.whole()}
		if seen.number > 0 {
			base := keptDoc{h.kept.number - 1, heardIn(seen.doc, h.path)}
			s.savedDoc = base.differing(h.kept.doc)
			s.Same = s.Diff != nil
		}
		all = append(all, s)
	}
	return all
}

// spare returns the names to forget for the bounds of those without a listener.
func (m *memories) spare() (names []string) {
	idle, bytes := 0, 0
	for _, name := range slices.Backward(m.byAge()) {
		if _, live := m.live[name]; live {
			continue
		}
		idle++
		bytes += len(name) + m.byName[name].kept.doc.Size()
		if idle > maxIdleNames || bytes > maxIdleBytes {
			names = append(names, name)
		}
	}
	return names
}

// forgetLater notes a name to forget once the store is claimed.
func (m *memories) forgetLater(name string) {
	if !slices.Contains(m.forget, name) {
		m.forget = append(m.forget, name)
	}
	if n := len(m.forget) - maxForgets; n > 0 {
		m.forget = slices.Delete(m.forget, 0, n)
	}
}

// recallLocked gives the machine what a durable listener heard in an earlier
// life of the program.
func (c *Client) recallLocked(id catchup.ListenerID) {
	l := c.listeners[id]
	if h := c.memories.byName[l.durable]; l.durable != "" && h != nil && h.path == l.path && h.kept.number > 0 {
		c.desired.Recall(id, catchup.HeardOf(h.kept.doc))
	}
}

// noteHeardLocked remembers what a durable listener heard, once it has
// returned.
func (c *Client) noteHeardLocked(name string, ch twin.Change) {
	if c.journal == nil {
		return
	}
	_, known := c.memories.byName[name]
	h := c.memories.at(name, ch.Path)
	doc := h.kept.to(catchup.Heard{Version: ch.Version, Value: ch.Value}.Doc())
	c.keepLocked(savedRecord{Heard: &savedHeard{name, ch.Path, doc}}, nil)
	if !known {
		c.pruneLocked()
	}
}

// pruneLocked holds the bounds of names without a listener.
func (c *Client) pruneLocked() {
	for _, name := range c.memories.spare() {
		c.forgetLocked(name)
	}
}

func (c *Client) forgetLocked(name string) {
	for _, call := range c.calling {
		if call.durable == name {
			call.durable = "" // what it hears now is forgotten, too
		}
	}
	if _, ok := c.memories.byName[name]; ok {
		delete(c.memories.byName, name)
		c.keepLocked(savedRecord{Forget: name}, nil)
	}
}

// ForgetDurable forgets what the durable listener of that name heard, see
// ListenOptions.Durable: after the next start it is called with the present
// value, as if it were new. Before Connect, that is the start that Connect makes.
// It returns at once. A store has it within moments, or at the start. The last
// 256 names given before the start count.
//
// What was heard under a name that no listener has any more is kept for 64
// names, and 64 KB. Beyond, the ones used longest ago are forgotten.
func (c *Client) ForgetDurable(name string) {
	c.with(func() {
		switch {
		case c.journal != nil:
			c.forgetLocked(name)
		case c.opts.Store != nil && !c.claim.made():
			c.memories.forgetLater(name)
		}
	})
}

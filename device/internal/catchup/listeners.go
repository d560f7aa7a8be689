package catchup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// ListenerID names one registered listener of a Desired.
type ListenerID uint64

// ListenerOptions shape one listener.
type ListenerOptions struct {
	// Acknowledge says that an acknowledgement is to follow each call of the
	// listener. A full GET then counts as naming its path where a version was
	// missed: the acknowledgement must carry the new one.
	Acknowledge bool
	// Durable says that what the listener does outlives the program, such as a
	// setting that it stores: see Desired.Recall.
	Durable bool
}

// A Delivery is one call of one listener, to be made by whoever drives the
// machine.
type Delivery struct {
	ID          ListenerID
	Listener    twin.Listener
	Change      twin.Change
	Acknowledge bool
	Durable     bool
}

// routes finds the listeners that a patch touches, in a trie by path, so that
// the cost grows with the patch and with what it touches. What waits for a
// listener is never a queue: the document as it saw it last is shared with the
// present one, and the difference is taken when its turn comes.
type routes struct {
	root   route
	byID   map[ListenerID]*subscription
	lastID ListenerID
	dirty  []*subscription // whose turn comes, in this order
	fresh  []*subscription // marked by the change under way
}

type route struct {
	children map[string]*route
	subs     []*subscription
}

// A subscription is one listener and what it has seen.
type subscription struct {
	id       ListenerID
	text     string
	path     []string
	fn       twin.Listener
	opts     ListenerOptions
	told     bool       // it had its first call
	seen     *tree.Node // the value that it heard last
	ackedAt  int64      // the version of its last call
	recalled bool       // heard in an earlier life of the program
	another  bool       // the device was created again since its last call

	waiting bool // in dirty
	removed bool
	touched bool       // a patch named its path, or a part of it
	named   *tree.Node // what the patches named, as a document. See touch
	cause   twin.Cause // of the first change that waits
}

func (r *routes) add(text string, fn twin.Listener, opts ListenerOptions) (*subscription, error) {
	if fn == nil {
		return nil, fmt.Errorf("%w: a nil listener for path %q", twin.ErrInvalid, text)
	}
	var path []string
	if text != "" {
		// A path that no property can have is refused.
		if err := twin.Validate(twin.Properties{}, twin.Set(text, true)); err != nil {
			return nil, err
		}
		path = strings.Split(text, ".")
	}
	if opts.Acknowledge {
		if other := r.root.acknowledger(path); other != nil {
			return nil, fmt.Errorf("%w: the listener for path %q acknowledges, and so does the one for %q; one would overwrite the other's answers, so remove one",
				twin.ErrInvalid, text, other.text)
		}
	}
	at := &r.root
	for _, key := range path {
		next := at.children[key]
		if next == nil {
			next = &route{}
			if at.children == nil {
				at.children = map[string]*route{}
			}
			at.children[key] = next
		}
		at = next
	}
	r.lastID++
	s := &subscription{id: r.lastID, text: text, path: path, fn: fn, opts: opts}
	at.subs = append(at.subs, s)
	if r.byID == nil {
		r.byID = map[ListenerID]*subscription{}
	}
	r.byID[s.id] = s
	return s, nil
}

// acknowledger returns a listener that acknowledges at the path, above it or
// below it, or nil.
func (rt *route) acknowledger(path []string) *subscription {
	for _, s := range rt.subs {
		if s.opts.Acknowledge {
			return s
		}
	}
	if len(path) > 0 {
		if child := rt.children[path[0]]; child != nil {
			return child.acknowledger(path[1:])
		}
		return nil
	}
	for _, child := range rt.children {
		if s := child.acknowledger(nil); s != nil {
			return s
		}
	}
	return nil
}

func (r *routes) remove(id ListenerID) {
	s := r.byID[id]
	if s == nil {
		return
	}
	delete(r.byID, id)
	s.removed = true
	r.root.prune(s.path, s)
}

// prune takes a subscription away, and every route that led to it alone.
func (rt *route) prune(path []string, s *subscription) {
	if len(path) == 0 {
		rt.subs = slices.DeleteFunc(rt.subs, func(t *subscription) bool { return t == s })
		return
	}
	child := rt.children[path[0]]
	child.prune(path[1:], s)
	if len(child.subs) == 0 && len(child.children) == 0 {
		delete(rt.children, path[0])
	}
}

// touch marks the listeners that a patch touches. With names, a listener is
// told of what the patch names even where the value is as before.
func (r *routes) touch(patch *tree.Node, cause twin.Cause, names bool) {
	if patch != nil {
		r.visit(&r.root, patch, cause, names)
	}
	r.flush()
}

func (r *routes) visit(at *route, patch *tree.Node, cause twin.Cause, names bool) {
	for _, s := range at.subs {
		r.mark(s, cause)
		if names {
			s.touched = true
			// Merged like the document itself, the names stay a part of it
			// and so need no bound of their own.
			s.named = tree.Apply(s.named, patch)
		}
	}
	if patch.Kind != tree.Object {
		// The whole subtree was replaced or deleted.
		for _, child := range at.children {
			r.markBelow(child, cause)
		}
		return
	}
	if len(at.children) < len(patch.Members()) {
		for key, child := range at.children {
			if p := patch.Get(key); p != nil {
				r.visit(child, p, cause, names)
			}
		}
		return
	}
	for _, m := range patch.Members() {
		if child := at.children[m.Key]; child != nil {
			r.visit(child, m.Value, cause, names)
		}
	}
}

func (r *routes) markBelow(at *route, cause twin.Cause) {
	for _, s := range at.subs {
		r.mark(s, cause)
		s.named = nil // what was named is gone
	}
	for _, child := range at.children {
		r.markBelow(child, cause)
	}
}

// mark notes that a listener is to be called, and why. Inlined, it would cost a device program 1 KB.
//
//go:noinline
func (r *routes) mark(s *subscription, cause twin.Cause) {
	if s.waiting {
		return
	}
	s.waiting, s.cause = true, cause
	r.fresh = append(r.fresh, s)
}

// compare puts subscriptions in the order of registration.
func (s *subscription) compare(t *subscription) int { return cmp.Compare(s.id, t.id) }

// flush queues what one change marked, in the order of registration.
func (r *routes) flush() {
	slices.SortFunc(r.fresh, (*subscription).compare)
	r.dirty = append(r.dirty, r.fresh...)
	clear(r.fresh)
	r.fresh = r.fresh[:0]
}

// each calls f for every subscription, in the order of registration.
func (r *routes) each(f func(*subscription)) {
	for _, s := range slices.SortedFunc(maps.Values(r.byID), (*subscription).compare) {
		f(s)
	}
}

// next takes the listener whose turn it is and says what it is told of doc.
func (r *routes) next(doc twin.Properties) (Delivery, bool) {
	for len(r.dirty) > 0 {
		s := r.dirty[0]
		r.dirty[0] = nil
		r.dirty = r.dirty[1:]
		if d, ok := s.deliver(doc); ok {
			return d, true
		}
	}
	r.dirty = nil
	return Delivery{}, false
}

// deliver takes what waits for the subscription; false when there is nothing.
func (s *subscription) deliver(doc twin.Properties) (Delivery, bool) {
	value := tree.Find(tree.OrEmpty(rootOf(doc)), s.path)
	touched, named := s.touched, s.named
	s.waiting, s.touched, s.named = false, false, nil
	if s.recalled && s.ackedAt > doc.Version() {
		s.another = true
	}
	asBefore := !touched && tree.Equal(s.seen, value) || s.seen == nil && value == nil
	if s.recalled && s.another && s.opts.Acknowledge && value != nil {
		asBefore = false // the answer that is reported names a version of the other twin
	}
	if s.removed || s.told && asBefore {
		if s.recalled {
			// What it answered before the restart stands: a durable listener is
			// not run again for a version that brought it nothing.
			s.recalled, s.ackedAt = false, doc.Version()
		}
		return Delivery{}, false
	}
	c := twin.Change{
		Path: s.text, Value: twin.ValueOf(tree.Key{}, value, s.text), Old: twin.ValueOf(tree.Key{}, s.seen, s.text),
		Version: doc.Version(), Cause: s.cause, Desired: doc,
	}
	switch {
	case s.another:
		c.Cause = twin.CauseNewTwin
	case !s.told || s.recalled:
		c.Cause = twin.CauseStart
	}
	s.told, s.recalled, s.another, s.seen, s.ackedAt = true, false, false, value, doc.Version()
	c = twin.ChangeOf(tree.Key{}, c, s.path, named)
	return Delivery{ID: s.id, Listener: s.fn, Change: c, Acknowledge: s.opts.Acknowledge, Durable: s.opts.Durable}, true
}

package device_test

import "slices"

// A durableMemory is what a durable listener of a story heard and answered, and
// what the store may hold of it.
//
// The contract is about a store that is well: what it has then is there after a
// restart. What a listener hears, or ForgetDurable forgets, while the store
// fails or before it has synced, the next start may know or not: nothing else
// outlives the process. So the store holds one of what was remembered since it
// was well last, and nothing else. The next call shows which one it is, by Old.
// Without a call, it is the one that is desired.
//
// Answers are reports: an old one that the store holds may go out again, after a
// newer one that it does not hold.
type durableMemory struct {
	last     candidates[string]  // heard last without an error; "" for nothing
	answered candidates[*answer] // nil for nothing
}

// candidates are values of something that is to outlive the board.
type candidates[T comparable] struct {
	is    T   // as the present life knows it
	kept  []T // any of these may be what the store holds
	maybe []T // any of these is what this life has; nil for is
	ever  []T // all that there was
}

func newMemory() durableMemory {
	return durableMemory{candidates[string]{kept: []string{""}}, candidates[*answer]{kept: []*answer{nil}}}
}

// set notes what the client is to remember from now on.
func (c *candidates[T]) set(v T) {
	c.is, c.maybe = v, nil
	for _, all := range []*[]T{&c.kept, &c.ever} {
		if !slices.Contains(*all, v) {
			*all = append(*all, v)
		}
	}
}

// shown notes what the client was seen to have recalled.
func (c *candidates[T]) shown(v T) { c.is, c.maybe, c.kept = v, nil, []T{v} }

// any is what this life may have.
func (c *candidates[T]) any() []T {
	if c.maybe != nil {
		return c.maybe
	}
	return []T{c.is}
}

// written notes that the store is well, and has what it was given.
func (c *candidates[T]) written() { c.kept = slices.Clone(c.any()) }

// lied notes that the store may hold anything that it ever held: a flash that
// says that it has synced promises nothing.
func (c *candidates[T]) lied() {
	var none T
	c.kept = append(slices.Clone(c.ever), none)
}

// boot begins another life, with what the store holds.
func (c *candidates[T]) boot() {
	if c.maybe = nil; !slices.Equal(c.kept, []T{c.is}) {
		c.maybe = slices.Clone(c.kept)
	}
}

func (m *durableMemory) written() { m.last.written(); m.answered.written() }
func (m *durableMemory) lied()    { m.last.lied(); m.answered.lied() }
func (m *durableMemory) boot()    { m.last.boot(); m.answered.boot() }

// eachMemory calls f for the memory of each durable listener.
func (s *drama) eachMemory(f func(*durableMemory)) {
	for _, e := range s.board.ears {
		if e.durable {
			e.mu.Lock()
			f(&e.durableMemory)
			e.mu.Unlock()
		}
	}
}

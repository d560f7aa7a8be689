package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// keepBytes bounds the patches that are kept while a GET is in flight: twice a
// whole section. Past it, one more GET is owed.
const keepBytes = 64 << 10

// keepOverhead is what a kept patch counts beside its text.
const keepOverhead = 64

// A fetch is the GET in flight, and the patches that came since it left.
type fetch struct {
	on    bool
	from  int64       // the version of the document when it left
	kept  []keptPatch // by version, newer than from, those without one first
	bytes int
	owed  bool // a patch came that needs a GET
	again bool // a patch came that needs a GET after this one
}

type keptPatch struct {
	patch   *tree.Node
	version int64
	routed  bool // it was applied, and listeners know its names
}

// keep adds a patch whose text has the size given.
func (f *fetch) keep(k keptPatch, size int) {
	f.bytes += size + keepOverhead
	if f.bytes > keepBytes {
		f.owed, f.again = true, true
		return
	}
	at := len(f.kept) // patches come in order, most often
	for at > 0 && f.kept[at-1].version > k.version {
		at--
	}
	if at > 0 && k.version > 0 && f.kept[at-1].version == k.version {
		// One that is not the same is another twin's.
		f.again = f.again || !tree.Equal(f.kept[at-1].patch, k.patch)
		return
	}
	f.kept = append(f.kept, k)
	copy(f.kept[at+1:], f.kept[at:])
	f.kept[at] = k
}

// replay lays the kept patches over the answer. It reports whether the result
// is complete, and whether the hub may have emptied an object. Without versions
// it is not known which patches the answer has already, but all of them once
// more, in order, change nothing.
func (f *fetch) replay(answer twin.Properties) (doc twin.Properties, complete, empties bool) {
	doc, complete = answer, true
	for _, k := range f.kept {
		version := doc.Version()
		switch {
		case version > 0 && 0 < k.version && k.version <= version:
			continue
		case follow(version, k.version) != Applied:
			return doc, false, empties
		}
		empties = empties || tree.DeletesMissing(rootOf(doc), k.patch)
		doc = propertiesOf(tree.Apply(rootOf(doc), k.patch), k.version)
	}
	return doc, complete, empties
}

// unrouted returns the patches between the answer and doc that listeners do not
// know of.
func (f *fetch) unrouted(answer, doc twin.Properties) (since []keptPatch) {
	for _, k := range f.kept {
		if !k.routed && k.version > answer.Version() && k.version <= doc.Version() {
			since = append(since, k)
		}
	}
	return since
}

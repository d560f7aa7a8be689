package section

import (
	"maps"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// A Stamp says when a part of a section was written last. The tree mirrors the
// document; one is never changed in place.
type Stamp struct {
	at      time.Time // zero for never
	version int64     // of the section; 0 for never
	members map[string]*Stamp
}

// merge stamps all that a patch names, and every level above it: so a removal
// leaves its trace.
func (s *Stamp) merge(patch *jsondoc.Object, now time.Time, version int64) *Stamp {
	out := &Stamp{at: now, version: version}
	if s != nil {
		out.members = maps.Clone(s.members)
	}
	for k, v := range patch.All() {
		if v == nil {
			delete(out.members, k)
			continue
		}
		if out.members == nil {
			out.members = make(map[string]*Stamp, patch.Len())
		}
		inner, isObject := v.(*jsondoc.Object)
		if !isObject {
			out.members[k] = &Stamp{at: now, version: version}
			continue
		}
		out.members[k] = out.members[k].merge(inner, now, version)
	}
	return out
}

// NewStamp is the stamp of a section that was made at a moment, by no version.
func NewStamp(at time.Time) *Stamp { return &Stamp{at: at} }

// timeFormat has up to the seven fractional digits that .NET prints.
const timeFormat = "2006-01-02T15:04:05.9999999Z"

// Time is a time as a hub prints it. Never is the year 1.
func Time(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.UTC().Format(timeFormat)
}

// Tree is the $metadata of a document, in the order of its members. Only desired
// has versions in it.
func (s *Stamp) Tree(doc any, versions bool) *jsondoc.Object {
	out := jsondoc.New("$lastUpdated", Time(s.at))
	if versions && s.version > 0 {
		out.Set("$lastUpdatedVersion", jsondoc.Int(s.version))
	}
	inner, _ := doc.(*jsondoc.Object)
	for k, v := range inner.All() {
		if m := s.members[k]; m != nil {
			out.Set(k, m.Tree(v, versions))
		}
	}
	return out
}

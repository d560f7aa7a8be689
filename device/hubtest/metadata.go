package hubtest

import (
	"maps"
	"strconv"
	"time"
)

// stamp says when a part of a section was written last. The tree mirrors the
// document; one is never changed in place.
type stamp struct {
	at      time.Time // zero for never
	version int64     // of the section; 0 for never
	members map[string]*stamp
}

// merge stamps all that a patch names, and every level above it: so a removal
// leaves its trace.
func (s *stamp) merge(patch map[string]any, now time.Time, version int64) *stamp {
	out := &stamp{at: now, version: version}
	if s != nil {
		out.members = maps.Clone(s.members)
	}
	for k, v := range patch {
		if v == nil {
			delete(out.members, k)
			continue
		}
		if out.members == nil {
			out.members = make(map[string]*stamp, len(patch))
		}
		inner, isObject := v.(map[string]any)
		if !isObject {
			out.members[k] = &stamp{at: now, version: version}
			continue
		}
		out.members[k] = out.members[k].merge(inner, now, version)
	}
	return out
}

// timeFormat has the seven fractional digits that real services print.
const timeFormat = "2006-01-02T15:04:05.0000000Z"

func hubTime(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.UTC().Format(timeFormat)
}

// appendTo writes the tree as $metadata; only desired tells versions.
func (s *stamp) appendTo(b []byte, versions bool) []byte {
	b = append(b, `{"$lastUpdated":"`...)
	b = append(b, hubTime(s.at)...)
	b = append(b, '"')
	if versions && s.version > 0 {
		b = append(b, `,"$lastUpdatedVersion":`...)
		b = strconv.AppendInt(b, s.version, 10)
	}
	for _, k := range sortedKeys(s.members) {
		b = append(b, ',')
		b = append(appendText(b, k), ':')
		b = s.members[k].appendTo(b, versions)
	}
	return append(b, '}')
}

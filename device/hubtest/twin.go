package hubtest

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// The hub keeps its twins with code of its own, plainly, over *jsondoc.Object and
// json.Number: package twin is what it judges.

// section is one half of a twin. The document is never changed in place, so
// whoever holds one may read it without a lock.
type section struct {
	doc     *jsondoc.Object
	version int64
	meta    *stamp
}

// twin is both halves, and what counts their changes.
type twin struct {
	desired, reported section
	tags              *jsondoc.Object // never changed in place
	version           int64           // root version
	etag              uint64          // counts changes of either half and of the tags
}

// newTwin is a twin as a new identity has it: both halves empty at version 1.
func newTwin() twin {
	half := section{doc: &jsondoc.Object{}, version: 1}
	t := twin{desired: half, reported: half, tags: &jsondoc.Object{}, version: 2, etag: 1}
	t.desired.meta, t.reported.meta = &stamp{}, &stamp{}
	return t
}

// write puts a new document into a half, by a patch or a replacement that has
// passed every rule. Every accepted write raises the versions, whether it
// changes anything or not.
func (t *twin) write(s *section, doc, patch *jsondoc.Object, now time.Time) {
	s.doc = doc
	s.version++
	s.meta = s.meta.merge(patch, now, s.version)
	t.version++
	t.etag++
}

// document is the answer to a device's GET.
func (t *twin) document() []byte {
	b := append([]byte(nil), `{"desired":`...)
	b = appendSection(b, t.desired.doc, t.desired.version)
	b = append(b, `,"reported":`...)
	b = appendSection(b, t.reported.doc, t.reported.version)
	return append(b, '}')
}

// etagText is the counter as every published example shows it.
func (t *twin) etagText() string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, t.etag))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// appendSection writes a document with its version as the last member.
func appendSection(b []byte, doc *jsondoc.Object, version int64) []byte {
	b = jsondoc.Append(b, doc)
	b = b[:len(b)-1]
	if doc.Len() > 0 {
		b = append(b, ',')
	}
	b = append(b, `"$version":`...)
	b = strconv.AppendInt(b, version, 10)
	return append(b, '}')
}

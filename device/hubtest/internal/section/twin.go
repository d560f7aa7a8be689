// Package section holds the two halves of a twin, and what a hub allows in them:
// merging, limits, sizes, versions and metadata. It is pure and plain, over the
// objects of jsondoc: package twin is what the hub judges.
package section

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// A Half is one half of a twin. The document is never changed in place, so
// a holder may read it without a lock.
type Half struct {
	Doc     *jsondoc.Object
	Version int64
	Meta    *Stamp
}

// A Twin is both halves, and what counts their changes.
type Twin struct {
	Desired, Reported Half
	Tags              *jsondoc.Object // never changed in place
	Version           int64           // root version
	ETag              uint64          // counts changes of either half and of the tags
}

// New is a twin as a new identity has it: both halves empty at version 1.
func New() Twin {
	half := Half{Doc: &jsondoc.Object{}, Version: 1}
	t := Twin{Desired: half, Reported: half, Tags: &jsondoc.Object{}, Version: 2, ETag: 1}
	t.Desired.Meta, t.Reported.Meta = &Stamp{}, &Stamp{}
	return t
}

// Write puts a new document into a half, by a patch or a replacement that has
// passed every rule. Every accepted write raises the versions, whether it
// changes anything or not.
func (t *Twin) Write(s *Half, doc, patch *jsondoc.Object, now time.Time) {
	s.Doc = doc
	s.Version++
	s.Meta = s.Meta.merge(patch, now, s.Version)
	t.Version++
	t.ETag++
}

// Document is the answer to a device's GET.
func (t *Twin) Document() []byte {
	b := append([]byte(nil), `{"desired":`...)
	b = Append(b, t.Desired.Doc, t.Desired.Version)
	b = append(b, `,"reported":`...)
	b = Append(b, t.Reported.Doc, t.Reported.Version)
	return append(b, '}')
}

// ETagText is the counter as every published example shows it.
func (t *Twin) ETagText() string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, t.ETag))
}

// Document is a half as services get it, with the hub's own members. Only those
// of desired have versions in their metadata.
func (s Half) Document(versions bool) *jsondoc.Object {
	doc := s.Doc.Without()
	doc.Set("$metadata", s.Meta.Tree(s.Doc, versions))
	doc.Set("$version", jsondoc.Int(s.Version))
	return doc
}

// Append writes a document with its version as the last member.
func Append(b []byte, doc *jsondoc.Object, version int64) []byte {
	b = jsondoc.Append(b, doc)
	b = b[:len(b)-1]
	if doc.Len() > 0 {
		b = append(b, ',')
	}
	b = append(b, `"$version":`...)
	b = strconv.AppendInt(b, version, 10)
	return append(b, '}')
}

package hubtest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// The hub keeps its twins with code of its own, plainly, over map[string]any
// and json.Number: package twin is what it judges.

// section is one half of a twin. The document is never changed in place, so
// whoever holds one may read it without a lock.
type section struct {
	doc     map[string]any
	version int64
	meta    *stamp
}

// twin is both halves, and what counts their changes.
type twin struct {
	desired, reported section
	tags              map[string]any // never changed in place
	version           int64          // root version
	etag              uint64         // counts changes of either half and of the tags
}

// newTwin is a twin as a new identity has it: both halves empty at version 1.
func newTwin() twin {
	half := section{doc: map[string]any{}, version: 1}
	t := twin{desired: half, reported: half, tags: map[string]any{}, version: 2, etag: 1}
	t.desired.meta, t.reported.meta = &stamp{}, &stamp{}
	return t
}

// write puts a new document into a half, by a patch or a replacement that has
// passed every rule. Every accepted write raises the versions, whether it
// changes anything or not.
func (t *twin) write(s *section, doc, patch map[string]any, now time.Time) {
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

var errNotObject = errors.New("not a JSON object")

// parseObject reads one JSON object: numbers keep their text, of duplicate
// keys the last wins, and nothing may follow.
func parseObject(text []byte) (map[string]any, error) {
	v, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errNotObject
	}
	return m, nil
}

func parseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// appendSection writes a document with its version as the last member.
func appendSection(b []byte, doc map[string]any, version int64) []byte {
	b = appendJSON(b, doc)
	b = b[:len(b)-1]
	if len(doc) > 0 {
		b = append(b, ',')
	}
	b = append(b, `"$version":`...)
	b = strconv.AppendInt(b, version, 10)
	return append(b, '}')
}

// appendJSON writes a value, an object's members in the order of their keys.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		b = append(b, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, k), ':')
			b = appendJSON(b, v[k])
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case string:
		return appendText(b, v)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

// appendText writes a JSON string; what JSON lets stand, stands.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

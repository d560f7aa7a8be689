package section

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Saved is the twin as a hub's state has it.
func (t *Twin) Saved() *jsondoc.Object {
	return jsondoc.New(
		"version", jsondoc.Int(t.Version), "etag", strconv.FormatUint(t.ETag, 10), "tags", t.Tags,
		"desired", t.Desired.saved(), "reported", t.Reported.saved(),
	)
}

func (s Half) saved() *jsondoc.Object {
	return jsondoc.New("version", jsondoc.Int(s.Version), "document", s.Doc, "metadata", s.Meta.Tree(s.Doc, true))
}

// Restore reads what Saved wrote.
func (t *Twin) Restore(m *jsondoc.Object) (err error) {
	if t.Version, err = savedVersion(m); err != nil {
		return err
	}
	if t.ETag, err = strconv.ParseUint(m.Text("etag"), 10, 63); err != nil {
		return err
	}
	if t.Tags, err = savedDocument(m.Get("tags")); err != nil {
		return fmt.Errorf("tags: %w", err)
	}
	for name, s := range map[string]*Half{"desired": &t.Desired, "reported": &t.Reported} {
		half, _ := m.Get(name).(*jsondoc.Object)
		if s.Version, err = savedVersion(half); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if s.Doc, err = savedDocument(half.Get("document")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if s.Meta, err = savedStamp(half.Get("metadata"), s.Version); err != nil {
			return fmt.Errorf("%s: metadata: %w", name, err)
		}
	}
	return nil
}

func savedVersion(m *jsondoc.Object) (int64, error) {
	n, err := strconv.ParseInt(fmt.Sprint(m.Get("version")), 10, 63)
	if err != nil || n < 1 {
		return 0, errors.New("version is no whole number from 1 on")
	}
	return n, nil
}

// savedDocument is a document by the rules of a section. MergeKeepNulls leaves
// nulls in it.
func savedDocument(v any) (*jsondoc.Object, error) {
	doc, ok := v.(*jsondoc.Object)
	if !ok {
		return nil, jsondoc.ErrNotObject
	}
	if f := checkObject(doc, 0, true); f != nil {
		return nil, errors.New(f.Text)
	}
	return doc, nil
}

// savedStamp is the tree of a $metadata, which is no deeper than its document
// may be.
func savedStamp(v any, newest int64) (*Stamp, error) { return stampAt(v, newest, 0) }

func stampAt(v any, newest int64, depth int) (*Stamp, error) {
	m, ok := v.(*jsondoc.Object)
	if !ok || depth > maxDepth+1 {
		return nil, jsondoc.ErrNotObject
	}
	s := &Stamp{}
	for k, e := range m.All() {
		var err error
		switch {
		case k == "$lastUpdated":
			s.at, err = ParseTime(fmt.Sprint(e))
		case k == "$lastUpdatedVersion":
			if s.version, err = strconv.ParseInt(fmt.Sprint(e), 10, 63); err == nil && (s.version < 1 || s.version > newest) {
				err = errors.New("a $lastUpdatedVersion is none of the section's")
			}
		case strings.HasPrefix(k, "$"):
			err = fmt.Errorf("a member %.40q", k)
		default:
			if s.members == nil {
				s.members = map[string]*Stamp{}
			}
			s.members[k], err = stampAt(e, newest, depth+1)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ParseTime reads what Time wrote.
func ParseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q is no time", text)
	}
	return t, nil
}

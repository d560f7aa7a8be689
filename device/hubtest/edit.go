package hubtest

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/sjson"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Edit changes one member of a message's JSON object and lets the message pass.
// The rest of the body keeps its bytes:
//
//	hub.Intercept(hubtest.FromHub("fan1", hubtest.GetTwin), hubtest.Edit("desired.$version", "7"))
//
// The path is keys with dots between. A key consists of letters, digits, '_', '-'
// and '$', and none has a special meaning: "0" is a key, and no array is entered.
// json is the new value. If it is empty, the member is removed. Objects missing on
// the path are created, unless the member is removed.
//
// Edit works in both directions. Over REST, where Intercept sees requests only, it
// changes the answer.
//
// No failure is silent. Intercept refuses a bad path or value: a hub of New fails
// its test at once. If a message has no JSON object, or lacks the member to remove,
// it passes unchanged. The hub then logs why, a hub of New fails its test when it
// ends, and Close returns the error.
func Edit(path, json string) Action {
	act := Action{kind: actEdit, path: path, body: json}
	if err := act.checkEdit(); err != nil {
		act.err = fmt.Errorf("hubtest: Edit(%.60q, %.60q): %w", path, json, err)
	}
	return act
}

// checkEdit refuses what sjson would take for something else, or for nothing.
func (a Action) checkEdit() error {
	if a.path == "" {
		return errors.New("the path is empty; Answer replaces a whole body")
	}
	if !utf8.ValidString(a.path) {
		return errors.New("the path is not UTF-8")
	}
	for key := range strings.SplitSeq(a.path, ".") {
		if key == "" {
			return errors.New("the path has an empty key; write keys with one dot between")
		}
		if i := strings.IndexFunc(key, notPathRune); i >= 0 {
			r, _ := utf8.DecodeRuneInString(key[i:])
			return fmt.Errorf("the path holds %q; keys are letters, digits, '_', '-' and '$', and nothing else has a meaning", r)
		}
	}
	if a.body == "" {
		return nil
	}
	if _, err := jsondoc.Parse([]byte(a.body)); err != nil {
		return fmt.Errorf("the value is not JSON (%w); write a text in quotes, and remove with an empty value", err)
	}
	return nil
}

// notPathRune reports whether a character may have a meaning in sjson's paths. No
// letter outside ASCII has.
func notPathRune(r rune) bool {
	switch {
	case r >= utf8.RuneSelf, 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-$", r)
}

// edited is a body as an Edit leaves it. The body that it is given stays as it is.
func (a Action) edited(body []byte) ([]byte, error) {
	doc, err := jsondoc.ParseObject(body)
	if err != nil {
		return nil, fmt.Errorf("the body %.60q is not a JSON object", body)
	}
	keys := strings.Split(a.path, ".")
	if err := a.reaches(doc, keys); err != nil {
		return nil, err
	}
	// Forced, a key that looks like a number is no index of an array.
	path := ":" + strings.Join(keys, ".:")
	var out []byte
	if a.body == "" {
		out, err = sjson.DeleteBytes(body, path)
	} else {
		out, err = sjson.SetRawBytes(body, path, []byte(a.body))
	}
	if err != nil {
		return nil, err
	}
	return out, a.check(out)
}

// reaches says why the path cannot be followed in a document.
func (a Action) reaches(doc *jsondoc.Object, keys []string) error {
	for i, key := range keys {
		v, there := doc.Lookup(key)
		switch {
		case !there && a.body == "":
			return fmt.Errorf("there is no %s to remove", a.path)
		case !there || i == len(keys)-1:
			return nil
		}
		inner, ok := v.(*jsondoc.Object)
		if !ok {
			return fmt.Errorf("%s is not an object", strings.Join(keys[:i+1], "."))
		}
		doc = inner
	}
	return nil
}

// check reads what was written, by other code than wrote it. It fails where a body
// has a key twice, of which sjson edits the first and the last counts.
func (a Action) check(out []byte) error {
	doc, err := jsondoc.ParseObject(out)
	if err != nil {
		return fmt.Errorf("the edited body is not a JSON object: %w", err)
	}
	want := any(jsondoc.Absent{})
	if a.body != "" {
		if want, err = jsondoc.Parse([]byte(a.body)); err != nil {
			return err
		}
	}
	if got := jsondoc.At(doc, a.path); !jsondoc.Equal(got, want) {
		return fmt.Errorf("%s is %.60q after the edit; is the key there twice?", a.path, jsondoc.Append(nil, got))
	}
	return nil
}

// edit changes a message as an Edit says, or leaves it and reports why. No lock is
// held.
func (h *Hub) edit(m *Message, act Action) {
	body, err := act.edited(m.Body)
	if err != nil {
		direction := "to"
		if !m.FromHub {
			direction = "from"
		}
		h.fail(fmt.Errorf("hubtest: Edit(%.60q, %.60q) of %v %s %q: %w", act.path, act.body, m.Op, direction, m.Device, err))
		return
	}
	m.Body = body
}

// maxFailures bounds the failures that Close returns.
const maxFailures = 16

// fail reports what a test asked for and the hub could not do. No lock is held.
func (h *Hub) fail(err error) {
	h.log.Error("not done", "reason", err)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.failures) < maxFailures {
		h.failures = append(h.failures, err)
	}
}

// failed are the failures so far, as one error.
func (h *Hub) failed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.failures...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/twin"
)

// reader is stdin.
type reader = io.Reader

// readPatch reads what set or report sends. What no hub would take, whatever its
// twin holds, is refused at once.
func (t *tool) readPatch(ctx context.Context, words []string, stdin reader) error {
	what, text, err := t.patchText(ctx, words, stdin)
	if err != nil {
		return err
	}
	if t.patch, err = twin.ParsePatch(text); err != nil {
		return fmt.Errorf(`%s: %w; want a JSON object, quoted for the shell: report '{"fan":{"rpm":1150}}'`, what, err)
	}
	if err := twin.Validate(twin.Properties{}, t.patch); err != nil {
		return fmt.Errorf("%s: reported properties: %w", what, err)
	}
	return nil
}

// patchText is the text of the patch, and what an error calls it.
func (t *tool) patchText(ctx context.Context, words []string, stdin reader) (what string, text []byte, err error) {
	if t.command == "set" {
		text, err = assign(words)
		return "set", text, err
	}
	return t.argument(ctx, words, stdin, "patch", `want one JSON object, quoted for the shell: report '{"fan":{"rpm":1150}}', or @FILE, or -`)
}

// argument is the one word of report and send, or what it leads to: @FILE or
// stdin. name is what it is, and want what is said where there is not one.
func (t *tool) argument(ctx context.Context, words []string, stdin reader, name, want string) (what string, text []byte, err error) {
	if len(words) == 0 {
		return "", nil, desk.Usagef("%s: missing %s: %s", t.command, name, want)
	}
	if len(words) > 1 {
		return "", nil, desk.Usagef("%s: unexpected %s: %s", t.command, desk.Quote(words[1]), want)
	}
	what = t.command + " " + desk.Quote(words[0])
	if words[0] == "-" {
		if text, err = readStdin(ctx, stdin); err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return what, text, err
	}
	if name, ok := strings.CutPrefix(words[0], "@"); ok {
		if text, err = desk.ReadFile(name); err != nil {
			err = desk.Usagef("%s: %w", what, err)
		}
		return what, text, err
	}
	return what, []byte(words[0]), nil
}

// readStdin reads to the end of stdin, or until ctx ends. A terminal that says
// nothing cannot be interrupted: the read then ends with the process.
func readStdin(ctx context.Context, stdin reader) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := desk.ReadAll(stdin)
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// assign makes a JSON object of PATH=VALUE words. The first = ends the path.
func assign(words []string) ([]byte, error) {
	if len(words) == 0 {
		return nil, desk.Usagef("set: missing PATH=VALUE, such as fan.rpm=1150")
	}
	text := []byte("{}")
	var paths []string
	for _, word := range words {
		path, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, desk.Usagef("set %s: want PATH=VALUE, such as fan.rpm=1150", desk.Quote(word))
		}
		if err := checkPath(path); err != nil {
			return nil, desk.Usagef("set %s: %w", desk.Quote(word), err)
		}
		for _, other := range paths {
			if within(path, other) || within(other, path) {
				return nil, desk.Usagef("set %s: an earlier argument sets %s; give one of them", desk.Quote(word), desk.Quote(other))
			}
		}
		paths = append(paths, path)
		var err error
		if gjson.Valid(value) {
			text, err = sjson.SetRawBytes(text, literal(path), []byte(value))
		} else {
			text, err = sjson.SetBytes(text, literal(path), value)
		}
		if err != nil {
			return nil, desk.Usagef("set %s: %w", desk.Quote(word), err)
		}
	}
	return text, nil
}

// within reports whether a path is another one or below it.
func within(path, other string) bool { return path == other || strings.HasPrefix(path, other+".") }

// literal is a twin's path in the words of sjson: each key is taken as it is, and
// a number is a key, too.
func literal(path string) string {
	keys := strings.Split(path, ".")
	for i, key := range keys {
		keys[i] = ":" + gjson.Escape(key)
	}
	return strings.Join(keys, ".")
}

// errNoProperty says that a twin has nothing at a path.
var errNoProperty = errors.New("no such property")

// member is a part of a document by a twin's path, key by key: none of gjson's
// syntax is in force, and no path leads into an array.
func member(document []byte, path string) (gjson.Result, error) {
	at := gjson.ParseBytes(document)
	for key := range strings.SplitSeq(path, ".") {
		if !at.IsObject() {
			return at, errNoProperty
		}
		var found gjson.Result
		if key != "" {
			found = at.Get(gjson.Escape(key))
		} else { // which gjson has no path for
			at.ForEach(func(k, v gjson.Result) bool {
				if k.String() == "" {
					found = v
				}
				return !found.Exists()
			})
		}
		if !found.Exists() {
			return found, errNoProperty
		}
		at = found
	}
	return at, nil
}

// pick is what get prints of a twin: the member at the path, or where the path
// begins with neither half, the property in both halves.
func pick(document []byte, path string) ([]byte, error) {
	half, _, _ := strings.Cut(path, ".")
	if half == "desired" || half == "reported" {
		found, err := member(document, path)
		return []byte(found.Raw), err
	}
	both := []byte("{}")
	for _, half := range []string{"desired", "reported"} {
		found, err := member(document, half+"."+path)
		if err != nil {
			continue
		}
		if both, err = sjson.SetRawBytes(both, half, []byte(found.Raw)); err != nil {
			return nil, err
		}
	}
	if len(both) == len("{}") {
		return nil, errNoProperty
	}
	return both, nil
}

// Package files is how the programs under examples name files after identities,
// and write those that hold keys.
package files

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// longestPlain is how long an id may be that names its file as it is.
	longestPlain = 64
	// longestHint is how much of any other id a file's name shows.
	longestHint = 40
)

// Name returns the name of a file for an id: the id itself where every file system
// takes it for what it is, and else a part of it and its hash. Names of two ids
// differ, on file systems without upper case too, and have 74 bytes at most.
func Name(id string) string {
	if isPlain(id) {
		return id
	}
	return Unique(id, id)
}

// Unique returns the name of a file for what the text of an identity says whole: a
// hint for people, and the text's hash.
func Unique(hint, identity string) string {
	sum := sha256.Sum256([]byte(identity))
	readable := strings.Map(func(r rune) rune {
		switch {
		case isPlainChar(r):
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, hint)
	// No plain name holds a '~', and so none is like this one.
	return readable[:min(len(readable), longestHint)] + "~" + hex.EncodeToString(sum[:16])
}

func isPlainChar(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
}

// isPlain reports whether an id is a file's name everywhere. Windows has devices
// of such names, whatever follows a dot.
func isPlain(id string) bool {
	if id == "" || len(id) > longestPlain || id[0] == '.' || id[0] == '-' || strings.HasSuffix(id, ".") ||
		strings.ContainsFunc(id, func(r rune) bool { return !isPlainChar(r) }) {
		return false
	}
	stem, _, _ := strings.Cut(id, ".")
	switch strings.TrimRight(stem, "0123456789") {
	case "con", "prn", "aux", "nul", "com", "lpt", "conin", "conout":
		return false
	}
	return true
}

// Write writes a file as a whole or not at all, with that mode. What had the name
// before is replaced and never written into: neither a file that others may read,
// nor what a link leads to.
func Write(name string, text []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // of mode 0600, and nobody else's
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync() // or a power cut leaves the new name and no text
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

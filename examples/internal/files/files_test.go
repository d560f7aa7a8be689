package files_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/files"
)

// TestName: an id that is a file's name everywhere stays, and no two ids share one.
func TestName(t *testing.T) {
	for _, id := range []string{"dev1", "device-001", "a.b_c", strings.Repeat("x", 64)} {
		if got := files.Name(id); got != id {
			t.Errorf("%q: got %q, want the id", id, got)
		}
	}
	odd := []string{
		"Dev1", "DEV1", "dev1/m", "dev1_m", "dev1%2Fm", "dev1/M", "a;b", "a b", ".", "..", "...", ".a", "-a", "a.", "con", "nul.txt", "com1", "lpt9.x",
		strings.Repeat("#", 128), strings.Repeat("x", 65), strings.Repeat("x", 128), strings.Repeat("#", 128) + "/" + strings.Repeat("#", 128),
		"../../etc/passwd", "", "\x00", "dev1~00", "ü", "$twins",
	}
	seen := map[string]string{"dev1": "dev1", "con": "con", "nul.txt": "nul", "dev1_m": ""}
	for _, id := range odd {
		name := files.Name(id)
		if len(name) > 74 || name != strings.ToLower(name) || name != filepath.Base(name) || strings.ContainsAny(name, "/\\:*?\"<>| \x00") || name[0] == '.' && !strings.Contains(name, "~") {
			t.Errorf("%q is named %q", id, name)
		}
		if first, dup := seen[name]; dup && first != "" && id != "dev1_m" {
			t.Errorf("%q is named %q, as %q", id, name, first)
		}
		seen[name] = id
	}
	if files.Unique("dev1", "hub1/dev1") == files.Unique("dev1", "hub2/dev1") {
		t.Error("one name for two identities")
	}
}

// FuzzName: a name is bounded, one element of a path, and of one id.
func FuzzName(f *testing.F) {
	f.Add("dev1", "Dev1")
	f.Add("a/b", "a_b")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := files.Name(a), files.Name(b)
		if len(x) > 74 || strings.ContainsAny(x, "/\\\x00") || x == "." || x == ".." {
			t.Fatalf("%q is named %q", a, x)
		}
		if a != b && strings.EqualFold(x, y) {
			t.Fatalf("%q and %q are named %q and %q", a, b, x, y)
		}
	})
}

// TestWrite: what was there before is replaced, and not written into.
func TestWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links are Unix's")
	}
	dir := t.TempDir()
	name, elsewhere := filepath.Join(dir, "key.pem"), filepath.Join(dir, "elsewhere")
	check := func(what string, mode fs.FileMode) {
		t.Helper()
		if err := files.Write(name, []byte("secret"), mode); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		info, err := os.Lstat(name)
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: its mode is %v, %v; want %v", what, info.Mode(), err, mode)
		}
		if text, err := os.ReadFile(name); err != nil || string(text) != "secret" {
			t.Errorf("%s: it holds %q, %v", what, text, err)
		}
	}
	check("nothing before", 0o600)
	open, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := os.WriteFile(name, []byte("before"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	check("a file that others may read", 0o600)
	if before := make([]byte, 6); true {
		if _, err := open.ReadAt(before, 0); err != nil || string(before) != "before" {
			t.Errorf("who had the file open reads %q, %v", before, err)
		}
	}
	for what, target := range map[string]string{"a link": elsewhere, "a link to nothing": filepath.Join(dir, "nothing"), "a link to itself": name} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		check(what, 0o644)
		if _, err := os.Lstat(elsewhere); err == nil {
			t.Errorf("%s: it was followed", what)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := files.Write(name, []byte("secret"), 0o600); err == nil {
		t.Error("a folder of that name was replaced")
	}
	if err := files.Write(filepath.Join(dir, "none", "x"), nil, 0o600); err == nil {
		t.Error("a file in no folder was written")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v; want the folder alone", left, err)
	}
}

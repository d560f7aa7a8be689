package desk_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // of the error, or empty for none
	}{
		{nil, ""},
		{[]string{"-b", "-n", "7", "-t", "5s", "-f", "1.5", "-s", "-x", "word", "-n", "no"}, ""},
		{[]string{"--b=false", "--", "-n", "no"}, ""},
		{[]string{"-n", "7.5"}, `-n "7.5": want a whole number, such as 20`},
		{[]string{"-t", "5"}, `-t "5": missing unit, such as in 5s`},
		{[]string{"-t", ""}, `-t "": want a time, such as 30s or 2m`},
		{[]string{"-f", "x"}, `-f "x": want a number, such as 21.5`},
		{[]string{"-b=x"}, `-b "x": want true or false`},
		{[]string{"-own", "x"}, `-own "x": no`},
		{[]string{"-b", "-n"}, `-n: missing value`},
		{[]string{"-bn", "1"}, `unknown flag "-bn"`},
		{[]string{"-b", "--unknown=1", "-n", "1"}, `unknown flag "--unknown"`},
		{[]string{"-=1"}, `unknown flag "-=1"`},
		{[]string{"---b"}, `unknown flag "---b"`},
		{[]string{"-b", "---n", "-b"}, `unknown flag "---n"`},
		{[]string{"-h1"}, `unknown flag "-h1"`},
	} {
		f := flag.NewFlagSet("test", flag.ContinueOnError)
		n, b, d := f.Int("n", 1, ""), f.Bool("b", false, ""), f.Duration("t", time.Second, "")
		f.Float64("f", 1, "")
		f.String("s", "", "")
		f.Func("own", "", func(string) error { return errors.New("no") })
		err := desk.Parse(f, tt.args)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || err.Error() != tt.want || !errors.Is(err, desk.ErrUsage)):
			t.Errorf("%q: got %v, want %s", tt.args, err, tt.want)
		case len(tt.args) > 5 && (*n != 7 || !*b || *d != 5*time.Second || f.Arg(0) != "word"):
			t.Errorf("%q: got %d, %t, %v and the words %q", tt.args, *n, *b, *d, f.Args())
		}
	}
	f := flag.NewFlagSet("test", flag.ContinueOnError)
	f.Int("n", 7, "so `many`")
	if err := desk.Parse(f, []string{"-n", "7", "-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v, want flag.ErrHelp", err)
	}
	var help strings.Builder
	desk.Help(&help, "about\n", f)
	if got, want := help.String(), "about\n  -n many\n    \tso many (default 7)\n"; got != want {
		t.Errorf("got the help %q, want %q", got, want)
	}
	if desk.Given(f, "n") != true || desk.Given(f, "m") {
		t.Error("-n was given, and no other")
	}
}

func TestQuote(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "no", "such.pem")
	for _, shown := range []string{"", "dev1", "a b", "/nope/x.json", "localhost:8883", name, "@" + name, "file:" + name, `{"fan":{"rpm":1}}`, "myhub.azure-devices.net", "/run/secrets/ca.pem", "-password"} {
		if got := desk.Quote(shown); strings.Trim(got, `"`) != strings.ReplaceAll(shown, `"`, `\"`) {
			t.Errorf("%q: got %s, want it shown", shown, got)
		}
	}
	if got := desk.Quote(strings.Repeat("é ", 100)); len(got) > 100 || !strings.HasSuffix(got, `"…`) || strings.Contains(got, `\x`) {
		t.Errorf("a long text: got %s, want its beginning", got)
	}
	for _, secret := range []string{"http://user:pw@proxy", "SharedAccessSignature sr=x&sig=abc", "HostName=h;DeviceId=d;SharedAccessKey=a"} {
		if got := desk.Quote(secret); strings.Contains(got, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}

// FuzzQuote holds that no key is repeated, wherever it is.
func FuzzQuote(f *testing.F) {
	for i, around := range []string{"%", "SharedAccessKey=%", "HostName=h;DeviceId=d;SharedAccesKey=%", "http://u:%@h", `{"k":"%"}`, "/etc/%", "/etc/x/%.pem", "a%", "%b", "-%", "@%", "file:%", "%%"} {
		f.Add([]byte{byte(i)}, around)
	}
	f.Fuzz(func(t *testing.T, seed []byte, around string) {
		sum := sha256.Sum256(seed)
		key := base64.StdEncoding.EncodeToString(sum[:])
		value := strings.ReplaceAll(around, "%", key)
		if got := desk.Quote(value); strings.Contains(value, key) && strings.Contains(got, key) {
			t.Errorf("%q: got %s", value, got)
		}
	})
}

func TestIdentity(t *testing.T) {
	const host, rest = "HostName=hub.example.org;", "DeviceId=d;SharedAccessKey=c2VjcmV0LXNlY3JldA=="
	for text, want := range map[string]string{
		host + rest: "", "HostName=localhost;" + rest: "", "HostName=hub;GatewayHostName=edge;" + rest: "",
		"HostName=hub;" + rest:                  "X: HostName is hub: want",
		"":                                      "X: auth: connection string",
		host + "DeviceId=d;SharedAccesKey=c2Vj": "unknown names: SharedAccesKey",
		host + "DeviceId=d;lbXNlY3JldGtleQ==":   "X: ",
		host + "DeviceID=d;Shared Access Key=YQ=": "unknown names: Shared Access Key",
	} {
		_, _, err := desk.Identity(text, "X")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || desk.ExitStatus(err) != desk.ExitUsage) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "lbXN") {
			t.Errorf("%q: the error holds a piece of a key: %v", text, err)
		}
	}
}

func TestExplain(t *testing.T) {
	var b strings.Builder
	desk.Explain(&b, "tool", nil)
	desk.Explain(&b, "tool", errors.Join(errors.New("a"), errors.New("b")))
	desk.Explain(&b, "tool", desk.Usagef("-x: %w", os.ErrNotExist))
	if got, want := b.String(), "tool: a; b\ntool: -x: file does not exist (see tool -h)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for err, want := range map[error]int{
		nil: desk.ExitDone, os.ErrExist: desk.ExitFailed, desk.Usagef("x"): desk.ExitUsage, auth.ErrInvalid: desk.ExitUsage,
	} {
		if got := desk.ExitStatus(err); got != want {
			t.Errorf("%v: got the status %d, want %d", err, got, want)
		}
	}
}

// TestReadFile holds that no file is read without a bound, and that errors do not
// name it.
func TestReadFile(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "long")
	if err := os.WriteFile(name, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := desk.ReadFile(name); err != nil || len(text) != 4<<20 {
		t.Errorf("the longest file: got %d bytes, %v", len(text), err)
	}
	if err := os.WriteFile(name, make([]byte, 4<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{name, folder, filepath.Join(folder, "none")} {
		if _, err := desk.ReadFile(name); err == nil || strings.Contains(err.Error(), folder) {
			t.Errorf("%s: got %v, want an error without the name", name, err)
		}
	}
}

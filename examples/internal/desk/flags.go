package desk

import (
	"errors"
	"flag"
	"io"
	"strconv"
	"strings"
	"time"
)

// Parse reads a program's flags. Its errors are flag.ErrHelp, or match ErrUsage
// and name the flag and its value. It prints nothing.
func Parse(f *flag.FlagSet, args []string) error {
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	var refused error
	f.VisitAll(func(one *flag.Flag) {
		one.Value = &watched{one.Value, one.Name, &refused}
	})
	err := f.Parse(args)
	f.VisitAll(func(one *flag.Flag) {
		if w, ok := one.Value.(*watched); ok {
			one.Value = w.Value // which PrintDefaults knows
		}
	})
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return err
	case refused != nil:
		return refused
	}
	if strings.HasPrefix(err.Error(), "bad flag syntax") { // it stopped before the word, else after
		return Usagef("unknown flag %s", Quote(f.Arg(0)))
	}
	word := args[len(args)-f.NArg()-1]
	name, _, _ := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
	if f.Lookup(name) != nil {
		return Usagef("-%s: missing value", name)
	}
	word, _, _ = strings.Cut(word, "=") // the flag alone
	return Usagef("unknown flag %s", Quote(word))
}

// Help prints what a program is, and its flags as package flag describes them.
func Help(w io.Writer, about string, f *flag.FlagSet) {
	_, _ = io.WriteString(w, about)
	f.SetOutput(w)
	f.PrintDefaults()
}

// NoWords refuses what follows the flags.
func NoWords(f *flag.FlagSet) error {
	if f.NArg() == 0 {
		return nil
	}
	return Usagef("unexpected %s after the flags", Quote(f.Arg(0)))
}

// Given reports whether a flag is on the command line.
func Given(f *flag.FlagSet, name string) (given bool) {
	f.Visit(func(one *flag.Flag) { given = given || one.Name == name })
	return given
}

// watched is a flag's value that keeps why it refused a text: package flag
// repeats the text in its own error, whatever it is.
type watched struct {
	flag.Value
	name    string
	refused *error
}

// IsBoolFlag lets a switch stay one.
func (w *watched) IsBoolFlag() bool {
	b, ok := w.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// Set implements flag.Value.
func (w *watched) Set(text string) error {
	err := w.Value.Set(text)
	if err != nil {
		*w.refused = Usagef("-%s %s: %s", w.name, Quote(text), w.why(text, err))
	}
	return err
}

// why says what kind of value the flag takes.
func (w *watched) why(text string, err error) string {
	getter, ok := w.Value.(flag.Getter)
	if !ok {
		return err.Error() // of the program's own func
	}
	switch getter.Get().(type) {
	case bool:
		return "want true or false"
	case time.Duration:
		return notTime(text)
	case float64:
		return "want a number, such as 21.5"
	case int, int64, uint, uint64:
		return "want a whole number, such as 20"
	}
	return "not a value of this flag"
}

func notTime(text string) string {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "missing unit, such as in " + text + "s"
	}
	return "want a time, such as 30s or 2m"
}

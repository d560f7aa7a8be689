package desk

import (
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
)

// Words reads the command line of a program that takes -ca, -endpoint and a fixed
// number of words, whose names want has. For -h it prints the usage.
func Words(program, about string, args []string, stderr io.Writer, want ...string) (*Place, []string, error) {
	p := &Place{}
	f := flag.NewFlagSet(program, flag.ContinueOnError)
	p.Flags(f)
	switch err := Parse(f, args); {
	case errors.Is(err, flag.ErrHelp):
		Help(stderr, about, f)
		return nil, nil, err
	case err != nil:
		return nil, nil, err
	case f.NArg() < len(want):
		return nil, nil, Usagef("missing %s", strings.Join(want[f.NArg():], " and "))
	case f.NArg() > len(want):
		return nil, nil, Usagef("unexpected %s after %s", Quote(f.Arg(len(want))), strings.Join(want, " "))
	}
	return p, f.Args(), nil
}

// NoArguments runs a program that takes none. For -h it prints the usage.
func NoArguments(program, usage string, args []string, c Console, run func() error) int {
	return FlagsOnly(flag.NewFlagSet(program, flag.ContinueOnError), usage, args, c, run)
}

// FlagsOnly runs a program that takes these flags, and no words after them. For -h
// it prints what the program is, and the flags.
func FlagsOnly(f *flag.FlagSet, about string, args []string, c Console, run func() error) int {
	err := Parse(f, args)
	if errors.Is(err, flag.ErrHelp) {
		Help(c.Stderr, about, f)
		return ExitDone
	}
	if err == nil {
		err = NoWords(f)
	}
	if err == nil {
		err = run()
	}
	Explain(c.Stderr, f.Name(), err)
	return ExitStatus(err)
}

// CheckFiles reads a credential's files once, so that what is wrong with them is
// wrong usage. The error names the file that cannot be read, or all of them.
func CheckFiles(cred auth.Credential, names ...string) error {
	_, err := auth.CertificateOf(context.Background(), cred)
	if err == nil {
		return nil
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		return Usagef("%s: %w", Quote(file.Path), file.Err)
	}
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, Quote(name))
	}
	return Usagef("%s: %w", strings.Join(quoted, " and "), err)
}

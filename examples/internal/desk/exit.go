package desk

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
)

// The exit statuses. Every program has the first three; twin and backend have
// them all.
const (
	ExitDone         = 0
	ExitFailed       = 1
	ExitUsage        = 2
	ExitUnauthorized = 3
	ExitRefused      = 4
	ExitTimeout      = 5
)

// ExitStatus returns ExitDone, ExitUsage or ExitFailed for an error.
func ExitStatus(err error) int {
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, ErrUsage), errors.Is(err, auth.ErrInvalid):
		return ExitUsage
	}
	return ExitFailed
}

// Explain prints an error as one line, and for a wrong command line where to read
// about it. It prints nothing for nil.
func Explain(stderr io.Writer, program string, err error) {
	if err == nil {
		return
	}
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if errors.Is(err, ErrUsage) {
		text += " (see " + program + " -h)"
	}
	fmt.Fprintf(stderr, "%s: %s\n", program, text)
}

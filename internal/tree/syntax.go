package tree

import "fmt"

// A SyntaxError says where JSON text is wrong, and how.
type SyntaxError struct {
	// Offset counts the bytes before the wrong one.
	Offset int
	// Reason quotes nothing from the text.
	Reason string
}

// Error returns offset and reason.
func (e *SyntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

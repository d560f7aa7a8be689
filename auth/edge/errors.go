package edge

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// A StatusError is the daemon's own word on a request that it did not fulfil.
type StatusError struct {
	// Status is HTTP's: 403, 404, 500, …
	Status int
	// Message is the daemon's text, up to 512 bytes; empty when it gave none.
	Message string
}

// maxMessage bounds what the daemon's text may add to an error and so to a log.
const maxMessage = 512

// newStatusError reads the daemon's error body. Only its message is kept:
// whatever else answers there may say anything.
func newStatusError(status int, body []byte) *StatusError {
	var b struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &b) != nil {
		b.Message = ""
	}
	if len(b.Message) > maxMessage {
		end := maxMessage
		for !utf8.RuneStart(b.Message[end]) {
			end--
		}
		b.Message = b.Message[:end]
	}
	return &StatusError{Status: status, Message: b.Message}
}

// Error tells the status, the daemon's text, and what to look at.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("it answered %d", e.Status)
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	switch {
	case e.Status >= 300 && e.Status <= 399:
		s += " (a redirect, which is not followed: is that IoT Edge?)"
	case e.Status == 400:
		s += " (does it know this version of the workload API? see " + varAPIVersion + ")"
	case e.Status == 401, e.Status == 403:
		s += " (it knows a module by its processes: only those in the module's own container are let in)"
	case e.Status == 404:
		s += " (does it know the module by this id? see " + varModule + " and " + varGeneration + ")"
	}
	return s
}

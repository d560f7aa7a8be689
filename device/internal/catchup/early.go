package catchup

import "github.com/devicetwin/devicetwin-go/internal/tree"

// This file keeps what is reported before there is a base: patches in the
// order they came, to be laid over what the first GET shows. Those that nobody
// waits for are composed into one, so they stay within the document's bounds,
// however long the first GET takes.

// appendEarly adds a patch.
func appendEarly(early []wish, w wish) []wish {
	n := len(early)
	if n == 0 || w.ticket != 0 || early[n-1].ticket != 0 {
		return append(early, w)
	}
	early[n-1].names = tree.Compose(early[n-1].names, w.names)
	return early
}

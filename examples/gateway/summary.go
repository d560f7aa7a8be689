package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A standing is how a device is.
type standing struct {
	name   string
	online bool
	cause  error // why it is not; nil while it is, or connects for the first time
}

// tell says how the devices are, if that is another thing than before.
func (g *gateway) tell() {
	var all []standing
	for _, u := range g.byName() {
		if !u.leaving {
			all = append(all, u.stands())
		}
	}
	text, news := summary(all)
	if news != g.told {
		g.told = news
		g.out.Print(text)
	}
}

// summary says in a few lines how all are, and what of that is news: the words of
// an error, where they alone are others, are none.
func summary(all []standing) (text, news string) {
	online, connecting := 0, 0
	alike := map[error][]standing{}
	var kinds []error // in the order of the first device
	for _, s := range all {
		switch kind := kindOf(s.cause); {
		case s.online:
			online++
		case kind == nil:
			connecting++
		default:
			if alike[kind] == nil {
				kinds = append(kinds, kind)
			}
			alike[kind] = append(alike[kind], s)
		}
	}
	var t, n strings.Builder
	fmt.Fprintf(&t, "%d of %d online", online, len(all))
	if connecting > 0 {
		fmt.Fprintf(&t, ", %d connecting", connecting)
	}
	n.WriteString(t.String())
	for _, kind := range kinds {
		of := alike[kind]
		who := of[0].name
		if len(of) > 1 {
			who += fmt.Sprintf(" and %d more", len(of)-1)
		}
		fmt.Fprintf(&t, "\n  %s: %v", who, of[0].cause)
		fmt.Fprintf(&n, "\n  %s: %v", who, kind)
	}
	return t.String(), n.String()
}

// errOther is the kind of every failure that has no other.
var errOther = errors.New("another failure")

// kindOf sorts failures, so that what befalls all devices is told once.
func kindOf(err error) error {
	if err == nil {
		return nil
	}
	for _, kind := range []error{
		auth.ErrInvalid, auth.ErrClockImplausible, auth.ErrTokenExpired,
		transport.ErrUnauthorized, transport.ErrUntrusted, transport.ErrThrottled, transport.ErrQuota,
		transport.ErrLost, transport.ErrStalled, transport.ErrUnavailable, transport.ErrProtocol,
	} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return errOther
}

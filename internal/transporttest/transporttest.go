// Package transporttest is the conformance suite of transport.Dialer and
// transport.Conn. Every sentence of that contract is a case here; each
// transport runs all of them in its own tests, against a hub, in virtual time
// and over real sockets.
//
// It does not import testing, like everything that is no test.
package transporttest

import (
	"context"
	"net"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// TB is what a case needs of a test; *testing.T has it.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
	Context() context.Context
}

// A Hub is what a case has the far end do. A *hubtest.Hub does all of it; an id
// is a device's.
type Hub interface {
	// SetDesired merges a patch into the desired properties and returns the
	// version after it.
	SetDesired(id, patchJSON string) (int64, error)
	// Cut ends the device's line without a word.
	Cut(id string) error
	// Stall makes the device's line half-open: the hub neither reads nor
	// writes, also at its next login, and closes nothing.
	Stall(id string, on bool) error
}

// A Peer is a transport with a hub at its far end. Each case gets a new one.
type Peer interface {
	Hub
	// Dialer is the transport under test. Its streams lead to the hub; wrap
	// gets each of them before the transport does, nil for as they are.
	Dialer(wrap Wrap) transport.Dialer
	// Login is a login that the hub accepts, as the device of that id; it
	// registers the device when it hears of it for the first time.
	Login(id string, keepAlive time.Duration) (transport.Login, error)
}

// Wrap puts something between a transport and its stream, or fails in place of
// the stream.
type Wrap func(net.Conn) (net.Conn, error)

// A Case is one rule of the contract.
type Case struct {
	// Name names the case among all.
	Name string
	// Rule is the sentence of the contract that the case checks.
	Rule string
	// Virtual says that the case takes too long for real time: it runs in a
	// testing/synctest bubble only, the peer being made inside.
	Virtual bool
	// Run checks the rule.
	Run func(t TB, p Peer)
}

// Cases returns all cases.
func Cases() []Case {
	var all []Case
	for _, room := range [][]Case{dialCases(), frameCases(), sendCases(), receiveCases(), silenceCases(), closeCases()} {
		all = append(all, room...)
	}
	return all
}

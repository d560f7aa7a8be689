package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A room is a folder and what its files, tests aside, may import. The standard
// library is open to every room, but for what the room bars.
type room struct {
	folder string   // "x", or "x/..." for all that is below x and has no row of its own
	own    []string // packages of this module; "x/..." is x and all below it
	others []string // packages of other modules
	barred []string // packages of the standard library; "x/..." as above
}

// rooms is the design: every arrow that there is. A new package gets a row
// here first; a new arrow is a change of the design, and is argued as one.
func rooms() []room {
	const (
		codec = "github.com/eclipse/paho.mqtt.golang/packets"
		amqp  = "github.com/Azure/go-amqp"
	)
	return []room{
		// What a twin is: pure values, so no sockets, files, locks or logs.
		{folder: "twin", own: []string{"internal/tree", "internal/errs", "internal/errtext"}, barred: []string{"os/...", "net/...", "sync/...", "log/..."}},
		// Its JSON, which the machines of device work on, too. The one room of a
		// device that knows gjson.
		{folder: "internal/tree", others: []string{"github.com/tidwall/gjson"}, barred: []string{"os/...", "net/...", "sync/...", "log/..."}},
		{folder: "internal/tree/treetest", own: []string{"internal/tree"}},
		// The back end's half. It runs on servers, so it may have net/http.
		{folder: "twin/registry", own: []string{"twin", "auth", "transport", "internal/hubproto", "internal/connstring", "internal/own", "internal/visible"}},
		// Finding errors, in fewer bytes than the standard library's way: a leaf.
		{folder: "internal/errs", barred: []string{"os/...", "net/...", "sync/...", "log/...", "reflect"}},
		// Who the device is; it has never heard of a network.
		{folder: "auth", own: []string{"internal/connstring", "internal/errtext", "internal/own", "internal/visible"}, barred: []string{"net", "net/http/..."}},
		// What every room reads of texts that people and files bring: leaves.
		{folder: "internal/connstring", own: []string{"internal/visible"}, barred: []string{"net/...", "os/..."}},
		{folder: "internal/visible", barred: []string{"net/...", "os/..."}},
		// What packages of this module share and users do not call, and how errors are worded.
		{folder: "internal/own", barred: []string{"net/...", "os/..."}},
		{folder: "internal/errtext", barred: []string{"net/...", "os/..."}},
		// What opens a passphrase's files, apart from auth: firmware that needs
		// neither links neither of their libraries.
		{folder: "auth/pkcs8", own: []string{"auth", "internal/errtext", "internal/own", "internal/pbe"}, others: []string{"golang.org/x/crypto/scrypt"}, barred: []string{"net/..."}},
		{folder: "auth/pfx", own: []string{"auth", "internal/errtext", "internal/own", "internal/pbe"}, others: []string{"software.sslmate.com/src/go-pkcs12"}, barred: []string{"net/..."}},
		// The identity of a module in IoT Edge: the one room that brings net/http.
		{folder: "auth/edge", own: []string{"auth", "transport", "internal/errtext", "internal/own"}},
		// How one session is spoken.
		{folder: "transport", own: []string{"auth", "internal/boottime", "internal/visible", "internal/errs", "internal/errtext"}},
		{folder: "transport/amqp", own: []string{"transport", "auth", "internal/..."}, others: []string{amqp}},
		{folder: "transport/...", own: []string{"transport", "auth", "internal/..."}, others: []string{codec}},
		// How streams get through a network; the packets are not their concern.
		{folder: "transport/ws", own: []string{"transport", "internal/errtext", "internal/hubproto"}, others: []string{"github.com/gorilla/websocket"}},
		// A program through a proxy stays small.
		{folder: "transport/proxy", own: []string{"transport", "internal/errtext", "internal/hubproto", "internal/visible"}, others: []string{"golang.org/x/net/proxy"}, barred: []string{"net/http/..."}},
		// The life of a client; it names no protocol, so that a program links
		// only the transport that it imports.
		{folder: "device", own: []string{"transport", "twin", "auth", "device/internal/...", "internal/boottime", "internal/tree", "internal/errs", "internal/errtext", "internal/own"}},
		// What brings a twin back in step: pure, as twin is.
		{folder: "device/internal/catchup", own: []string{"twin", "internal/tree"}, barred: []string{"os/...", "net/...", "sync/...", "log/..."}},
		// What carries messages: pure, as that is.
		{folder: "device/internal/courier", own: []string{"transport"}, barred: []string{"os/...", "net/...", "sync/...", "log/..."}},
		// What a client does with its store: an interface alone.
		{folder: "device/internal/keep", own: []string{"auth"}, barred: []string{"os/...", "net/..."}},
		// State on flash; it keeps bytes, and knows nothing of what they mean.
		{folder: "device/internal/flash", barred: []string{"os/...", "net/...", "sync/...", "log/..."}},
		{folder: "device/store", own: []string{"auth", "device/internal/flash", "device/internal/keep", "internal/errtext", "internal/own"}, barred: []string{"net/..."}},
		// The hub in the box is used by device's own tests: never the reverse. It
		// edits single members of messages with sjson.
		{folder: "device/hubtest", own: []string{"twin", "auth", "transport", "internal/...", "device/hubtest/internal/..."}, others: []string{codec, "github.com/gorilla/websocket", "github.com/tidwall/sjson"}},
		// What that hub knows of twins and queries: pure, and no code of what it judges.
		{folder: "device/hubtest/internal/...", own: []string{"device/hubtest/internal/..."}, barred: []string{"os/...", "net/...", "sync/...", "log/..."}},
		// The server half of AMQP; of go-amqp it takes the message sections.
		{folder: "internal/amqpwire", others: []string{amqp}},
		// The conformance suite's far end: what is inside knows no hub, but for this.
		{folder: "internal/transporttest/hubpeer", own: []string{"auth", "transport", "device/hubtest", "internal/transporttest"}},
		{folder: "internal/...", own: []string{"twin", "auth", "transport", "internal/..."}, others: []string{codec}},
		// The programs with keys in hardware are modules of their own; here is what
		// they share, and what their tests do.
		{folder: "examples/hsm/internal/...", own: []string{"device/...", "transport/...", "auth", "twin", "examples/internal/desk", "examples/hsm/internal/..."}},
		// What the programs share around the library: command lines, and the way to a hub.
		{folder: "examples/internal/desk/proxyflag", own: []string{"transport/proxy", "examples/internal/desk"}},
		{folder: "examples/internal/...", own: []string{"transport", "auth", "examples/internal/..."}},
		// How two of the programs write files. It knows nothing of this module.
		{folder: "examples/internal/files"},
		// The tool for the shell, whose paths and patches gjson and sjson take apart.
		{folder: "examples/twin", own: []string{"device", "transport/...", "auth/...", "twin", "examples/internal/..."}, others: []string{"github.com/tidwall/gjson", "github.com/tidwall/sjson"}},
		// The back end's program takes single members of a query's rows.
		{folder: "examples/backend", own: []string{"device/...", "transport/...", "auth/...", "twin/...", "examples/internal/..."}, others: []string{"github.com/tidwall/gjson"}},
		// What users read first shows only what users can import, but for that.
		{folder: "examples/...", own: []string{"device/...", "transport/...", "auth/...", "twin/...", "examples/internal/..."}},
	}
}

// roomOf finds the row of a folder: its own, or else the one of the tree.
func roomOf(all []room, folder string) (room, bool) {
	for _, r := range all {
		if r.folder == folder {
			return r, true
		}
	}
	for _, r := range all {
		if tree, ok := strings.CutSuffix(r.folder, "/..."); ok && folder != tree && isUnder(folder, tree) {
			return r, true
		}
	}
	return room{}, false
}

// matches reports whether a package is one of the patterns "x" and "x/...".
func matches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		tree, ok := strings.CutSuffix(p, "/...")
		return p == pkg || ok && isUnder(pkg, tree)
	})
}

// isStandard goes by the go command's own rule: no dot in the first element.
func isStandard(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(first, ".")
}

// wrongArrows finds imports that no row of the table allows.
func wrongArrows(table []room, srcs []source) (bad []string) {
	unknown := map[string]bool{}
	for _, s := range srcs {
		if s.isTest() {
			continue
		}
		r, ok := roomOf(table, s.folder())
		if !ok {
			if !unknown[s.folder()] {
				bad = append(bad, fmt.Sprintf("%s: folder %s has no row in rooms(); add one that says what it may import", s.path, s.folder()))
			}
			unknown[s.folder()] = true
			continue
		}
		for _, spec := range s.file.Imports {
			if why := r.refuses(importPath(spec)); why != "" {
				bad = append(bad, s.at(spec)+": "+why)
			}
		}
	}
	return bad
}

// refuses says why a room may not import a package; empty when it may.
func (r room) refuses(pkg string) string {
	local, isOwn := strings.CutPrefix(pkg, modulePath+"/")
	switch {
	case isOwn && !matches(r.own, local):
		return fmt.Sprintf("%s may not import %s, only %s; move the code to a room that may, or pass in what it needs",
			r.folder, local, list(r.own))
	case isOwn:
		return ""
	case isStandard(pkg):
		if !matches(r.barred, pkg) {
			return ""
		}
		return fmt.Sprintf("%s may not import %s; leave that to package device, and take plain values", r.folder, pkg)
	case !slices.Contains(r.others, pkg):
		return fmt.Sprintf("%s may not import %s, only %s and the standard library; a dependency is a change of the design",
			r.folder, pkg, list(r.others))
	}
	return ""
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing of that kind"
	}
	return strings.Join(names, ", ")
}

// reachesTesting finds packages whose users would link package testing.
func reachesTesting(g graph) (bad []string) {
	for _, p := range g.own() {
		way := g.way(p, func(dep string) bool { return isUnder(dep, "testing") })
		if way != nil {
			bad = append(bad, fmt.Sprintf("%s; take a small interface of your own (Helper, Fatalf, …) in place of testing.TB", arrows(way)))
		}
	}
	return bad
}

// heavyPrograms finds what the smallest device programs, one for each protocol,
// must not link.
func heavyPrograms(g graph) (bad []string) {
	own := func(pkg string) string { return path.Join(modulePath, pkg) }
	heavy := []string{
		"github.com/gorilla/websocket", "golang.org/x/net", "github.com/tidwall/sjson", "testing", "net/http",
		own("device/hubtest"), own("twin/registry"),
	}
	for _, p := range []struct {
		program string
		other   []string // the other protocol
	}{
		{own("examples/sas"), []string{"github.com/Azure/go-amqp", own("transport/amqp")}},
		{own("examples/amqp"), []string{"github.com/eclipse/paho.mqtt.golang", own("transport/mqtt")}},
	} {
		if _, ok := g[p.program]; !ok {
			bad = append(bad, fmt.Sprintf("there is no %s; it is a program by which we see what a device links: write it", arrows([]string{p.program})))
			continue
		}
		for _, h := range slices.Concat(heavy, p.other) {
			if way := g.way(p.program, func(dep string) bool { return isUnder(dep, h) }); way != nil {
				bad = append(bad, arrows(way)+"; cut one of these arrows: a device pays for it in flash")
			}
		}
	}
	return bad
}

func arrows(way []string) string {
	return strings.ReplaceAll(strings.Join(way, " → "), modulePath+"/", "")
}

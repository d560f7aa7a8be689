package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestRulesCatch shows every rule about sources a small offence, at which it
// must object once and at the right place, and the innocent form of the same.
func TestRulesCatch(t *testing.T) {
	arrow := func(srcs []source) []string { return wrongArrows(rooms(), srcs) }
	const own = modulePath + "/"
	imports := func(pkg string) string { return "package p\n\nimport _ \"" + pkg + "\"\n" }
	lines := func(n int) string { return "// Package p.\npackage p\n" + strings.Repeat("\n", n-2) }

	tests := []struct {
		name string
		rule func([]source) []string
		file string
		text string
		want string // the beginning of the one objection; empty for none
	}{
		{"twin imports a file system", arrow, "twin/x.go", imports("os"), "twin/x.go:3: twin may not import os"},
		{"twin imports part of the network", arrow, "twin/x.go", imports("net/url"), "twin/x.go:3: twin may not import net/url"},
		{"twin imports a lock", arrow, "twin/x.go", imports("sync/atomic"), "twin/x.go:3: twin may not import sync/atomic"},
		{"twin imports a log", arrow, "twin/x.go", imports("log/slog"), "twin/x.go:3: twin may not import log/slog"},
		{"twin imports context", arrow, "twin/x.go", imports("context"), ""},
		{"a test of twin imports files", arrow, "twin/x_test.go", imports("os"), ""},
		{"twin imports another module", arrow, "twin/x.go", imports("github.com/tidwall/gjson"), "twin/x.go:3: twin may not import github.com"},
		{"twin imports auth", arrow, "twin/x.go", imports(own + "auth"), "twin/x.go:3: twin may not import auth"},
		{"the registry imports HTTP", arrow, "twin/registry/x.go", imports("net/http"), ""},
		{"the registry imports twin", arrow, "twin/registry/x.go", imports(own + "twin"), ""},
		{"the registry imports device", arrow, "twin/registry/x.go", imports(own + "device"), "twin/registry/x.go:3: twin/registry may not import device"},
		{"the registry imports its hub", arrow, "twin/registry/x.go", imports(own + "device/hubtest"), "twin/registry/x.go:3: twin/registry may not import device/hubtest"},
		{"auth imports twin", arrow, "auth/x.go", imports(own + "twin"), "auth/x.go:3: auth may not import twin"},
		{"auth imports HTTP", arrow, "auth/x.go", imports("net/http"), "auth/x.go:3: auth may not import net/http"},
		{"auth imports the URL grammar", arrow, "auth/x.go", imports("net/url"), ""},
		{"transport imports auth", arrow, "transport/x.go", imports(own + "auth"), ""},
		{"transport imports internal", arrow, "transport/x.go", imports(own + "internal/hubproto"), "transport/x.go:3: transport may not import internal/hubproto"},
		{"a transport imports the packet codec", arrow, "transport/mqtt/x.go", imports("github.com/eclipse/paho.mqtt.golang/packets"), ""},
		{"a transport imports paho's client", arrow, "transport/mqtt/x.go", imports("github.com/eclipse/paho.mqtt.golang"), "transport/mqtt/x.go:3: transport/... may not import github.com"},
		{"a transport imports twin", arrow, "transport/mqtt/x.go", imports(own + "twin"), "transport/mqtt/x.go:3: transport/... may not import twin"},
		{"device imports a protocol", arrow, "device/x.go", imports(own + "transport/mqtt"), "device/x.go:3: device may not import transport/mqtt"},
		{"device imports internal", arrow, "device/x.go", imports(own + "internal/hubproto"), "device/x.go:3: device may not import internal/hubproto"},
		{"device imports its hub", arrow, "device/x.go", imports(own + "device/hubtest"), "device/x.go:3: device may not import device/hubtest"},
		{"a test of device imports its hub", arrow, "device/x_test.go", imports(own + "device/hubtest"), ""},
		{"the hub imports device", arrow, "device/hubtest/x.go", imports(own + "device"), "device/hubtest/x.go:3: device/hubtest may not import device"},
		{"the hub imports internal", arrow, "device/hubtest/x.go", imports(own + "internal/hubproto"), ""},
		{"internal imports device", arrow, "internal/p/x.go", imports(own + "device"), "internal/p/x.go:3: internal/... may not import device"},
		{"the AMQP server imports go-amqp", arrow, "internal/amqpwire/x.go", imports("github.com/Azure/go-amqp"), ""},
		{"another internal package imports go-amqp", arrow, "internal/p/x.go", imports("github.com/Azure/go-amqp"), "internal/p/x.go:3: internal/... may not import github.com"},
		{"the AMQP server imports a room", arrow, "internal/amqpwire/x.go", imports(own + "auth"), "internal/amqpwire/x.go:3: internal/amqpwire may not import auth"},
		{"an example imports internal", arrow, "examples/p/main.go", imports(own + "internal/hubproto"), "examples/p/main.go:3: examples/... may not import internal/hubproto"},
		{"an example imports the hub", arrow, "examples/p/main.go", imports(own + "device/hubtest"), ""},
		{"a file for another platform", arrow, "twin/x_plan9.go", imports("os"), "twin/x_plan9.go:3: twin may not import os"},
		{"a package without a row", arrow, "device/new/x.go", "package p\n", "device/new/x.go: folder device/new has no row"},
		{"a package at the top level", arrow, "x.go", "package p\n", "x.go: folder . has no row"},

		{"twin reads the clock", clocksAndGoroutines, "twin/x.go", "package p\n\nimport \"time\"\n\nvar _ = time.Now()\n", "twin/x.go:5: time.Now in twin"},
		{"twin reads a renamed clock", clocksAndGoroutines, "twin/x.go", "package p\n\nimport t \"time\"\n\nvar _ = t.After\n", "twin/x.go:5: time.After in twin"},
		{"twin computes with times", clocksAndGoroutines, "twin/x.go", "package p\n\nimport \"time\"\n\nvar _ = time.Unix(0, 0)\n", ""},
		{"twin starts a goroutine", clocksAndGoroutines, "twin/x.go", "package p\n\nfunc f() { go f() }\n", "twin/x.go:3: a goroutine in twin"},
		{"the registry reads the clock", clocksAndGoroutines, "twin/registry/x.go", "package p\n\nimport \"time\"\n\nvar _ = time.Now()\n", ""},
		{"device starts a goroutine", clocksAndGoroutines, "device/x.go", "package p\n\nfunc f() { go f() }\n", ""},

		{"an example imports testing", testingImports, "examples/p/main.go", imports("testing"), "examples/p/main.go:3: imports testing"},
		{"a package imports a part of testing", testingImports, "internal/p/x.go", imports("testing/synctest"), "internal/p/x.go:3: imports testing"},
		{"a test imports testing", testingImports, "twin/x_test.go", imports("testing"), ""},

		{"a package has an init function", initFuncs, "auth/x.go", "package p\n\nfunc init() {}\n", "auth/x.go:3: an init function"},
		{"a type has a method called init", initFuncs, "auth/x.go", "package p\n\nfunc (t) init() {}\n", ""},

		{"a package reads the environment", environmentReads, "device/x.go", "package p\n\nimport \"os\"\n\nvar _ = os.Getenv(\"X\")\n", "device/x.go:5: os.Getenv"},
		{"an example reads the environment", environmentReads, "examples/p/main.go", "package p\n\nimport \"os\"\n\nvar _ = os.Getenv(\"X\")\n", ""},

		{"a package keeps state", packageVars, "auth/x.go", "package p\n\nvar cache = map[string]int{}\n", "auth/x.go:3: package variable cache"},
		{"a variable without value", packageVars, "auth/x.go", "package p\n\nvar n int\n", "auth/x.go:3: package variable n"},
		{"a call that makes no error", packageVars, "auth/x.go", "package p\n\nimport \"errors\"\n\nvar n = errors.Unwrap(nil)\n", "auth/x.go:5: package variable n"},
		{"a false errors.New", packageVars, "auth/x.go", "package p\n\nimport \"mine/errors\"\n\nvar n = errors.New(\"\")\n", "auth/x.go:5: package variable n"},
		{"one bad variable among errors", packageVars, "auth/x.go", "package p\n\nimport \"errors\"\n\nvar (\n\terrA = errors.New(\"a\")\n\tn    = 1\n)\n", "auth/x.go:7: package variable n"},
		{"error values", packageVars, "auth/x.go", "package p\n\nimport (\n\t\"errors\"\n\t\"fmt\"\n)\n\nvar (\n\tErrA = errors.New(\"a\")\n\tErrB = fmt.Errorf(\"b: %w\", ErrA)\n)\n", ""},
		{"another package's error", packageVars, "auth/x.go", "package p\n\nimport \"io\"\n\nvar ErrA = io.ErrClosedPipe\n", ""},
		{"a promise to the compiler", packageVars, "auth/x.go", "package p\n\nvar _ I = T{}\n", ""},
		{"a test keeps state", packageVars, "auth/x_test.go", "package p\n\nvar n = 1\n", ""},
		{"a function keeps a variable", packageVars, "auth/x.go", "package p\n\nfunc f() { var n = 1; _ = n }\n", ""},

		{"a long file", longFiles, "auth/x.go", lines(401), "auth/x.go: 401 lines; at most 400"},
		{"the longest file", longFiles, "auth/x.go", lines(400), ""},
		{"a long test", longFiles, "auth/x_test.go", lines(501), "auth/x_test.go: 501 lines; at most 500"},
		{"the longest test", longFiles, "auth/x_test.go", lines(500), ""},

		{"a bare function", undocumented, "auth/x.go", "// Package p.\npackage p\n\nfunc F() {}\n", "auth/x.go:4: F has no doc comment"},
		{"a function with a directive alone", undocumented, "auth/x.go", "// Package p.\npackage p\n\n//go:noinline\nfunc F() {}\n", "auth/x.go:5: F has no doc comment"},
		{"a bare method", undocumented, "auth/x.go", "// Package p.\npackage p\n\nfunc (*T[K]) M() {}\n", "auth/x.go:4: M has no doc comment"},
		{"a bare method that nobody can name", undocumented, "auth/x.go", "// Package p.\npackage p\n\nfunc (*t[K]) M() {}\n", ""},
		{"a bare type in a group with a comment", undocumented, "auth/x.go", "// Package p.\npackage p\n\n// Types.\ntype (\n\tT int\n)\n", "auth/x.go:6: T has no doc comment"},
		{"a bare constant", undocumented, "auth/x.go", "// Package p.\npackage p\n\nconst C = 1\n", "auth/x.go:4: C has no doc comment"},
		{"constants in a group with a comment", undocumented, "auth/x.go", "// Package p.\npackage p\n\n// Ports.\nconst (\n\tC = 1\n)\n", ""},
		{"documented names", undocumented, "auth/x.go", "// Package p.\npackage p\n\n// F does.\nfunc F() {}\n\n// T is.\ntype T int\n\nconst C = 1 // C is.\n", ""},
		{"a package without a comment", undocumented, "auth/x.go", "package p\n", "auth: the package has no comment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(tt.file, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := tt.rule([]source{s})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("got %q, want no objection", got)
			case tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)):
				t.Errorf("got %q, want one that begins with %q", got, tt.want)
			}
		})
	}
}

// TestGraphRulesCatch does the same for what packages reach through others.
func TestGraphRulesCatch(t *testing.T) {
	const own = modulePath + "/"
	const (
		sas, overAMQP  = own + "examples/sas", own + "examples/amqp"
		goAMQP, pahoMQ = "github.com/Azure/go-amqp", "github.com/eclipse/paho.mqtt.golang"
	)
	clean := graph{
		sas: {own + "device", own + "transport/mqtt"}, overAMQP: {own + "device", own + "transport/amqp"},
		own + "device": {"fmt"}, own + "transport/mqtt": {pahoMQ + "/packets"}, own + "transport/amqp": {goAMQP},
		"fmt": nil, pahoMQ + "/packets": nil, goAMQP: nil,
	}
	with := func(pkg string, imports ...string) graph {
		g := graph{pkg: imports}
		for p, i := range clean {
			if p != pkg {
				g[p] = i
			}
		}
		return g
	}
	without := func(pkg string) graph {
		g := with(pkg)
		delete(g, pkg)
		return g
	}
	tests := []struct {
		name string
		rule func(graph) []string
		g    graph
		want []string // beginnings, one for each objection
	}{
		{"nothing reaches testing", reachesTesting, clean, nil},
		{"a helper of device reaches testing", reachesTesting, with("fmt", "testing"), []string{
			"device → fmt → testing;", "examples/amqp → device → fmt → testing;", "examples/sas → device → fmt → testing;"}},
		{"a part of testing is testing", reachesTesting, with("fmt", "testing/synctest"), []string{
			"device → fmt → testing/synctest;", "examples/amqp → device → fmt → testing/synctest;", "examples/sas → device → fmt → testing/synctest;"}},
		{"a package that is called like testing is not", reachesTesting, with("fmt", "internal/testlog"), nil},
		{"the smallest programs are small", heavyPrograms, clean, nil},
		{"the smallest program over MQTT is gone", heavyPrograms, without(sas), []string{"there is no examples/sas"}},
		{"the smallest program over AMQP is gone", heavyPrograms, without(overAMQP), []string{"there is no examples/amqp"}},
		{"they link HTTP", heavyPrograms, with("fmt", "net/http"), []string{
			"examples/sas → device → fmt → net/http;", "examples/amqp → device → fmt → net/http;"}},
		{"the one over MQTT links AMQP", heavyPrograms, with(own+"transport/mqtt", goAMQP+"/internal/x"), []string{
			"examples/sas → transport/mqtt → github.com/Azure/go-amqp"}},
		{"it links a transport that it does not use", heavyPrograms, with(sas, own+"transport/amqp"), []string{
			"examples/sas → transport/amqp → github.com/Azure/go-amqp;", "examples/sas → transport/amqp;"}},
		{"the one over AMQP links paho", heavyPrograms, with(own+"transport/amqp", goAMQP, pahoMQ), []string{
			"examples/amqp → transport/amqp → github.com/eclipse/paho.mqtt.golang;"}},
		{"it links WebSocket", heavyPrograms, with(own+"transport/amqp", "github.com/gorilla/websocket"), []string{
			"examples/amqp → transport/amqp → github.com/gorilla/websocket;"}},
		{"it links sjson", heavyPrograms, with(own+"transport/amqp", "github.com/tidwall/sjson"), []string{
			"examples/amqp → transport/amqp → github.com/tidwall/sjson;"}},
		{"it links the back end's half", heavyPrograms, with(overAMQP, own+"twin/registry"), []string{"examples/amqp → twin/registry;"}},
		{"they link the hub and so HTTP", heavyPrograms, with(own+"device", own+"device/hubtest", "net/http"), []string{
			"examples/sas → device → net/http;", "examples/sas → device → device/hubtest;",
			"examples/amqp → device → net/http;", "examples/amqp → device → device/hubtest;"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.rule(tt.g)
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want beginnings %q", got, tt.want)
			}
		})
	}
}

func TestTopLevelRuleCatches(t *testing.T) {
	got := fmt.Sprint(strangers([]string{".ci", ".gitignore", "LICENSE", "README.md", "auth", "go.mod", "scripts", "hub"}, []string{"*.test", "/hub"}))
	if want := "[scripts stands at the top level"; !strings.HasPrefix(got, want) || strings.Count(got, ";") != 1 {
		t.Errorf("got %s, want one that begins with %q", got, want)
	}
}

// TestWayIsShortestAndEnds walks a graph with a circle and two ways.
func TestWayIsShortestAndEnds(t *testing.T) {
	g := graph{"a": {"b", "c"}, "b": {"a", "d"}, "c": {"d", "z"}, "d": {"c"}}
	is := func(want string) func(string) bool { return func(p string) bool { return p == want } }
	if got, want := g.way("a", is("z")), []string{"a", "c", "z"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := g.way("a", is("elsewhere")); got != nil {
		t.Errorf("got %q, want no way", got)
	}
}

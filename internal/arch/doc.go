// Package arch is a test of the module's architecture, and holds no code that
// anything could import: which room may import which, what no shipped file may
// do, what stands at the top level, and that README.md tells the truth.
//
// Each rule is a subtest of TestArchitecture, named as a sentence; a failure
// says where it is broken and what to do. Every rule is a plain function over
// sources, so that TestRulesCatch can show it a small offence and see it
// object. The rooms themselves are the table in rooms_test.go.
//
// contracts.txt lists what the doc comments of device, device/store, transport and
// twin promise, and the test that fails without it. TestContracts holds the list
// to the comments and the tests, and the comments to the list: a sentence with a
// figure or a word of promise, and each row of a table, needs a line.
//
// A nested module is a house of its own: these rules stop at its go.mod, but for
// those in nested_test.go, of Go, versions and the way back to this module.
package arch

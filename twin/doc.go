// Package twin is what a device's twin is: its two halves, the patches that
// change them, their versions and the hub's limits. It is pure: plain values
// and functions over them, without sockets, clocks or goroutines. Package
// device keeps a twin in step with a hub; this package knows what "in step"
// means.
//
// # Two halves
//
// A twin is one JSON document that the hub keeps for each device, in two
// halves. The back end writes the desired half and the device obeys it; the
// device writes the reported half and the back end reads it. Nobody writes the
// other's half, so nothing is ever in conflict: a device that cannot do what
// is desired reports what it does instead.
//
//	{
//	  "desired":  {"fan": {"rpm": 1200}, "$version": 4},
//	  "reported": {"fan": {"rpm": 1150}, "$version": 31}
//	}
//
// [Properties] is one half at one version, [Document] is both, [Value] is any
// value within. All of them never change; the change of one is another one,
// which shares what stayed. So they may be kept, compared and read from any
// goroutine.
//
// # Paths
//
// A path is the keys from the root, with dots between: "fan.rpm". "" is the
// root. Keys cannot hold dots, by the hub's rule, and no other character in a
// path is special. Arrays are single values: no path leads into them, and one
// that tries is an error where that can be seen. A path with an empty key, such
// as "fan..rpm" or "fan.", is refused by everything that writes or listens.
//
// # Reading
//
// [Get] reads one value as a Go type, and [GetOr] takes a default. Errors match
// [ErrMissing], or are a [DecodeError] with the path.
//
//	rpm, err := twin.Get[int](doc.Desired, "fan.rpm")
//	unit := twin.GetOr(doc.Desired, "climate.unit", "celsius")
//
// No path leads into an array. [Value.Len], [Value.Index] and [Value.Elements]
// do: twin.Get[int](doc.Desired.At("schedule").Index(1), "hour").
//
// # Patches, and what null does
//
// A half is changed by a [Patch], as JSON Merge Patch (RFC 7396). What it names
// is set, an object is merged member by member, and what it does not name
// stays. null deletes: {"fan":{"rpm":null}} removes rpm and leaves fan, if
// empty. Arrays are replaced whole. Keys that begin with "$" are the hub's own
// and never travel in a patch.
//
//	p := twin.Set("fan.rpm", 1150).Set("uptime", 86400).Delete("lastError")
//
// A merge patch cannot say "this object, and nothing else". [Replace] can, in
// what a device reports: the client, which knows what the hub has, sends the
// deletions by name.
//
//	p := twin.Replace("fan", map[string]any{"rpm": 1150})
//
// [Apply] merges a patch into a half; [Diff] finds the smallest patch from one
// half to another. They belong together: Apply(a, Diff(a, b)) equals b. Two
// merge patches in a row do not make one; keep the halves, not the patches.
//
// Numbers keep the text in which they were written, and are equal when their
// exact decimal values are: 1.10 and 1.1 make no difference to Diff.
//
// # Versions and gaps
//
// The hub counts the writes to each half, from 1 on. A desired patch carries
// the version after it. The known version plus one is applied, and the known
// one is a duplicate. Any other is a gap: a patch in between was lost, or one
// came late, or the device was created again. One GET of the whole twin closes
// the gap. The hub keeps no patches for a device that is away, so a GET follows
// each connect as well. An answer that is late takes nothing back. One that is
// older than the document was when the GET left is believed when the next GET
// shows it again, and listeners hear [CauseNewTwin].
//
// IoT Edge may send halves and patches without versions. The version is then
// 0, not known, and patches are applied as they come, until one names a version.
//
// # What a listener hears
//
// A [Listener] at "a.b" hears of a change of a.b, of anything below it, and of
// an ancestor that replaces or deletes it; and of nothing else. One at ""
// hears everything. Each [Change] tells the value as it is now and as the
// listener heard it last. A listener that is slow builds no queue: what waits
// for it is one difference, so it may skip values in between, but never the
// last.
//
// [Typed] makes a listener of a function that wants a Go type, and calls it
// where a value is desired. Where nothing is, [TypedOr] calls with a default.
// [Removed] hears of deletions alone. A listener that acknowledges names code
// and text in an [AckError].
//
// A back end may name a value again without changing it, and an
// acknowledgement ([Ack]) of its version is then due; so what a patch names is
// heard even when it is as before.
//
// # Limits
//
// A half holds 32 KB by the hub's way of counting ([Properties.Size]), keys have 1024
// bytes, strings 4096, integers 53 bits, and objects and arrays nest 10 deep.
// [Validate] checks a patch against all of them before it is sent, and says in
// a [LimitError] which limit, where, and what to do. Where the documentation
// can be read in two ways, it lets pass what one of them lets pass: the hub
// has the last word.
//
// # Bytes from others
//
// Whatever bytes the parsers are given, they return a value or an error, in
// time linear in the input (sorting its keys apart), from at most 512 KB (1 MB
// of a whole twin, and of a half with its version) and 64 levels. They take
// valid JSON in valid UTF-8 and nothing else; of a key that appears twice in an
// object, the last wins. json.Unmarshal reads the types of this package by the
// same rules.
package twin

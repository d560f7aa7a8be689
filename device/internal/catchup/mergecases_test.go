package catchup

import (
	"encoding/json"
	"testing"
)

// TestMergeCasesUnderEachRule holds the merge cases of a twin, M1 to M11 and
// M18, against hubs of each of the three merge rules that have been seen: what
// the client sends must leave the hub with what RFC 7396 says, whatever the
// hub's own rule.
func TestMergeCasesUnderEachRule(t *testing.T) {
	for _, tc := range []struct{ name, stored, patch, want string }{
		{"M1 delete", `{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		{"M2 delete what isn't there", `{"a":1}`, `{"z":null}`, `{"a":1}`},
		{"M3 merge an object", `{"o":{"x":1,"y":2}}`, `{"o":{"x":9}}`, `{"o":{"x":9,"y":2}}`},
		{"M4 number for object", `{"o":{"x":1}}`, `{"o":5}`, `{"o":5}`},
		{"M5 object for number", `{"o":5}`, `{"o":{"x":1}}`, `{"o":{"x":1}}`},
		{"M6 arrays are replaced", `{"l":[1,2,3]}`, `{"l":[9]}`, `{"l":[9]}`},
		{"M7 nested delete of what isn't there", `{"k1":{"k2":"v"}}`, `{"k1":{"k3":null}}`, `{"k1":{"k2":"v"}}`},
		{"M8 null in a new object", `{}`, `{"a":{"b":null}}`, `{"a":{}}`},
		{"M8 null beside a value", `{}`, `{"a":{"b":null,"c":1}}`, `{"a":{"c":1}}`},
		{"M9 merge with nothing", `{"o":{"x":1}}`, `{"o":{}}`, `{"o":{"x":1}}`},
		{"M10 the empty object is kept", `{}`, `{"o":{}}`, `{"o":{}}`},
		{"M11 the parent stays", `{"o":{"x":1}}`, `{"o":{"x":null}}`, `{"o":{}}`},
		{"M18 nothing changes", `{"a":1}`, `{"a":1}`, `{"a":1}`},
	} {
		for rule := range mergeRules {
			hub := newModelHub(rule)
			if err := json.Unmarshal([]byte(tc.stored), &hub.doc); err != nil {
				t.Fatal(err)
			}
			var r Reported
			r.Synced(hub.properties(), 0)
			ticket, err := r.Want(patch(t, tc.patch))
			if err != nil {
				t.Fatal(err)
			}
			p, ok := r.Next(0)
			if !ok {
				t.Errorf("%s: nothing is sent", tc.name)
				continue
			}
			hub.merge(decoded(p))
			if got := r.Acked(hub.version); got != Applied {
				t.Errorf("%s, rule %d: Acked is %v", tc.name, rule, got)
			}
			if got := r.Settled(); len(got) != 1 || got[0] != (Settlement{ticket, 2, nil}) {
				t.Errorf("%s, rule %d: settled %v", tc.name, rule, got)
			}
			if got := hub.text(); got != tc.want {
				t.Errorf("%s, rule %d: the hub has %s after %v, want %s", tc.name, rule, got, p, tc.want)
			}
			if back := r.Synced(hub.properties(), 0); back != nil || !r.Idle() {
				t.Errorf("%s, rule %d: %v reads back different, idle %t", tc.name, rule, back, r.Idle())
			}
		}
	}
}

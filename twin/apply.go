package twin

import "github.com/devicetwin/devicetwin-go/internal/tree"

// Apply merges a patch into a half of a twin, by RFC 7396: a member that is
// null is removed, an object is merged member by member, anything else
// replaces what was there; arrays are replaced whole, and so is what
// [Patch.Replace] names. What the patch does not name stays, and so does the
// version: only the hub counts versions, see
// [Properties.WithVersion].
//
// Neither argument changes; what is untouched is shared with p, and costs
// nothing. A patch that failed to build (see [Patch.Err]) changes nothing.
//
// Two merge patches in a row do not make one: {"a":5} and then {"a":{"b":1}}
// turn {"a":{"c":2}} into {"a":{"b":1}}, which among single patches only
// Replace does.
func Apply(p Properties, patch Patch) Properties {
	return propertiesOf(tree.Apply(p.root, patch.root), p.version)
}

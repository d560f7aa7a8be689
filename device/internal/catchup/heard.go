package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// heardKey is where Doc has the value.
const heardKey = "v"

// Doc returns what was heard as a document: the value at the key "v", or an
// empty document where nothing was desired. So a difference to what was heard
// before can be found by twin.Diff, whatever the kinds.
func (h Heard) Doc() twin.Properties {
	n := rootOf(h.Value)
	if n == nil {
		return propertiesOf(nil, h.Version)
	}
	return propertiesOf(tree.NewObject(tree.Member{Key: heardKey, Value: n}), h.Version)
}

// HeardOf returns what Doc made the document of.
func HeardOf(doc twin.Properties) Heard {
	return Heard{Version: doc.Version(), Value: doc.At(heardKey)}
}

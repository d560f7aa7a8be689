package mqtt

import (
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// leftovers are the filters that an earlier program of this identity may have
// subscribed to, and that no feature here takes. With a session that is not
// clean the hub restores them, and goes on to deliver.
func leftovers(id auth.Identity) []string {
	own := hubproto.PrefixDevices + id.DeviceID + "/"
	if id.ModuleID != "" {
		own += hubproto.InfixModules + id.ModuleID + "/"
	}
	filters := []string{hubproto.FilterMethods, own + hubproto.FilterDevicebound}
	if id.ModuleID != "" {
		filters = append(filters, own+hubproto.FilterInputs, own+"#")
	}
	return filters
}

// takeTidy returns an UNSUBSCRIBE of the leftovers, once. Its caller holds the
// turn.
func (c *conn) takeTidy() []byte {
	if c.leftovers == nil {
		return nil
	}
	filters := c.leftovers
	c.leftovers = nil
	id, err := c.reserve(request{kind: packets.Unsuback})
	if err != nil {
		return nil // the GET matters more
	}
	b, err := encode(unsubscribePacket(filters, id))
	if err != nil {
		c.answered(id, packets.Unsuback)
		return nil
	}
	return b
}

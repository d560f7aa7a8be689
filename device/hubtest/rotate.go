package hubtest

import (
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
)

// RegeneratePrimaryKey makes the primary key of an identity anew and leaves the
// secondary, with which a client logs in meanwhile: half a rotation. The Device
// has both. A connection stays.
func (h *Hub) RegeneratePrimaryKey(id string) (Device, error) { return h.regenerate(id, 0) }

// RegenerateSecondaryKey makes the secondary key anew and leaves the primary.
func (h *Hub) RegenerateSecondaryKey(id string) (Device, error) { return h.regenerate(id, 1) }

func (h *Hub) regenerate(id string, which int) (Device, error) {
	fresh := newKeys()
	h.mu.Lock()
	defer h.mu.Unlock()
	who := h.identities[id]
	switch {
	case who == nil:
		return Device{}, fmt.Errorf("%w: %s", ErrUnknown, id)
	case who.proof.kind != authSAS:
		return Device{}, fmt.Errorf("hubtest: %s proves itself by a certificate (%s) and has no keys; SetKeys gives it some", id, who.proof.kind)
	}
	who.keys.text[which], who.keys.secret[which] = fresh.text[which], fresh.secret[which]
	who.record.etag++
	return describe(auth.Identity{Host: h.opts.Host, DeviceID: who.device, ModuleID: who.module}, who.keys)
}

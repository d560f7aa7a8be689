package catchup

import "slices"

// NextOf is Next for the listeners that may be called now. The others keep
// their places.
func (d *Desired) NextOf(may func(ListenerID) bool) (Delivery, bool) {
	if !d.known {
		return Delivery{}, false
	}
	for i := 0; i < len(d.routes.dirty); {
		s := d.routes.dirty[i]
		if !s.removed && !may(s.id) {
			i++
			continue
		}
		if i == 0 {
			d.routes.dirty[0] = nil
			d.routes.dirty = d.routes.dirty[1:]
		} else {
			d.routes.dirty = slices.Delete(d.routes.dirty, i, i+1)
		}
		if delivery, ok := s.deliver(d.doc); ok {
			return delivery, true
		}
	}
	if len(d.routes.dirty) == 0 {
		d.routes.dirty = nil
	}
	return Delivery{}, false
}

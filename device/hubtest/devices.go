package hubtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A Device is one device or module of a hub. Its methods act on it at once,
// and may be called concurrently. Its fields are what a client needs to log in.
// They are those of the moment at which the hub returned the Device, and do not
// change.
//
// Hub.Device returns one for any id. Where the hub has no such device, only
// Identity is set, and the methods return an error that matches ErrUnknown. The
// zero Device, beside an error, belongs to no hub: its methods panic.
type Device struct {
	// Identity names the device or module, and this hub.
	Identity auth.Identity
	// Auth is the registry's word for how it proves itself: "sas", "selfSigned"
	// or "certificateAuthority".
	Auth string
	// Credential signs tokens with the primary key, or presents the certificate;
	// nil for an X.509 identity whose certificate was made elsewhere.
	Credential auth.Credential
	// ConnectionString holds the same in one line: a secret. That of an X.509
	// identity says x509=true, and holds none. It is empty for an id that no
	// connection string can hold: one with a ';'. auth.FormatConnectionString
	// says so.
	ConnectionString string
	// PrimaryKey and SecondaryKey are in base64: secrets. An X.509 identity has
	// none.
	PrimaryKey, SecondaryKey string
	// CertificatePEM and KeyPEM are the certificate, with its intermediates, and
	// the private key (a secret) that the hub made for an X.509 identity; nil
	// for any other.
	CertificatePEM, KeyPEM []byte

	hub *Hub
	id  string // "device" or "device/module"
}

// identity is one device or module as the registry knows it. hub.mu guards it.
type identity struct {
	id             string // "device" or "device/module"
	device, module string
	proof          proofRule
	keys           keyPair
	disabled       bool
	modelID        string
	twin           section.Twin
	record         record // what only services see of it
	mqtt           mqttState
	events         eventLog
	held           heldAcks
	method         string   // how the last login was let in, as messages tell it
	conn           presence // the live one, nil when offline
	changed        chan struct{}
}

// touch wakes who waits for a change of this identity. hub.mu is held.
func (id *identity) touch() {
	close(id.changed)
	id.changed = make(chan struct{})
}

// came notes a login. hub.mu is held.
func (id *identity) came(now time.Time) { id.record.stateAt, id.record.active = now, now }

// found is the identity; where there is none, the error matches ErrUnknown. hub.mu
// is held.
func (d Device) found() (*identity, error) {
	if who := d.hub.identities[d.id]; who != nil {
		return who, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknown, d.id)
}

// open is found of a hub that is not closed. hub.mu is held.
func (d Device) open() (*identity, error) {
	if d.hub.closed {
		return nil, ErrClosed
	}
	return d.found()
}

// change calls f with the identity, and with hub.mu held.
func (d Device) change(f func(*identity) error) error {
	d.hub.mu.Lock()
	defer d.hub.mu.Unlock()
	who, err := d.found()
	if err != nil {
		return err
	}
	return f(who)
}

// AddDevice registers a device or module with new random keys and an empty twin.
// The id is "device" or "device/module", here and everywhere. Each part has 1 to
// 128 of ASCII letters, digits and some signs. A module is an identity with keys,
// a twin and a connection of its own. Its device must be there.
func (h *Hub) AddDevice(id string) (Device, error) {
	who, err := h.named(id)
	if err != nil {
		return Device{}, err
	}
	return h.addWith(who, newKeys(), nil)
}

// named is the identity of an id. Only what has no name of a module behind the
// slash is an error: the rest, register judges.
func (h *Hub) named(id string) (auth.Identity, error) {
	device, module, isModule := strings.Cut(id, "/")
	if isModule && module == "" {
		return auth.Identity{}, fmt.Errorf("hubtest: the module id is empty in %q", id)
	}
	return auth.Identity{Host: h.opts.Host, DeviceID: device, ModuleID: module}, nil
}

// addWith registers an identity with its keys, and as prepare leaves it.
func (h *Hub) addWith(who auth.Identity, keys keyPair, prepare func(*identity)) (Device, error) {
	dev, err := h.describe(who, keys)
	if err != nil {
		return Device{}, err
	}
	err = h.register(who, func(id *identity) {
		id.keys = keys
		if prepare != nil {
			prepare(id)
		}
	})
	if err != nil {
		return Device{}, err
	}
	return dev, nil
}

// register adds an identity with an empty twin; proves fills in what it proves
// itself with.
func (h *Hub) register(who auth.Identity, proves func(*identity)) error {
	if err := who.Validate(); err != nil {
		return fmt.Errorf("hubtest: %w", err)
	}
	id := &identity{
		id: joinID(who.DeviceID, who.ModuleID), device: who.DeviceID, module: who.ModuleID,
		twin: section.New(), changed: make(chan struct{}),
	}
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	id.record = h.newRecord(now)
	if id.module == "" { // a module's halves were never written
		id.twin.Desired.Meta, id.twin.Reported.Meta = section.NewStamp(now), section.NewStamp(now)
	}
	proves(id)
	switch {
	case h.closed:
		return ErrClosed
	case h.identities[id.id] != nil:
		return fmt.Errorf("%w: %s", ErrExists, id.id)
	case id.module != "" && h.identities[id.device] == nil:
		return fmt.Errorf("%w: %s", ErrUnknown, id.device)
	}
	h.identities[id.id] = id
	if h.stats[id.id] == nil {
		h.stats[id.id] = &Stats{}
	}
	return nil
}

// Device returns the device or module of an id, with what it logs in with now.
// A certificate is known only to the Device that AddX509Device or SetX509
// returned, since the hub keeps none.
//
// An unknown id is an error of the Device's methods: it matches ErrUnknown.
func (h *Hub) Device(id string) Device {
	device, module, _ := strings.Cut(id, "/")
	d := Device{Identity: auth.Identity{Host: h.opts.Host, DeviceID: device, ModuleID: module}, hub: h, id: id}
	_ = d.change(func(who *identity) error { // an unknown one has no more than a name
		if who.proof.kind != authSAS {
			d = h.certDevice(h.nameOf(who), who.proof)
			return nil
		}
		full, err := h.describe(h.nameOf(who), who.keys)
		if err == nil {
			d = full
		}
		return err
	})
	return d
}

// Remove removes a device with its modules, or one module ("device/
// module"): connections are cut, twins and sessions forgotten. Added again,
// its versions start at 1.
func (d Device) Remove() error {
	return d.withdraw("identity removed", func(who *identity) {
		delete(d.hub.identities, who.id)
		who.touch()
	})
}

// SetEnabled lets an identity log in, or refuses it. Disabling cuts the
// connection; a disabled device's modules are refused with it.
func (d Device) SetEnabled(on bool) error {
	if on {
		return d.change(func(who *identity) error {
			who.setDisabled(false, d.hub.opts.Now())
			who.record.etag++
			return nil
		})
	}
	return d.withdraw("identity disabled", func(who *identity) {
		if who.id == d.id {
			who.setDisabled(true, d.hub.opts.Now())
			who.record.etag++
		}
	})
}

// setDisabled writes the status, and when it changed. hub.mu is held.
func (id *identity) setDisabled(disabled bool, now time.Time) {
	if disabled != id.disabled {
		id.disabled, id.record.statusAt = disabled, now
	}
}

// withdraw applies f to an identity and those below it, and cuts their
// connections.
func (d Device) withdraw(reason string, f func(*identity)) error {
	var cut []presence
	err := d.change(func(top *identity) error {
		cut = d.hub.part(top, f)
		return nil
	})
	withdrawAll(cut, reason)
	return err
}

// part applies f to an identity and those below it, and returns their
// connections, which the caller closes. h.mu is held.
func (h *Hub) part(top *identity, f func(*identity)) (cut []presence) {
	for _, who := range h.identities {
		if who == top || top.module == "" && who.device == top.device {
			if who.conn != nil {
				cut = append(cut, who.conn)
				who.conn.leave()
			}
			f(who)
		}
	}
	return cut
}

func withdrawAll(conns []presence, reason string) {
	for _, c := range conns {
		c.withdraw(reason)
	}
}

// SetKeys replaces both keys, in base64, and returns the Device with them. An empty
// one is replaced by a random key. Half a rotation renews one key and keeps the
// other, with which a client logs in meanwhile:
//
//	dev, err = dev.SetKeys("", dev.SecondaryKey)
//
// A connection stays, since a token is judged at login. An X.509 identity has
// keys from then on.
func (d Device) SetKeys(primary, secondary string) (dev Device, err error) {
	keys, err := completeKeys(primary, secondary)
	if err != nil {
		return Device{}, err
	}
	err = d.change(func(who *identity) (err error) {
		who.proof, who.keys = proofRule{}, keys
		who.record.etag++
		dev, err = d.hub.describe(d.hub.nameOf(who), keys)
		return err
	})
	return dev, err
}

// nameOf is the name of an identity, for its owner.
func (h *Hub) nameOf(who *identity) auth.Identity {
	return auth.Identity{Host: h.opts.Host, DeviceID: who.device, ModuleID: who.module}
}

func (h *Hub) describe(who auth.Identity, keys keyPair) (Device, error) {
	key, err := auth.ParseKey(keys.text[0])
	if err != nil {
		return Device{}, fmt.Errorf("hubtest: %w", err)
	}
	return Device{
		Identity: who, Auth: authSAS.String(), Credential: auth.SAS(key, nil),
		ConnectionString: stringFor(who, keys.text[0]),
		PrimaryKey:       keys.text[0], SecondaryKey: keys.text[1],
		hub: h, id: joinID(who.DeviceID, who.ModuleID),
	}, nil
}

// stringFor is a connection string, or empty where there can be none, for one that
// says something else is worse.
func stringFor(who auth.Identity, key string) string {
	s, err := auth.FormatConnectionString(own.Key{}, who, key)
	if err != nil {
		return ""
	}
	return s
}

func joinID(device, module string) string {
	if module == "" {
		return device
	}
	return device + "/" + module
}

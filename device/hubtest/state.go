package hubtest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
)

// stateVersion is the format of what State returns.
const stateVersion = "1"

// maxState bounds what Restore reads.
const maxState = 1 << 30

// State returns identities with their keys and twins, and the policies, as JSON
// that Restore reads: a secret. It holds no connection, session, CA or fault.
func (h *Hub) State() []byte {
	h.mu.Lock()
	all := h.entriesLocked(func(*identity) bool { return true })
	policies := make([]Policy, 0, len(h.policies))
	for _, name := range sortedKeys(h.policies) {
		policies = append(policies, h.policies[name])
	}
	h.mu.Unlock()
	doc := jsondoc.New("version", stateVersion)
	list := []any{}
	for _, p := range policies {
		permissions := []any{}
		for _, permission := range p.Permissions {
			permissions = append(permissions, string(permission))
		}
		list = append(list, jsondoc.New("name", p.Name, "primaryKey", p.PrimaryKey, "secondaryKey", p.SecondaryKey, "permissions", permissions))
	}
	doc.Set("policies", list)
	list = []any{}
	for _, e := range all {
		list = append(list, e.saved())
	}
	doc.Set("identities", list)
	return append(jsondoc.Append(nil, doc), '\n')
}

// Revision returns a number that is another one after each change that State
// would show, except of times and models.
func (h *Hub) Revision() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := uint64(0)
	for id, who := range h.identities {
		f := fnv.New64a()
		_, _ = io.WriteString(f, id+"/"+who.record.generation+"/"+strconv.FormatUint(who.record.etag, 10)+"/"+
			strconv.FormatInt(who.twin.Version, 10)) // never fails, by its documentation
		sum += f.Sum64()
	}
	for _, p := range h.policies {
		f := fnv.New64a()
		_, _ = io.WriteString(f, p.Name+"/"+p.PrimaryKey+"/"+p.SecondaryKey+"/"+fmt.Sprint(p.Permissions))
		sum += f.Sum64()
	}
	return sum
}

// Devices are the ids of all identities, "device" or "device/module", sorted.
func (h *Hub) Devices() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return sortedKeys(h.identities)
}

// saved is an identity as State has it.
func (e entry) saved() *jsondoc.Object {
	return jsondoc.New(
		"deviceId", e.device, "moduleId", e.module, "auth", e.proof.kind.String(),
		"primaryKey", e.keys.text[0], "secondaryKey", e.keys.text[1],
		"primaryThumbprint", e.proof.thumbprints[0], "secondaryThumbprint", e.proof.thumbprints[1],
		"disabled", e.disabled, "modelId", e.modelID,
		"generation", e.record.generation, "etag", strconv.FormatUint(e.record.etag, 10), "reason", e.record.reason,
		"statusAt", section.Time(e.record.statusAt), "stateAt", section.Time(e.record.stateAt), "active", section.Time(e.record.active),
		"managedBy", e.record.managedBy, "iotEdge", e.record.iotEdge, "scope", e.record.scope,
		"twin", e.twin.Saved(),
	)
}

// Restore adds the identities and policies of a State, to a hub that has none of
// the identities yet. A policy replaces the one of its name. A state that cannot
// be read, or breaks a rule of the hub's, is an error and changes nothing. The
// host's name may be another one than before.
func (h *Hub) Restore(state []byte) error {
	identities, policies, err := h.readState(state)
	if err != nil {
		return fmt.Errorf("hubtest: restore: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	for _, id := range sortedKeys(identities) {
		who := identities[id]
		switch {
		case h.identities[id] != nil:
			return fmt.Errorf("%w: %s", ErrExists, id)
		case who.module != "" && identities[who.device] == nil && h.identities[who.device] == nil:
			return fmt.Errorf("%w: %s", ErrUnknown, who.device)
		}
	}
	for id, who := range identities {
		h.identities[id] = who
		if h.stats[id] == nil {
			h.stats[id] = &Stats{}
		}
		if n, err := strconv.ParseInt(who.record.generation, 10, 64); err == nil {
			h.generation = max(h.generation, n)
		}
	}
	for _, p := range policies {
		h.policies[p.Name] = p
	}
	return nil
}

// readState takes a state apart. No lock is held.
func (h *Hub) readState(state []byte) (map[string]*identity, []Policy, error) {
	if len(state) > maxState {
		return nil, nil, fmt.Errorf("it has %d bytes; at most %d are read", len(state), maxState)
	}
	doc, err := jsondoc.ParseObject(state)
	if err != nil {
		return nil, nil, err
	}
	if v := doc.Get("version"); v != stateVersion {
		return nil, nil, fmt.Errorf("its version is %.20q, and %s is known; begin with a new file", fmt.Sprint(v), stateVersion)
	}
	identities := map[string]*identity{}
	for i, v := range listOf(doc, "identities") {
		who, err := h.opts.restored(v)
		if err != nil {
			return nil, nil, fmt.Errorf("identity %d: %w", i+1, err)
		}
		if identities[who.id] != nil {
			return nil, nil, fmt.Errorf("identity %d: %s is there twice", i+1, who.id)
		}
		identities[who.id] = who
	}
	var policies []Policy
	for i, v := range listOf(doc, "policies") {
		p, _ := v.(*jsondoc.Object)
		policy := Policy{Name: p.Text("name"), PrimaryKey: p.Text("primaryKey"), SecondaryKey: p.Text("secondaryKey")}
		for _, permission := range listOf(p, "permissions") {
			policy.Permissions = append(policy.Permissions, fmt.Sprint(permission))
		}
		if policy, err = h.complete(policy); err != nil {
			return nil, nil, fmt.Errorf("policy %d: %w", i+1, err)
		}
		policies = append(policies, policy)
	}
	return identities, policies, nil
}

func listOf(doc *jsondoc.Object, name string) []any {
	list, _ := doc.Get(name).([]any)
	return list
}

// restored is an identity of a state.
func (o *Options) restored(v any) (*identity, error) {
	m, ok := v.(*jsondoc.Object)
	if !ok {
		return nil, jsondoc.ErrNotObject
	}
	who := &identity{device: m.Text("deviceId"), module: m.Text("moduleId"), modelID: m.Text("modelId"), changed: make(chan struct{})}
	who.id = joinID(who.device, who.module)
	if err := (auth.Identity{Host: o.Host, DeviceID: who.device, ModuleID: who.module}).Validate(); err != nil {
		return nil, err
	}
	who.disabled, _ = m.Get("disabled").(bool)
	if err := who.restoreProof(m); err != nil {
		return nil, fmt.Errorf("%s: %w", who.id, err)
	}
	if err := who.record.restore(m); err != nil {
		return nil, fmt.Errorf("%s: %w", who.id, err)
	}
	t, _ := m.Get("twin").(*jsondoc.Object)
	if err := who.twin.Restore(t); err != nil {
		return nil, fmt.Errorf("%s: twin: %w", who.id, err)
	}
	return who, nil
}

func (id *identity) restoreProof(m *jsondoc.Object) (err error) {
	switch m.Text("auth") {
	case authSAS.String():
		id.keys, err = completeKeys(m.Text("primaryKey"), m.Text("secondaryKey"))
	case authSelfSigned.String():
		id.proof, err = thumbprintRule(m.Text("primaryThumbprint"), m.Text("secondaryThumbprint"))
	case authCA.String():
		id.proof = proofRule{kind: authCA}
	default:
		err = errors.New("auth is none of sas, selfSigned and certificateAuthority")
	}
	return err
}

func (r *record) restore(m *jsondoc.Object) error {
	*r = record{
		generation: m.Text("generation"), reason: m.Text("reason"), managedBy: m.Text("managedBy"), scope: m.Text("scope"),
	}
	r.iotEdge, _ = m.Get("iotEdge").(bool)
	var err1 error
	r.etag, err1 = strconv.ParseUint(m.Text("etag"), 10, 63)
	_, err2 := strconv.ParseInt(r.generation, 10, 63)
	var err3, err4, err5 error
	r.statusAt, err3 = section.ParseTime(m.Text("statusAt"))
	r.stateAt, err4 = section.ParseTime(m.Text("stateAt"))
	r.active, err5 = section.ParseTime(m.Text("active"))
	return errors.Join(err1, err2, err3, err4, err5)
}

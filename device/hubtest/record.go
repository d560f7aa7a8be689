package hubtest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// record is what the registry keeps of an identity beside its keys and twin.
type record struct {
	generation string    // another one for each identity that ever had the id
	etag       uint64    // counts the changes of the identity
	reason     string    // why it has its status
	statusAt   time.Time // when that changed last; zero for never
	online     time.Time // the last login
	managedBy  string    // modules
	iotEdge    bool
}

func newRecord() record {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails, by its documentation
	return record{generation: strconv.FormatUint(binary.BigEndian.Uint64(b), 10), etag: 1}
}

// etagText is the counter as identities show it: its decimal digits in base64.
func (r record) etagText() string {
	return base64.StdEncoding.EncodeToString(strconv.AppendUint(nil, r.etag, 10))
}

// entry is an identity as it stands at one moment, for services to read. What
// it refers to is never changed in place.
type entry struct {
	id, device, module string
	keys               keyPair
	proof              proofRule
	disabled           bool
	connected          bool
	modelID            string
	twin               twin
	record             record
}

// entry copies an identity. hub.mu is held.
func (id *identity) entry() entry {
	return entry{
		id: id.id, device: id.device, module: id.module, keys: id.keys, proof: id.proof, disabled: id.disabled,
		connected: id.conn != nil, modelID: id.modelID, twin: id.twin, record: id.record,
	}
}

// entryOf finds an identity.
func (h *Hub) entryOf(id string) (entry, *fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	who, f := h.find(id)
	if f != nil {
		return entry{}, f
	}
	return who.entry(), nil
}

// find finds an identity, or says which part of the id nobody has. h.mu is
// held.
func (h *Hub) find(id string) (*identity, *fault) {
	if who := h.identities[id]; who != nil {
		return who, nil
	}
	if device, _, ok := strings.Cut(id, "/"); ok && h.identities[device] == nil {
		return nil, unknownID(device)
	}
	return nil, unknownID(id)
}

// entries are the identities that pass, in the order of their ids.
func (h *Hub) entries(pass func(*identity) bool) []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []entry
	for _, who := range h.identities {
		if pass(who) {
			all = append(all, who.entry())
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.id, b.id) })
	return all
}

// document is the twin as services see it.
func (e entry) document() map[string]any {
	doc := map[string]any{
		"deviceId":                  e.device,
		"etag":                      e.twin.etagText(),
		"deviceEtag":                e.record.etagText(),
		"status":                    e.status(),
		"statusReason":              textOrNull(e.record.reason),
		"statusUpdateTime":          serviceTime(e.record.statusAt),
		"connectionState":           e.connection(),
		"lastActivityTime":          serviceTime(e.record.online),
		"cloudToDeviceMessageCount": json.Number("0"),
		"authenticationType":        e.proof.kind.String(),
		"x509Thumbprint":            e.proof.document(),
		"modelId":                   e.modelID,
		"version":                   json.Number(strconv.FormatInt(e.twin.version, 10)),
		"tags":                      e.twin.tags,
		"properties": map[string]any{
			"desired":  e.twin.desired.service(true),
			"reported": e.twin.reported.service(false),
		},
		"capabilities": map[string]any{"iotEdge": e.record.iotEdge},
	}
	if e.module != "" {
		doc["moduleId"] = e.module
		delete(doc, "capabilities")
	}
	return doc
}

// service is a half with the hub's own members, as services see it.
func (s section) service(versions bool) map[string]any {
	doc := maps.Clone(s.doc)
	doc["$version"] = json.Number(strconv.FormatInt(s.version, 10))
	doc["$metadata"] = s.meta.tree(versions)
	return doc
}

// tree is $metadata; only desired tells versions.
func (s *stamp) tree(versions bool) map[string]any {
	out := map[string]any{"$lastUpdated": hubTime(s.at)}
	if versions && s.version > 0 {
		out["$lastUpdatedVersion"] = json.Number(strconv.FormatInt(s.version, 10))
	}
	for k, m := range s.members {
		out[k] = m.tree(versions)
	}
	return out
}

// identityDocument is the identity as the registry shows it: with its keys.
func (e entry) identityDocument() map[string]any {
	doc := map[string]any{
		"deviceId":                   e.device,
		"generationId":               e.record.generation,
		"etag":                       e.record.etagText(),
		"connectionState":            e.connection(),
		"connectionStateUpdatedTime": serviceTime(e.record.online),
		"lastActivityTime":           serviceTime(e.record.online),
		"cloudToDeviceMessageCount":  json.Number("0"),
		"authentication": map[string]any{
			"type":           e.proof.kind.String(),
			"symmetricKey":   map[string]any{"primaryKey": textOrNull(e.keys.text[0]), "secondaryKey": textOrNull(e.keys.text[1])},
			"x509Thumbprint": e.proof.document(),
		},
	}
	if e.module != "" {
		doc["moduleId"], doc["managedBy"] = e.module, textOrNull(e.record.managedBy)
		return doc
	}
	doc["status"], doc["statusReason"] = e.status(), textOrNull(e.record.reason)
	doc["statusUpdatedTime"] = serviceTime(e.record.statusAt)
	doc["capabilities"] = map[string]any{"iotEdge": e.record.iotEdge}
	return doc
}

func (e entry) status() string {
	if e.disabled {
		return "disabled"
	}
	return "enabled"
}

func (e entry) connection() string {
	if e.connected {
		return "Connected"
	}
	return "Disconnected"
}

// document is the thumbprints as services see them.
func (p proofRule) document() map[string]any {
	return map[string]any{"primaryThumbprint": textOrNull(p.thumbprints[0]), "secondaryThumbprint": textOrNull(p.thumbprints[1])}
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// serviceTime is a time outside of $metadata.
func serviceTime(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.UTC().Format(timeFormat)
}

package hubtest

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
)

// record is what the registry keeps of an identity beside its keys and twin.
type record struct {
	generation string    // another one for each identity that ever had the id
	etag       uint64    // counts the changes of the identity
	reason     string    // why it has its status
	statusAt   time.Time // when that changed last; zero for never
	stateAt    time.Time // when it came or went last, or zero for never
	active     time.Time // the last login or message, or zero for never
	managedBy  string    // modules
	iotEdge    bool
	scope      string // of an edge device: under which its children are
}

// firstETags bounds the number that an identity's etag counts from.
const firstETags = 1 << 30

// newRecord is that of an identity that is made now. The etag counts from
// anywhere, as it does in a real hub. h.mu is held.
func (h *Hub) newRecord(now time.Time) record {
	h.generation = max(h.generation+1, ticks(now))
	return record{generation: strconv.FormatInt(h.generation, 10), etag: 1 + rand.Uint64N(firstETags)}
}

// ticks is a time as .NET counts: in 100 ns since the year 1.
func ticks(t time.Time) int64 {
	const unix = 621355968000000000
	return unix + t.Unix()*1e7 + int64(t.Nanosecond())/100
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
	twin               section.Twin
	record             record
}

// entry copies an identity. hub.mu is held.
func (id *identity) entry() entry {
	return entry{
		id: id.id, device: id.device, module: id.module, keys: id.keys, proof: id.proof, disabled: id.disabled,
		connected: id.conn != nil, modelID: strings.ToValidUTF8(id.modelID, "\uFFFD"), twin: id.twin, record: id.record,
	}
}

// entryOf finds an identity.
func (h *Hub) entryOf(id string) (entry, *fault.Fault) {
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
func (h *Hub) find(id string) (*identity, *fault.Fault) {
	if who := h.identities[id]; who != nil {
		return who, nil
	}
	if device, _, ok := strings.Cut(id, "/"); ok && h.identities[device] == nil {
		return nil, fault.UnknownID(device)
	}
	return nil, fault.UnknownID(id)
}

// entries are the identities that pass, in the order of their ids.
func (h *Hub) entries(pass func(*identity) bool) []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entriesLocked(pass)
}

// entriesLocked is entries with h.mu held.
func (h *Hub) entriesLocked(pass func(*identity) bool) []entry {
	var all []entry
	for _, who := range h.identities {
		if pass(who) {
			all = append(all, who.entry())
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.id, b.id) })
	return all
}

// The documents that services get. Their members come in the order of recorded
// answers of real hubs.

// newNames is the first api-version whose twins have statusReason and modelId.
const newNames = "2020-05-31"

// document is the twin as services see it under an api-version.
func (e entry) document(version string) *jsondoc.Object {
	doc := jsondoc.New("deviceId", e.device)
	if e.module != "" {
		doc.Set("moduleId", e.module)
	}
	doc.Set("etag", e.twin.ETagText())
	doc.Set("deviceEtag", e.record.etagText())
	doc.Set("status", e.status())
	if version >= newNames {
		doc.Set("statusReason", textOrNull(e.record.reason))
	}
	doc.Set("statusUpdateTime", section.Time(e.record.statusAt))
	doc.Set("connectionState", e.connection())
	doc.Set("lastActivityTime", section.Time(e.record.active))
	doc.Set("cloudToDeviceMessageCount", json.Number("0"))
	doc.Set("authenticationType", e.proof.kind.String())
	doc.Set("x509Thumbprint", e.proof.document())
	if version >= newNames {
		doc.Set("modelId", e.modelID)
	}
	doc.Set("version", jsondoc.Int(e.twin.Version))
	if e.twin.Tags.Len() > 0 {
		doc.Set("tags", e.twin.Tags)
	}
	doc.Set("properties", jsondoc.New("desired", e.twin.Desired.Document(true), "reported", e.twin.Reported.Document(false)))
	if e.module == "" {
		doc.Set("capabilities", jsondoc.New("iotEdge", e.record.iotEdge))
	}
	if e.record.scope != "" {
		doc.Set("deviceScope", e.record.scope)
	}
	return doc
}

// row is the twin as a query returns it: a module's has capabilities, too.
func (e entry) row(version string) *jsondoc.Object {
	doc := e.document(version)
	doc.Set("capabilities", jsondoc.New("iotEdge", e.record.iotEdge))
	return doc
}

// identityDocument is the identity as the registry shows it: with its keys.
// The answer to its creation prints what never was without a zone.
func (e entry) identityDocument(created bool) *jsondoc.Object {
	at := func(t time.Time) string {
		if created && t.IsZero() {
			return "0001-01-01T00:00:00"
		}
		return section.Time(t)
	}
	doc := &jsondoc.Object{}
	if e.module != "" {
		doc.Set("moduleId", e.module)
		doc.Set("managedBy", textOrNull(e.record.managedBy))
	}
	doc.Set("deviceId", e.device)
	doc.Set("generationId", e.record.generation)
	doc.Set("etag", e.record.etagText())
	doc.Set("connectionState", e.connection())
	if e.module == "" {
		doc.Set("status", e.status())
		doc.Set("statusReason", textOrNull(e.record.reason))
	}
	doc.Set("connectionStateUpdatedTime", at(e.record.stateAt))
	if e.module == "" {
		doc.Set("statusUpdatedTime", at(e.record.statusAt))
	}
	doc.Set("lastActivityTime", at(e.record.active))
	doc.Set("cloudToDeviceMessageCount", json.Number("0"))
	doc.Set("authentication", jsondoc.New(
		"symmetricKey", jsondoc.New("primaryKey", textOrNull(e.keys.text[0]), "secondaryKey", textOrNull(e.keys.text[1])),
		"x509Thumbprint", e.proof.document(),
		"type", e.proof.kind.String(),
	))
	if e.module == "" {
		doc.Set("capabilities", jsondoc.New("iotEdge", e.record.iotEdge))
	}
	if e.record.scope != "" {
		doc.Set("deviceScope", e.record.scope)
	}
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
func (p proofRule) document() *jsondoc.Object {
	return jsondoc.New("primaryThumbprint", textOrNull(p.thumbprints[0]), "secondaryThumbprint", textOrNull(p.thumbprints[1]))
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

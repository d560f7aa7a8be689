package hubtest

import (
	"encoding/json"
	"strconv"
	"time"
)

// The documents that services get. Their members come in the order of recorded
// answers of real hubs.

// newNames is the first api-version whose twins have statusReason and modelId.
const newNames = "2020-05-31"

// document is the twin as services see it under an api-version.
func (e entry) document(version string) *members {
	doc := newMembers("deviceId", e.device)
	if e.module != "" {
		doc.set("moduleId", e.module)
	}
	doc.set("etag", e.twin.etagText())
	doc.set("deviceEtag", e.record.etagText())
	doc.set("status", e.status())
	if version >= newNames {
		doc.set("statusReason", textOrNull(e.record.reason))
	}
	doc.set("statusUpdateTime", hubTime(e.record.statusAt))
	doc.set("connectionState", e.connection())
	doc.set("lastActivityTime", hubTime(e.record.active))
	doc.set("cloudToDeviceMessageCount", json.Number("0"))
	doc.set("authenticationType", e.proof.kind.String())
	doc.set("x509Thumbprint", e.proof.document())
	if version >= newNames {
		doc.set("modelId", e.modelID)
	}
	doc.set("version", jsonInt(e.twin.version))
	if e.twin.tags.len() > 0 {
		doc.set("tags", e.twin.tags)
	}
	doc.set("properties", newMembers("desired", e.twin.desired.document(true), "reported", e.twin.reported.document(false)))
	if e.module == "" {
		doc.set("capabilities", newMembers("iotEdge", e.record.iotEdge))
	}
	if e.record.scope != "" {
		doc.set("deviceScope", e.record.scope)
	}
	return doc
}

// row is the twin as a query returns it: a module's has capabilities, too.
func (e entry) row(version string) *members {
	doc := e.document(version)
	doc.set("capabilities", newMembers("iotEdge", e.record.iotEdge))
	return doc
}

// document is a half with the hub's own members.
func (s section) document(versions bool) *members {
	doc := s.doc.without()
	doc.set("$metadata", s.meta.tree(s.doc, versions))
	doc.set("$version", jsonInt(s.version))
	return doc
}

// identityDocument is the identity as the registry shows it: with its keys.
// The answer to its creation prints what never was without a zone.
func (e entry) identityDocument(created bool) *members {
	at := func(t time.Time) string {
		if created && t.IsZero() {
			return "0001-01-01T00:00:00"
		}
		return hubTime(t)
	}
	doc := &members{}
	if e.module != "" {
		doc.set("moduleId", e.module)
		doc.set("managedBy", textOrNull(e.record.managedBy))
	}
	doc.set("deviceId", e.device)
	doc.set("generationId", e.record.generation)
	doc.set("etag", e.record.etagText())
	doc.set("connectionState", e.connection())
	if e.module == "" {
		doc.set("status", e.status())
		doc.set("statusReason", textOrNull(e.record.reason))
	}
	doc.set("connectionStateUpdatedTime", at(e.record.stateAt))
	if e.module == "" {
		doc.set("statusUpdatedTime", at(e.record.statusAt))
	}
	doc.set("lastActivityTime", at(e.record.active))
	doc.set("cloudToDeviceMessageCount", json.Number("0"))
	doc.set("authentication", newMembers(
		"symmetricKey", newMembers("primaryKey", textOrNull(e.keys.text[0]), "secondaryKey", textOrNull(e.keys.text[1])),
		"x509Thumbprint", e.proof.document(),
		"type", e.proof.kind.String(),
	))
	if e.module == "" {
		doc.set("capabilities", newMembers("iotEdge", e.record.iotEdge))
	}
	if e.record.scope != "" {
		doc.set("deviceScope", e.record.scope)
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
func (p proofRule) document() *members {
	return newMembers("primaryThumbprint", textOrNull(p.thumbprints[0]), "secondaryThumbprint", textOrNull(p.thumbprints[1]))
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func jsonInt(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

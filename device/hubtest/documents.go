package hubtest

import (
	"encoding/json"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
)

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

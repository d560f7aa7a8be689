package device_test

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// FuzzJournal makes a client of whatever a store holds: what cannot be read is
// passed over.
func FuzzJournal(f *testing.F) {
	for snapshot, record := range map[string]string{
		`{"n":3,"based":true,"wanted":{"a":1},"unsent":[{"a":1}]}`:                                                    `{"w":{"a":{"y":2}},"g":{"a":null},"c":4}`,
		`{"n":2,"based":false,"unsent":[null,{"fan":{"rpm":7}}]}`:                                                     `{"w":{"fan":{"rpm":7}},"g":null}`,
		`{"unsent":[{"a":null},{"a":{"b":1}}]}`:                                                                       `{"g":{"":null},"m":{"":{"x":1}}}`,
		`{"heard":[{"n":"x","p":"a","i":1,"v":1,"j":{"v":[null]}}]}`:                                                  `{"h":{"n":"x","p":"a","i":2,"v":1,"d":{"v":{"b":null}}}}`,
		`{"heard":[{"n":"x","p":"a","i":4,"v":1,"s":true,"d":{}}],"desired":{"i":7,"v":3,"j":{"a":{"$b":1,"c":[]}}}}`: `{"d":{"i":8,"v":4,"d":{"a":null}}}`,
		`{"desired":{"i":7,"v":3,"j":{"a":{"b":1}}}}`:                                                                 `{"f":"x"}`,
		`{`:  `{"w":null,"g":7}`,
		`{}`: `{"g":null}`,
	} {
		f.Add([]byte(snapshot), []byte(record))
	}
	f.Fuzz(func(t *testing.T, snapshot, record []byte) {
		st := &memStore{snapshot: snapshot, records: [][]byte{record}}
		c := device.New(auth.Identity{Host: "hub.example", DeviceID: "dev1"}, nil, mqtt.Dialer{}, &device.Options{Store: st})
		_ = c.ReportLater(t.Context(), twin.Set("a", 1)) // claims the store
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

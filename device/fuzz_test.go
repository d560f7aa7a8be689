package device_test

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// FuzzJournal makes a client of whatever a store holds: what cannot be read is
// passed over.
func FuzzJournal(f *testing.F) {
	for snapshot, record := range map[string]string{
		`{"n":3,"based":true,"wanted":{"a":1},"unsent":[{"a":1}]}`: `{"w":{"a":{"y":2}},"g":{"a":null},"c":4}`,
		`{"n":2,"based":false,"unsent":[null,{"fan":{"rpm":7}}]}`:  `{"w":{"fan":{"rpm":7}},"g":null}`,
		`{"unsent":[{"a":null},{"a":{"b":1}}]}`:                    `{"g":{"":null},"m":{"":{"x":1}}}`,
		`{"heard":[{"p":"a","v":1,"j":[null]}]}`:                   `{"h":{"p":"a","v":1,"j":{"b":null}}}`,
		`{`:                                                        `{"w":null,"g":7}`,
		`{}`:                                                       `{"g":null}`,
	} {
		f.Add([]byte(snapshot), []byte(record))
	}
	f.Fuzz(func(t *testing.T, snapshot, record []byte) {
		st := &memStore{snapshot: snapshot, records: [][]byte{record}}
		c := device.New(auth.Identity{Host: "hub.example", DeviceID: "dev1"}, nil, mqtt.Dialer{}, &device.Options{Store: st})
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

package query

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// TestColumns selects parts of three twins, and counts them in groups.
func TestColumns(t *testing.T) {
	var rows []*jsondoc.Object
	for _, text := range []string{
		`{"deviceId":"a","tags":{"plant":"x","n":1,"o":{"p":1,"q":2}},"properties":{"reported":{"rpm":900,"off":null}}}`,
		`{"deviceId":"b","tags":{"plant":"y","n":1.0,"o":{"q":2,"p":1}}}`,
		`{"deviceId":"c","tags":{"plant":"x","n":"1"}}`,
	} {
		row, err := jsondoc.ParseObject([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	for _, tt := range []struct{ query, want string }{
		{"SELECT deviceId FROM devices", `[{"deviceId":"a"},{"deviceId":"b"},{"deviceId":"c"}]`},
		{"select DEVICEID as id, properties.reported.rpm AS y from devices", `[{"id":"a","y":900},{"id":"b"},{"id":"c"}]`},
		{"SELECT properties.reported.off, [[tags]].[[plant]] AS [[order]] FROM devices WHERE deviceId != 'b'", `[{"off":null,"order":"x"},{"order":"x"}]`},
		{"SELECT tags.o FROM devices WHERE is_defined(tags.o)", `[{"o":{"p":1,"q":2}},{"o":{"q":2,"p":1}}]`},
		{"SELECT COUNT() AS n FROM devices", `[{"n":3}]`},
		{"SELECT count() AS n FROM devices WHERE false", `[{"n":0}]`},
		{"SELECT COUNT() AS n, tags.plant AS plant FROM devices GROUP BY tags.plant", `[{"n":2,"plant":"x"},{"n":1,"plant":"y"}]`},
		{"SELECT tags.n, COUNT() AS n2 FROM devices GROUP BY Tags.n", `[{"n":1,"n2":2},{"n":"1","n2":1}]`},
		{"SELECT tags.o, COUNT() AS n FROM devices GROUP BY tags.o", `[{"o":{"p":1,"q":2},"n":2},{"n":1}]`},
		{"SELECT tags.plant FROM devices GROUP BY tags.plant, tags.n", `[{"plant":"x"},{"plant":"y"},{"plant":"x"}]`},
		{"SELECT COUNT() AS n FROM devices WHERE false GROUP BY tags.plant", `[]`},
	} {
		q, f := Parse(tt.query)
		if f != nil {
			t.Errorf("%s: %s", tt.query, f.Text)
			continue
		}
		var kept []*jsondoc.Object
		for _, row := range rows {
			if q.Keeps(row) {
				kept = append(kept, row)
			}
		}
		out := []any{}
		if q.Grouped() {
			kept = q.Groups(kept)
		} else {
			for i, row := range kept {
				kept[i] = q.Row(row)
			}
		}
		for _, row := range kept {
			out = append(out, row)
		}
		if got := string(jsondoc.Append(nil, out)); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.query, got, tt.want)
		}
	}
}

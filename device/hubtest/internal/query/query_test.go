package query

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// The evaluation table: what two values are to one another. Whatever is not
// listed is undefined.
func TestCompare(t *testing.T) {
	num := func(s string) any { return json.Number(s) }
	obj, list := map[string]any{"a": nil}, []any{num("1")}
	ops := []string{"=", "!=", "<", "<=", ">", ">="}
	tests := []struct {
		name string
		x, y any
		want string // of ops: T, F, or u for undefined
	}{
		{"equal numbers", num("1"), num("1.0"), "TFFTFT"},
		{"numbers in order", num("-2"), num("1e1"), "FTTTFF"},
		{"numbers by value, not by text", num("10"), num("9"), "FTFFTT"},
		{"equal strings", "a", "a", "TFFTFT"},
		{"strings by their bytes", "Z", "a", "FTTTFF"},
		{"strings with case", "a", "A", "FTFFTT"},
		{"equal bools", true, true, "TFuuuu"},
		{"other bools", true, false, "FTuuuu"},
		{"nulls", nil, nil, "TFuuuu"},
		{"null and a number", nil, num("0"), "uuuuuu"},
		{"null and false", nil, false, "uuuuuu"},
		{"number and string", num("1"), "1", "uuuuuu"},
		{"string and bool", "true", true, "uuuuuu"},
		{"undefined and a number", jsondoc.Absent{}, num("1"), "uuuuuu"},
		{"undefined twice", jsondoc.Absent{}, jsondoc.Absent{}, "uuuuuu"},
		{"null and undefined", nil, jsondoc.Absent{}, "uuuuuu"},
		{"objects", obj, obj, "uuuuuu"},
		{"arrays", list, list, "uuuuuu"},
		{"object and string", obj, "a", "uuuuuu"},
	}
	for _, test := range tests {
		for swapped, pair := range [][2]any{{test.x, test.y}, {test.y, test.x}} {
			got := ""
			for _, op := range ops {
				got += mark(compare(pair[0], op, pair[1]))
			}
			want := test.want
			if swapped == 1 { // < and > change places
				b := []byte(want)
				b[2], b[3], b[4], b[5] = b[4], b[5], b[2], b[3]
				want = string(b)
			}
			if got != want {
				t.Errorf("%s, swapped %d: got %s, want %s", test.name, swapped, got, want)
			}
		}
		if got, want := compare(test.x, "<>", test.y), compare(test.x, "!=", test.y); got != want {
			t.Errorf("%s: <> is %v and != is %v", test.name, got, want)
		}
	}
}

func mark(v any) string {
	switch v {
	case true:
		return "T"
	case false:
		return "F"
	}
	return "u"
}

// Conditions over one row, with their three outcomes.
func TestConditions(t *testing.T) {
	row, err := jsondoc.ParseObject([]byte(`{"deviceId":"dev1","lastActivityTime":"2024-05-08T18:54:31Z","tags":{"location":{"plant":"Redmond43"},"Floor":3,
		"flag":true,"none":null,"odd-name":1,"a.b":2,"list":[1],"quote":"it's \"so\"","Tür":1,"2nd":2},
		"properties":{"desired":{"$version":4},"reported":{"connectivity":{"type":"cellular"},"battery":19.5,"$version":5}}}`))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ where, want string }{
		{"tags.location.plant = 'Redmond43' AND properties.reported.connectivity.type = 'cellular'", "T"},
		{`tags.location.plant = "Redmond43"`, "T"},
		{"deviceId = 'dev1'", "T"}, {"DEVICEID = 'dev1'", "T"}, {"DeviceId = 'DEV1'", "F"},
		{"Tags.Floor = 3", "T"}, {"tags.floor = 3", "u"}, {"properties.Reported.battery > 1", "u"},
		{"LastActivityTime >= '2024-01-01'", "T"},
		{"properties.reported.battery < 20", "T"}, {"20 > properties.reported.battery", "T"}, {"properties.desired.$version = 0x4", "T"},
		{"properties.reported.$version = 5", "T"},
		{"tags.flag", "T"}, {"NOT tags.flag", "F"}, {"tags.Floor", "u"}, {"NOT tags.Floor", "u"}, {"tags.flag = true", "T"},
		{"tags.none = null", "T"}, {"tags.none != null", "F"}, {"tags.gone = null", "u"}, {"tags.gone = undefined", "u"},
		{"tags.location = 'x'", "u"}, {"tags.list = 1", "u"}, {"tags.location.plant.deeper = 1", "u"},
		{"is_defined(tags.none)", "T"}, {"IS_DEFINED(tags.gone)", "F"}, {"NOT is_defined(tags.gone)", "T"}, {"is_defined(tags.location)", "T"},
		{"tags.Floor = 3 OR tags.gone = 1", "T"}, {"tags.gone = 1 OR tags.Floor = 3", "T"}, {"tags.Floor = 4 OR tags.gone = 1", "u"},
		{"tags.Floor = 4 AND tags.gone = 1", "F"}, {"tags.gone = 1 AND tags.Floor = 4", "F"}, {"tags.Floor = 3 AND tags.gone = 1", "u"},
		{"NOT (tags.gone = 1)", "u"}, {"NOT NOT tags.flag", "T"},
		// AND binds closer than OR, NOT closer than both.
		{"true OR true AND false", "T"}, {"(true OR true) AND false", "F"}, {"NOT false OR true", "T"}, {"NOT false AND false", "F"}, {"not (true and false)", "T"},
		{"(tags.Floor) = 3", "T"}, {"((tags.Floor = 3))", "T"}, {"(tags.Floor = 3) = true", "T"},
		{"properties.reported.connectivity.type IN ['wired','cellular']", "T"}, {"deviceId IN ['a']", "F"}, {"deviceId NIN ['a', 1, null]", "T"},
		{"deviceId not in ['dev1']", "F"}, {"tags.Floor in [3.0]", "T"}, {"tags.gone IN [1]", "u"}, {"tags.gone NIN [1]", "u"}, {"tags.list IN [1]", "u"},
		{"tags.[[odd-name]] = 1", "T"}, {"tags.[[a.b]] = 2", "T"}, {"tags.Tür = 1", "T"}, {"tags.2nd = 2", "T"},
		{`tags.quote = 'it\'s "so"'`, "T"}, {`tags.quote = "it's \"so\""`, "T"}, {`'\u0041' = 'A'`, "T"}, {`'\\' = "\\"`, "T"},
		{`'\uD83D\uDE00' = '😀'`, "T"}, {`'a\ud83d\ude00b' = 'a😀b'`, "T"}, {`'\uD83D' = '\uFFFD'`, "T"}, {`'\uDE00\uD83D' = '\uFFFD\uFFFD'`, "T"},
		{`'\uD83Dx' = '\uFFFDx'`, "T"}, {`'\uD83D\u0041' = '\uFFFDA'`, "T"}, {`'\uD83D\'' = "\uFFFD'"`, "T"}, {`'\uD83D\uD83D\uDE00' = '\uFFFD😀'`, "T"},
		{"tags.[[group]].[[Order]] = 1", "u"}, {"[[tags]].Floor = 3", "T"}, {"is_defined(tags.[[group]])", "F"},
		{"-1.5e3 < -1", "T"}, {"tags.Floor<>3", "F"}, {"tags.Floor\t>=\n3", "T"},
	}
	for _, test := range tests {
		q, f := Parse("SELECT * FROM devices WHERE " + test.where)
		if f != nil {
			t.Errorf("%s: %s", test.where, f.Text)
			continue
		}
		if got := mark(q.where.eval(row)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.where, got, test.want)
		}
		if got := q.Keeps(row); got != (test.want == "T") {
			t.Errorf("%s: keeps is %v", test.where, got)
		}
	}
}

func TestQuerySyntax(t *testing.T) {
	for _, good := range []string{
		"SELECT * FROM devices", "select*from devices", " SELECT\n*\tFROM Devices ", "SELECT * FROM devices.modules WHERE moduleId = 'm'",
		"SELECT * FROM devices WHERE a = '" + strings.Repeat("😀", 4096-17) + "'", "SELECT * FROM devices WHERE a = '" + strings.Repeat("é", 8192-34) + "'",
		"SELECT * FROM devices WHERE " + strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100),
	} {
		if _, f := Parse(good); f != nil {
			t.Errorf("%s: %s", good, f.Text)
		}
	}
	tests := []struct{ query, want string }{
		{"", "expected SELECT, got the end"},
		{"SELECT", "expected *, a path or COUNT(), got the end"},
		{"SELECT deviceId, FROM devices", "expected *, a path or COUNT()"},
		{"SELECT deviceId, * FROM devices", "expected *, a path or COUNT()"},
		{"SELECT *, deviceId FROM devices", "expected FROM"},
		{"SELECT deviceId x FROM devices", "expected FROM"},
		{"SELECT deviceId AS a.b FROM devices", "expected a name"},
		{"SELECT deviceId AS 1 FROM devices", "expected a name"},
		{"SELECT deviceId AS count FROM devices", "expected a name"},
		{"SELECT tags.a, properties.reported.a FROM devices", `two columns "a"`},
		{"SELECT COUNT() FROM devices", "does not support COUNT() without AS"},
		{"SELECT COUNT(deviceId) AS n FROM devices", "expected )"},
		{"SELECT SUM(tags.a) AS n FROM devices", "does not support the function SUM"},
		{"SELECT deviceId, COUNT() AS n FROM devices", `column "deviceId" is not in GROUP BY`},
		{"SELECT tags.a, COUNT() AS n FROM devices GROUP BY tags.A", `column "a" is not in GROUP BY`},
		{"SELECT tags.a FROM devices GROUP tags.a", "expected BY"},
		{"SELECT tags.a FROM devices GROUP BY", "expected a path"},
		{"SELECT tags.a FROM devices GROUP BY tags.a WHERE true", "expected the end"},
		{"SELECT TOP 10 * FROM devices", "does not support TOP"},
		{"SELECT * WHERE", "offset 9: expected FROM"},
		{"SELECT * FROM jobs", "there is no collection"},
		{"SELECT * FROM devices.jobs", "does not support jobs"},
		{"SELECT * FROM devices GROUP BY tags.a", "no GROUP BY with SELECT *"},
		{"SELECT * FROM devices ORDER BY tags.a", "does not support ORDER BY"},
		{"SELECT * FROM devices; DROP", "has no meaning here"},
		{"SELECT * FROM devices x", "expected the end"},
		{"SELECT * FROM devices WHERE", "expected a value, got the end"},
		{"SELECT * FROM devices WHERE STARTSWITH(deviceId,'a')", "does not support the function STARTSWITH"},
		{"SELECT * FROM devices WHERE a =", "expected a value"},
		{"SELECT * FROM devices WHERE a = = 1", "expected a value"},
		{"SELECT * FROM devices WHERE a = 1 AND", "expected a value"},
		{"SELECT * FROM devices WHERE a = 1 1", "expected the end"},
		{"SELECT * FROM devices WHERE (a = 1", "expected )"},
		{"SELECT * FROM devices WHERE ()", "expected a value"},
		{"SELECT * FROM devices WHERE a. = 1", "a name is missing"},
		{"SELECT * FROM devices WHERE a[0] = 1", "expected the end"},
		{"SELECT * FROM devices WHERE [[a = 1", "is not closed"},
		{"SELECT * FROM devices WHERE a = 'x", "is not closed"},
		{`SELECT * FROM devices WHERE a = '\x'`, "unknown escape"},
		{`SELECT * FROM devices WHERE a = '\u00g0'`, "unknown escape"},
		{`SELECT * FROM devices WHERE a = '\`, "unknown escape"},
		{`SELECT * FROM devices WHERE a = '\uD83`, "unknown escape"},
		{`SELECT * FROM devices WHERE a = '\uD83D\uDE0`, "unknown escape"},
		{"SELECT * FROM devices WHERE tags.group.region = 'US'", `"group" is a keyword; as a name write [[group]]`},
		{"SELECT * FROM devices WHERE is_defined(tags.GROUP)", `"GROUP" is a keyword`},
		{"SELECT * FROM devices WHERE is_defined(group)", "expected a path"},
		{"SELECT * FROM devices WHERE properties.desired.order = 1", `"order" is a keyword`},
		{"SELECT * FROM devices WHERE tags.a.null = 1", `"null" is a keyword`},
		{"SELECT * FROM devices WHERE top = 1", "expected a value"},
		{"SELECT * FROM devices WHERE devices.deviceId = 'a'", `"devices" is a keyword`},
		{"SELECT * FROM devices WHERE a = 01", "is no number"},
		{"SELECT * FROM devices WHERE a = 1x", "is no number"},
		{"SELECT * FROM devices WHERE a = 0xg", "is no number"},
		{"SELECT * FROM devices WHERE a = 1e999", "is no double"},
		{"SELECT * FROM devices WHERE a IN []", "expected a literal"},
		{"SELECT * FROM devices WHERE a IN [1", "expected ,"},
		{"SELECT * FROM devices WHERE a IN (1)", "expected ["},
		{"SELECT * FROM devices WHERE a IN [b]", "expected a literal"},
		{"SELECT * FROM devices WHERE is_defined(1)", "expected a path"},
		{"SELECT * FROM devices WHERE is_defined(a", "expected )"},
		{"SELECT * FROM devices WHERE a + 1 = 2", "has no meaning here"},
		{"SELECT * FROM devices WHERE a\xff", "not UTF-8"},
		{"SELECT * FROM devices WHERE " + strings.Repeat("(", 101), "nests deeper"},
		{"SELECT * FROM devices WHERE " + strings.Repeat("NOT ", 101) + "a", "nests deeper"},
		{strings.Repeat(" ", 8193), "more than 8192"},
		{"SELECT * FROM devices WHERE a = '" + strings.Repeat("😀", 4096-16) + "'", "more than 8192"}, // two of .NET's characters each
	}
	for _, test := range tests {
		if _, f := Parse(test.query); f == nil || !strings.Contains(f.Text, test.want) || f.Status() != 400 {
			t.Errorf("%.80q: got %+v, want 400 with %q", test.query, f, test.want)
		}
	}
}

// FuzzQuery: any text is a query or a fault of 400, and what is a query says
// the same of a twin each time.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"SELECT * FROM devices WHERE tags.location.plant = 'Redmond43' AND properties.reported.connectivity.type = 'cellular'",
		"select * from devices.modules where not (a.[[b]] in [1,-2.5e3,null,true,'x']) or is_defined(c)", `SELECT * FROM devices WHERE "\u0041\\" <> 0x1F`, "SELECT * FROM devices WHERE ((((a", "SELECT",
		"SELECT deviceId, tags.[[location]].plant AS p FROM devices", "SELECT version, COUNT() AS n FROM devices GROUP BY VERSION, tags",
	} {
		f.Add(s)
	}
	row, err := jsondoc.ParseObject([]byte(`{"deviceId":"dev1","version":2,"tags":{"location":{"plant":"Redmond43"}},"properties":{"reported":{"$version":1}}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, bad := Parse(text)
		if bad != nil {
			if bad.Status() != 400 || bad.Text == "" {
				t.Errorf("%q: got %+v, want a 400 that says why", text, bad)
			}
			return
		}
		for _, r := range []*jsondoc.Object{q.Row(row), q.Groups([]*jsondoc.Object{row, row})[0]} {
			if r == nil {
				t.Errorf("%q: there is no row", text)
			}
		}
		if again, _ := Parse(text); q.Keeps(row) != again.Keeps(row) {
			t.Errorf("%q: it keeps a row, and does not", text)
		}
	})
}

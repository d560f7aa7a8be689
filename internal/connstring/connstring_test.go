package connstring_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/connstring"
)

// hostile are values that mean something to a reader of connection strings, or
// to a person's eye.
func hostile() []string {
	return []string{
		"dev1", "a;b", ";", "a;", ";a", "dev1;GatewayHostName=evil.example", "dev1;x=1", "a=b", "=", "==", "a=;b", "a;=b",
		" a", "a ", "a b", `"a"`, "'a;b'", "%3B", "a%3Bb", "a\nb", "a\r", "a\tb", "\ufeffa", "a\u00a0", "a\u200bb", "a\x00b", "a\xffb", "ä",
		"HostName=h", "x509=true", strings.Repeat("x", connstring.MaxLen),
	}
}

// TestRoundTrip holds the law: what is written is read as the same, or nothing
// is written.
func TestRoundTrip(t *testing.T) {
	for _, name := range []string{connstring.HostName, connstring.DeviceID, connstring.ModuleID, connstring.GatewayHostName,
		connstring.SharedAccessKey, connstring.SharedAccessKeyName, connstring.SharedAccessSignature, connstring.X509} {
		for _, value := range hostile() {
			for _, last := range []string{"", "AAAA", "AA=="} {
				roundTrip(t, connstring.Field{Name: name, Value: value}, last)
			}
		}
	}
}

func roundTrip(t *testing.T, f connstring.Field, last string) {
	t.Helper()
	other := connstring.SharedAccessKey
	if f.Name == other {
		other = connstring.DeviceID
	}
	s, err := connstring.Format(f, connstring.Field{Name: other, Value: last})
	if err != nil {
		if s != "" || len(f.Value) > 4 && strings.Contains(err.Error(), f.Value) {
			t.Errorf("%q: the error quotes the value, or comes with a string (%q): %v", f, s, err)
		}
		return
	}
	want := connstring.Fields{}
	for k, v := range map[string]string{f.Name: f.Value, other: last} {
		if v != "" {
			want[k] = v
		}
	}
	if got, err := connstring.Parse(s); err != nil || !maps.Equal(got, want) {
		t.Errorf("%q of %q, %q is read as %q, %v", s, f, last, got, err)
	}
}

// TestFormatRefuses names the field that cannot be written, and says why.
func TestFormatRefuses(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{"a;b", "DeviceId holds ';' at byte 1"},
		{"dev1;GatewayHostName=evil.example", "DeviceId holds ';' at byte 4"},
		{"a\nb", "line break"},
		{"a\u200b", "invisible"},
		{" a", "begins or ends"},
		{strings.Repeat("x", connstring.MaxLen), "are read"},
	} {
		s, err := connstring.Format(connstring.Field{Name: connstring.DeviceID, Value: tt.value})
		if err == nil || s != "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: got %.40q, %v; want an error with %q", tt.value, s, err, tt.want)
		}
	}
	for _, fields := range [][]connstring.Field{{}, {{Name: "Odd", Value: "x"}}, {{Name: "deviceid", Value: "x"}}, {{Name: "DeviceId", Value: "x"}, {Name: "DeviceId", Value: "x"}}} {
		if s, err := connstring.Format(fields...); err == nil {
			t.Errorf("%v is written as %q", fields, s)
		}
	}
}

// FuzzRoundTrip holds the law for any value, and that what Parse takes can be
// written again and read as the same.
func FuzzRoundTrip(f *testing.F) {
	for _, v := range hostile()[:len(hostile())-1] {
		f.Add(v, "AA==")
	}
	f.Fuzz(func(t *testing.T, value, last string) {
		roundTrip(t, connstring.Field{Name: connstring.DeviceID, Value: value}, last)
		fields, err := connstring.Parse(value)
		if err != nil {
			return
		}
		var all []connstring.Field
		for k, v := range fields {
			all = append(all, connstring.Field{Name: k, Value: v})
		}
		if s, err := connstring.Format(all...); err == nil {
			if again, err := connstring.Parse(s); err != nil || !maps.Equal(again, fields) {
				t.Fatalf("%q is read as %q, written as %q, and read as %q, %v", value, fields, s, again, err)
			}
		}
	})
}

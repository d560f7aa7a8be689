package twin

import (
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

// TestSizeVectors holds the vectors SZ-1 to SZ-8 of the protocol reference,
// 14.4.
func TestSizeVectors(t *testing.T) {
	tests := []struct {
		name, text string
		want       tree.Size
	}{
		{"SZ-1", `{}`, sizeOf(0, 0, 0)},
		{"SZ-2", `{"a":1}`, sizeOf(9, 9, 9)},
		{"SZ-3", `{"telemetryConfig":{"sendFrequency":"5m"}}`, sizeOf(30, 30, 30)},
		{"SZ-4", `{"telemetryConfig":{"sendFrequency":"5m"},"batteryLevel":55,"on":true}`, sizeOf(56, 56, 56)},
		{"SZ-5", `{"on":true,"name":"é€😀","n":null,"arr":[1,"xy",false]}`, sizeOf(37, 31, 32)},
		{"SZ-6", `{"s":"a\u0001b\u0085c"}`, sizeOf(4, 4, 4)},
		{"SZ-7", `{"a":1,"$version":12,"$metadata":{"$lastUpdated":"x"}}`, sizeOf(9, 9, 9)},
		{"SZ-8", `{"温度":21.5}`, sizeOf(14, 10, 10)},
		{"DEL counts", `{"a":"\u007f"}`, sizeOf(2, 2, 2)},
		{"controls in keys", `{"\u0000\u0080é":0}`, sizeOf(10, 9, 9)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// A patch keeps its nulls, so the null of SZ-5 is counted too.
			if got := change(t, tt.text).root.Size(); got != tt.want {
				t.Errorf("as a patch: got %v, want %v", got, tt.want)
			}
		})
	}
	p := half(t, `{"on":true,"name":"é€😀","n":null,"arr":[1,"xy",false]}`)
	if got, want := p.sizes(), (tree.Size{Bytes: 36, Runes: 30, UTF16: 31}); got != want {
		t.Errorf("SZ-5 without its null: got %v, want %v", got, want)
	}
	if got := (Properties{}).Size(); got != 0 {
		t.Errorf("of nothing: got %v, want zeros", got)
	}
}

// TestSizeIsKept checks the sums along a life of many patches.
func TestSizeIsKept(t *testing.T) {
	d := newDice(t)
	var p Properties
	for range 500 {
		patch := change(t, d.object(4, true))
		p = Apply(p, patch)
		if got, want := p.sizes(), tree.Size(treetest.PlainSize(treetest.PlainOf(t, p.String()))); got != want {
			t.Fatalf("after %v: got %v, want %v", patch, got, want)
		}
	}
	treetest.Sound(t, p.root)
}

func TestTextSize(t *testing.T) {
	long := strings.Repeat("x", 5000)
	if got, want := tree.TextSize(long+"€"), (tree.Size{Bytes: 5003, Runes: 5001, UTF16: 5001}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func sizeOf(bytes, runes, utf16 int) tree.Size {
	return tree.Size{Bytes: bytes, Runes: runes, UTF16: utf16}
}

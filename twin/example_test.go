package twin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/devicetwin/devicetwin-go/twin"
)

func ExampleSet() {
	p := twin.Set("climate.temperature", 21.5).Set("climate.mode", "auto").Delete("lastError")
	fmt.Println(p)
	// Output: {"climate":{"mode":"auto","temperature":21.5},"lastError":null}
}

func ExampleDelete() {
	fmt.Println(twin.Delete("climate.override"))
	// Output: {"climate":{"override":null}}
}

// Replace takes away what Set leaves.
func ExampleReplace() {
	before := half(`{"fan":{"rpm":1200,"fault":"worn"},"$version":4}`)
	fan := map[string]any{"rpm": 900}
	fmt.Println(twin.Apply(before, twin.Set("fan", fan)))
	fmt.Println(twin.Apply(before, twin.Replace("fan", fan)))
	// Output:
	// {"fan":{"fault":"worn","rpm":900},"$version":4}
	// {"fan":{"rpm":900},"$version":4}
}

func ExampleFrom() {
	type Fan struct {
		RPM  int      `json:"rpm"`
		Tags []string `json:"tags,omitempty"`
	}
	fmt.Println(twin.From(map[string]any{"fan": Fan{RPM: 1200}, "uptime": 86400}))
	// Output: {"fan":{"rpm":1200},"uptime":86400}
}

func ExampleParsePatch() {
	p, err := twin.ParsePatch([]byte(`{"price": 1.10, "old": null}`))
	fmt.Println(p, err)
	// Output: {"old":null,"price":1.10} <nil>
}

func ExamplePatch_Err() {
	p := twin.Set("ratio", math.NaN()).Set("uptime", 86400)
	fmt.Println(p.Err())
	fmt.Println(errors.Is(p.Err(), twin.ErrInvalid))
	// Output:
	// twin: invalid data: patch at "ratio": json: unsupported value: NaN
	// true
}

func ExamplePatch_Paths() {
	p := twin.Set("fan.rpm", 1200).Delete("fan.override").Set("tags", []string{"a", "b"})
	for path, v := range p.Paths() {
		fmt.Println(path, v.Kind(), v)
	}
	// Output:
	// fan.override null null
	// fan.rpm number 1200
	// tags array ["a","b"]
}

func ExampleParseDocument() {
	doc, err := twin.ParseDocument([]byte(`{
		"desired":  {"fan": {"rpm": 1200}, "$version": 4},
		"reported": {"fan": {"rpm": 1150}, "$version": 31}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(doc.Desired.At("fan.rpm"), "at version", doc.Desired.Version())
	fmt.Println(doc.Reported.At("fan.rpm"), "at version", doc.Reported.Version())
	// Output:
	// 1200 at version 4
	// 1150 at version 31
}

func ExampleParseDocument_incomplete() {
	_, err := twin.ParseDocument([]byte(`{"desired":{"$version":4}}`))
	fmt.Println(err)
	fmt.Println(errors.Is(err, twin.ErrIncomplete))
	// Output:
	// twin: incomplete twin: section reported is missing
	// true
}

func ExampleParseProperties() {
	p, err := twin.ParseProperties([]byte(`{"fan":{"rpm":1200},"$version":4,"$metadata":{}}`))
	fmt.Println(p, err)
	// Output: {"fan":{"rpm":1200},"$version":4} <nil>
}

// half reads properties for the examples below.
func half(text string) twin.Properties {
	p, err := twin.ParseProperties([]byte(text))
	if err != nil {
		fmt.Println(err)
	}
	return p
}

func ExampleApply() {
	before := half(`{"fan":{"rpm":1200,"mode":"auto"},"tags":["a"],"$version":4}`)
	after := twin.Apply(before, twin.Set("fan.rpm", 900).Delete("fan.mode").Set("tags", []string{"b"}))
	fmt.Println(before)
	fmt.Println(after.WithVersion(5))
	// Output:
	// {"fan":{"mode":"auto","rpm":1200},"tags":["a"],"$version":4}
	// {"fan":{"rpm":900},"tags":["b"],"$version":5}
}

func ExampleDiff() {
	a := half(`{"fan":{"rpm":1200,"mode":"auto"},"limit":1.10,"$version":4}`)
	b := half(`{"fan":{"rpm":900},"limit":1.1,"$version":9}`)
	p := twin.Diff(a, b)
	fmt.Println(p)
	fmt.Println(twin.Apply(a, p).Equal(b))
	// Output:
	// {"fan":{"mode":null,"rpm":900}}
	// true
}

func ExampleValidate() {
	p := twin.Set("fan.name", strings.Repeat("x", 5000))
	err := twin.Validate(twin.Properties{}, p)
	var limit *twin.LimitError
	if errors.As(err, &limit) {
		fmt.Println(limit.Path, "|", limit.Limit, "|", limit.Got, "|", limit.Max)
	}
	// Output: fan.name | string length | 5000 bytes | 4096 bytes
}

func ExampleValue_At() {
	p := half(`{"climate":{"temperature":21.50},"$version":1}`)
	fmt.Println(p.At("climate").At("temperature"))
	fmt.Println(p.At("climate.temperature").Exists(), p.At("climate.humidity").Exists())
	// Output:
	// 21.50
	// true false
}

func ExampleValue_Decode() {
	p := half(`{"fan":{"rpm":1200,"mode":"auto"},"$version":1}`)
	var fan struct {
		RPM  int
		Mode string
	}
	fmt.Println(p.At("fan").Decode(&fan), fan)

	var rpm int
	err := p.At("fan.mode").Decode(&rpm)
	var bad *twin.DecodeError
	fmt.Println(errors.As(err, &bad) && bad.Path == "fan.mode")

	err = p.At("pump").Decode(&rpm)
	fmt.Println(errors.Is(err, twin.ErrMissing))
	// Output:
	// <nil> {1200 auto}
	// true
	// true
}

func ExampleValue_Equal() {
	a := half(`{"price":1.10,"$version":1}`)
	b := half(`{"price":11e-1,"$version":1}`)
	fmt.Println(a.At("price").Equal(b.At("price")))
	fmt.Println(a.At("price"), b.At("price"))
	// Output:
	// true
	// 1.10 11e-1
}

func ExampleValue_All() {
	p := half(`{"fans":{"left":900,"right":1200},"$version":1}`)
	for name, rpm := range p.At("fans").All() {
		fmt.Println(name, rpm)
	}
	// Output:
	// left 900
	// right 1200
}

func ExampleProperties_All() {
	for name, v := range half(`{"on":true,"fan":{"rpm":900},"$version":1}`).All() {
		fmt.Println(name, v.Kind(), v)
	}
	// Output:
	// fan object {"rpm":900}
	// on bool true
}

func ExampleProperties_Size() {
	fmt.Println(half(`{"name":"é€😀","on":true,"rpm":900,"$version":1}`).Size())
	// Output: 30
}

func ExampleAck() {
	desired := half(`{"targetTemperature":21.5,"$version":3}`)
	p := twin.Replace("targetTemperature", twin.Ack{
		Value: desired.At("targetTemperature"), Code: twin.AckOK, Version: desired.Version(),
	})
	fmt.Println(p)
	// Output: {"targetTemperature":{"ac":200,"av":3,"value":21.5}}
}

// A patch and a half of a twin are JSON wherever they go.
func ExamplePatch_MarshalJSON() {
	b, err := json.Marshal(map[string]any{"send": twin.Set("on", true)})
	fmt.Println(string(b), err)
	// Output: {"send":{"on":true}} <nil>
}

func ExampleGet() {
	desired := half(`{"fan":{"rpm":900},"schedule":[{"hour":6},{"hour":22}],"$version":1}`)
	fmt.Println(twin.Get[int](desired, "fan.rpm"))
	fmt.Println(twin.Get[int](desired.At("schedule").Index(1), "hour"))
	fmt.Println(twin.Get[bool](desired, "fan.on"))
	fmt.Println(twin.GetOr(desired, "fan.on", true))
	// Output:
	// 900 <nil>
	// 22 <nil>
	// false twin: decode "fan.on": no such value
	// true
}

func ExampleValue_Elements() {
	for i, v := range half(`{"schedule":[{"hour":6},{"hour":22}],"$version":1}`).At("schedule").Elements() {
		fmt.Println(i, v.At("hour"))
	}
	// Output:
	// 0 6
	// 1 22
}

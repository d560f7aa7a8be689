package auth_test

import (
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
)

func TestIdentityTexts(t *testing.T) {
	id := auth.Identity{Host: hub, DeviceID: "dev1", Gateway: "edge.local"}
	if got, want := id.Audience(), hub+"/devices/dev1"; got != want {
		t.Errorf("Audience() = %q, want %q", got, want)
	}
	if got, want := id.String(), "dev1@"+hub; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	id.ModuleID = "modA"
	if got, want := id.Audience(), hub+"/devices/dev1/modules/modA"; got != want {
		t.Errorf("Audience() = %q, want %q", got, want)
	}
	if got, want := id.String(), "dev1/modA@"+hub; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestIdentityValidate(t *testing.T) {
	long := strings.Repeat("a", 129)
	for _, test := range []struct {
		name string
		id   auth.Identity
		says string // empty for valid
	}{
		{"device", auth.Identity{Host: hub, DeviceID: "dev1"}, ""},
		{"every character", auth.Identity{Host: hub, DeviceID: "aZ09-:.+%_#*?!(),=@;$'"}, ""},
		{"longest", auth.Identity{Host: hub, DeviceID: long[:128], ModuleID: long[:128]}, ""},
		{"with gateway", auth.Identity{Host: hub, DeviceID: "d", ModuleID: "m", Gateway: "127.0.0.1"}, ""},
		{"host of one label", auth.Identity{Host: "edge_1-a", DeviceID: "d"}, ""},

		{"dots in an id", auth.Identity{Host: hub, DeviceID: "...", ModuleID: ".a"}, ""},
		{"encoded dots, which are plain characters of an id", auth.Identity{Host: hub, DeviceID: "%2e%2e"}, ""},

		{"the device .", auth.Identity{Host: hub, DeviceID: "."}, `DeviceId is "."`},
		{"the device ..", auth.Identity{Host: hub, DeviceID: ".."}, `DeviceId is ".."`},
		{"the module .", auth.Identity{Host: hub, DeviceID: "d", ModuleID: "."}, `ModuleId is "."`},
		{"the module ..", auth.Identity{Host: hub, DeviceID: "d", ModuleID: ".."}, `ModuleId is ".."`},
		{"zero", auth.Identity{}, "HostName is empty"},
		{"no device", auth.Identity{Host: hub}, "DeviceId is empty"},
		{"space in the id", auth.Identity{Host: hub, DeviceID: "dev 1"}, "DeviceId holds ' ' at offset 3"},
		{"slash in the id", auth.Identity{Host: hub, DeviceID: "dev/mod"}, "DeviceId holds '/' at offset 3"},
		{"umlaut in the id", auth.Identity{Host: hub, DeviceID: "gerät"}, "DeviceId holds 'ä' at offset 3"},
		{"broken UTF-8 in the id", auth.Identity{Host: hub, DeviceID: "a\xff"}, "DeviceId holds '\ufffd' at offset 1"},
		{"long id", auth.Identity{Host: hub, DeviceID: long}, "DeviceId has 129 bytes; at most 128"},
		{"module", auth.Identity{Host: hub, DeviceID: "d", ModuleID: "$edge Agent"}, "ModuleId holds ' '"},
		{"scheme", auth.Identity{Host: "https://" + hub, DeviceID: "d"}, "HostName holds ':' at offset 5"},
		{"port", auth.Identity{Host: hub + ":8883", DeviceID: "d"}, "HostName holds ':'"},
		{"line break", auth.Identity{Host: hub + "\n", DeviceID: "d"}, `HostName holds '\n'`},
		{"dot at the end", auth.Identity{Host: hub + ".", DeviceID: "d"}, "ends in a dot"},
		{"dot at the start", auth.Identity{Host: "." + hub, DeviceID: "d"}, "begins or ends in a dot"},
		{"two dots", auth.Identity{Host: "a..b", DeviceID: "d"}, "two in a row"},
		{"long host", auth.Identity{Host: strings.Repeat("a", 254), DeviceID: "d"}, "HostName has 254 bytes; a host name has at most 253"},
		{"gateway", auth.Identity{Host: hub, DeviceID: "d", Gateway: "a/b"}, "GatewayHostName holds '/'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.id.Validate()
			if test.says == "" {
				if err != nil {
					t.Errorf("Validate: %v, want nil", err)
				}
				return
			}
			wantError(t, err, auth.ErrInvalid, test.says)
		})
	}
}

package edge_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/edge"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// What a module needs before it makes its client.
func ExampleFromEnvironment() {
	// A program passes os.Getenv.
	getenv := func(name string) string {
		return map[string]string{
			"IOTEDGE_WORKLOADURI":        "unix:///var/run/iotedge/workload.sock",
			"IOTEDGE_IOTHUBHOSTNAME":     "myhub.azure-devices.net",
			"IOTEDGE_GATEWAYHOSTNAME":    "edge-7",
			"IOTEDGE_DEVICEID":           "edge-7",
			"IOTEDGE_MODULEID":           "filter",
			"IOTEDGE_MODULEGENERATIONID": "637308306805488864",
			"IOTEDGE_AUTHSCHEME":         "sasToken",
		}[name]
	}
	module, err := edge.FromEnvironment(getenv, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	dev := device.New(module.Identity, module.Credential, mqtt.Dialer{Stream: module.TLS(nil)}, nil)
	defer dev.Close()
	fmt.Println(module.Identity, "by", module.Identity.Gateway)
	// Output:
	// edge-7/filter@myhub.azure-devices.net by edge-7
}

// Outside of IoT Edge the error says what to set.
func ExampleFromEnvironment_errors() {
	for _, getenv := range []func(string) string{
		func(string) string { return "" },
		environment("unix:///var/run/iotedge/workload.sock", map[string]string{"IOTEDGE_MODULEID": ""}),
		environment("fd://workload", nil),
	} {
		_, err := edge.FromEnvironment(getenv, nil)
		if errors.Is(err, auth.ErrInvalid) { // no retry helps
			fmt.Println(err)
		}
	}
	// Output:
	// edge: the environment: invalid configuration: neither IOTEDGE_WORKLOADURI nor EdgeHubConnectionString is set: IoT Edge sets the first for the modules that it starts; at a desk, set the second, with EdgeModuleCACertificateFile
	// edge: the environment: invalid configuration: IOTEDGE_MODULEID is not set, and IOTEDGE_WORKLOADURI is: IoT Edge sets both for the modules that it starts; does something remove it?
	// edge: the environment: IOTEDGE_WORKLOADURI: invalid configuration: its scheme is "fd"; it is unix:///path/of/a/socket or http://host:port
}

// What the daemon refuses says why. A client tells it by Connect and OnState,
// and tries again.
func ExampleStatusError() {
	refusedAs := func(err error) {
		var refused *edge.StatusError
		if errors.As(err, &refused) && refused.Status == 403 {
			fmt.Fprintln(os.Stdout, refused)
		}
	}
	refusedAs(fmt.Errorf("no signature: %w", &edge.StatusError{Status: 403, Message: "Forbidden"}))
	// Output:
	// it answered 403: "Forbidden" (it knows a module by its processes: only those in the module's own container are let in)
}

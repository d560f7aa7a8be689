// Keys in a TPM: a module of its own, so that nobody who uses the library
// downloads what only this program needs.
module github.com/devicetwin/devicetwin-go/examples/hsm/tpm

go 1.25.0

require (
	github.com/devicetwin/devicetwin-go v0.0.0
	github.com/google/go-tpm v0.9.8
	go.uber.org/goleak v1.3.0
)

require (
	github.com/Azure/go-amqp v1.7.0 // indirect
	github.com/eclipse/paho.mqtt.golang v1.5.1 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/tidwall/gjson v1.20.3 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.3.0 // indirect
	github.com/tidwall/sjson v1.2.9 // indirect
	golang.org/x/sys v0.8.0 // indirect
)

replace github.com/devicetwin/devicetwin-go => ../../..

// The comparisons with other libraries live in a module of their own, so that
// nobody who uses the library downloads them.
module github.com/devicetwin/devicetwin-go/internal/bench

go 1.25.0

require (
	github.com/Azure/go-amqp v1.7.0
	github.com/devicetwin/devicetwin-go v0.0.0
	github.com/eclipse/paho.mqtt.golang v1.5.1
	github.com/evanphx/json-patch/v5 v5.9.11
	go.uber.org/goleak v1.3.0
)

require (
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/tidwall/gjson v1.20.3 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.3.0 // indirect
	github.com/tidwall/sjson v1.2.9 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/sync v0.17.0 // indirect
	software.sslmate.com/src/go-pkcs12 v0.7.4 // indirect
)

replace github.com/devicetwin/devicetwin-go => ../..

module github.com/devicetwin/devicetwin-go/internal/interop/amenzhinsky

go 1.25.0

require (
	github.com/amenzhinsky/iothub v0.9.1
	github.com/eclipse/paho.mqtt.golang v1.3.5
)

require (
	github.com/Azure/go-amqp v0.18.1 // indirect
	github.com/gorilla/websocket v1.4.2 // indirect
	golang.org/x/net v0.7.0 // indirect
)

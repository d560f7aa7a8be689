module github.com/devicetwin/devicetwin-go

go 1.25.0

require (
	github.com/Azure/go-amqp v1.7.0
	github.com/eclipse/paho.mqtt.golang v1.5.1
	github.com/gorilla/websocket v1.5.3
	go.uber.org/goleak v1.3.0
	golang.org/x/crypto v0.55.0
	golang.org/x/net v0.58.0
	software.sslmate.com/src/go-pkcs12 v0.7.4
)

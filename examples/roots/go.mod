module github.com/devicetwin/devicetwin-go/examples/roots

go 1.25.0

replace github.com/devicetwin/devicetwin-go => ../..

require (
	github.com/devicetwin/devicetwin-go v0.0.0-00010101000000-000000000000
	golang.org/x/crypto/x509roots/fallback v0.0.0-20260213171211-a408498e5541
)

require (
	github.com/eclipse/paho.mqtt.golang v1.5.1 // indirect
	github.com/tidwall/gjson v1.20.3 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.3.0 // indirect
)

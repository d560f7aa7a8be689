// Command floor is what a device does by hand with bare paho: connect with a
// SAS token, subscribe, get the twin, report, print desired changes. It is the
// floor that binary size and memory are measured against; it does nothing
// about lost lines, gaps, expiring tokens or lost answers.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func main() {
	fields := map[string]string{}
	for part := range strings.SplitSeq(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"), ";") {
		k, v, _ := strings.Cut(part, "=")
		fields[k] = v
	}
	host, id := fields["HostName"], fields["DeviceId"]
	key, err := base64.StdEncoding.DecodeString(fields["SharedAccessKey"])
	if err != nil {
		log.Fatal(err)
	}
	opts := mqtt.NewClientOptions().AddBroker("ssl://" + host + ":8883").SetClientID(id).SetProtocolVersion(4).
		SetCleanSession(false).SetKeepAlive(240 * time.Second).SetTLSConfig(&tls.Config{ServerName: host}).
		SetUsername(host + "/" + id + "/?api-version=2021-04-12").SetPassword(token(host+"/devices/"+id, key))
	opts.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		var doc map[string]any
		if err := json.Unmarshal(m.Payload(), &doc); err != nil {
			log.Print(err)
		}
		log.Print(m.Topic(), doc)
	})
	c := mqtt.NewClient(opts)
	wait(c.Connect())
	wait(c.SubscribeMultiple(map[string]byte{"$iothub/twin/res/#": 1, "$iothub/twin/PATCH/properties/desired/#": 1}, nil))
	wait(c.Publish("$iothub/twin/GET/?$rid=1", 0, false, ""))
	wait(c.Publish("$iothub/twin/PATCH/properties/reported/?$rid=2", 0, false, `{"climate":{"temperature":21.5}}`))
	select {}
}

func wait(t mqtt.Token) {
	if t.Wait(); t.Error() != nil {
		log.Fatal(t.Error())
	}
}

func token(audience string, key []byte) string {
	sr, se := url.QueryEscape(audience), fmt.Sprint(time.Now().Add(time.Hour).Unix())
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sr + "\n" + se))
	return "SharedAccessSignature sr=" + sr + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))) + "&se=" + se
}

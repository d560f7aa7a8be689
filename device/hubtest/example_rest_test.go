package hubtest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// A back end in any language reaches the hub over HTTPS. This one is bare
// net/http, with a token as Microsoft Entra would give it.
func ExampleHub_EntraToken() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	if _, err := hub.AddDevice("pump-7"); err != nil {
		log.Fatal(err)
	}
	addr, err := hub.Listen("127.0.0.1:0", hubtest.HTTPS)
	if err != nil {
		log.Fatal(err)
	}
	token, err := hub.EntraToken("my-back-end", "", time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: hub.RootCAs(), ServerName: hub.Host()},
		DisableKeepAlives: true,
	}}
	get := func() {
		req, err := http.NewRequestWithContext(context.Background(), "GET", "https://"+addr.String()+"/twins/pump-7?api-version=2021-04-12", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.StatusCode, resp.Header.Get("iothub-errorcode"))
	}
	get()
	hub.Grant("my-back-end", "IoT Hub Data Reader")
	get()
	// Output:
	// 401 IotHubUnauthorizedAccess
	// 200
}

// A back end that uses this library reaches the hub in memory.
func ExampleHub_Policy() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	if _, err := hub.AddDevice("pump-7"); err != nil {
		log.Fatal(err)
	}
	p, _ := hub.Policy("service") // a new hub has it
	client, err := registry.New(p.ConnectionString, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	twin, err := client.Twin(context.Background(), "pump-7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(twin.ID, twin.ETag)
	// Output: pump-7 AAAAAAAAAAE=
}

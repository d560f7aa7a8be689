package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// A program gives mqtt.Dialer{} to device.New and is done. This is what
// happens below: one session with a hub, here one with a CA of its own.
func ExampleDialer() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close()
	address, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	dev, err := hub.AddDevice("dev1")
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	token, err := auth.TokenOf(ctx, dev.Credential, dev.Identity.Audience(), time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	dialer := mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{
		RootCAs: hub.RootCAs(),
		Address: address.String(),
	})}
	conn, err := dialer.Dial(ctx, transport.Login{Identity: dev.Identity, Token: token, KeepAlive: 4 * time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	for _, f := range []transport.Frame{
		{Kind: transport.Open, Feature: transport.TwinResponses, ID: "1"},
		{Kind: transport.GetTwin, ID: "2"},
	} {
		if err := conn.Send(ctx, f); err != nil {
			fmt.Println(err)
			return
		}
		answer, err := conn.Receive(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v %s: status %d, body %q\n", answer.Kind, answer.ID, answer.Status, answer.Body)
	}
	// Output:
	// accepted 1: status 0, body ""
	// response 2: status 200, body "{\"desired\":{\"$version\":1},\"reported\":{\"$version\":1}}"
}

// A refused login matches a sentinel; its code is MQTT's own.
func ExampleConnackError() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close()
	dev, err := hub.AddDevice("dev1")
	if err != nil {
		fmt.Println(err)
		return
	}

	dialer := mqtt.Dialer{Stream: hub.Stream}
	_, err = dialer.Dial(context.Background(), transport.Login{Identity: dev.Identity, KeepAlive: time.Minute}) // no token
	var refused *mqtt.ConnackError
	if errors.As(err, &refused) {
		fmt.Println("code", refused.Code)
	}
	fmt.Println("unauthorized:", errors.Is(err, transport.ErrUnauthorized))
	// Output:
	// code 5
	// unauthorized: true
}

package hubtest_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// dial logs a device in and opens both halves of its twin. These examples use
// the bare transport; a program would use package device.
func dial(hub *hubtest.Hub, at hubtest.Device) transport.Conn {
	ctx := context.Background()
	token, err := auth.TokenOf(ctx, at.Credential, at.Identity.Audience(), time.Now())
	if err != nil {
		log.Fatal(err)
	}
	conn, err := mqtt.Dialer{Stream: hub.Stream}.Dial(ctx, transport.Login{
		Identity: at.Identity, Token: token, KeepAlive: 4 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	for i, f := range []transport.Feature{transport.TwinResponses, transport.DesiredChanges} {
		ask(conn, transport.Frame{Kind: transport.Open, Feature: f, ID: fmt.Sprint("open-", i)})
	}
	return conn
}

// ask sends a frame and returns the next one from the hub.
func ask(conn transport.Conn, f transport.Frame) transport.Frame {
	ctx := context.Background()
	if err := conn.Send(ctx, f); err != nil {
		log.Fatal(err)
	}
	answer, err := conn.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	return answer
}

func ExampleStart() {
	hub, err := hubtest.Start(nil) // in a test: hubtest.New(t, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("pump-7")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := hub.Device("pump-7").SetDesired(`{"fan":{"rpm":1200}}`); err != nil {
		log.Fatal(err)
	}

	conn := dial(hub, at)
	defer conn.Close()
	answer := ask(conn, transport.Frame{Kind: transport.GetTwin, ID: "1"})
	fmt.Println(answer.Status, string(answer.Body))
	// Output: 200 {"desired":{"fan":{"rpm":1200},"$version":2},"reported":{"$version":1}}
}

func ExampleHub_Listen() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("pump-7")
	if err != nil {
		log.Fatal(err)
	}
	addr, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	// Any device SDK in any language: give it the connection string, the
	// address, and the CA in hub.CAPEM().
	id, _, err := auth.ParseConnectionString(at.ConnectionString)
	fmt.Println(id, err)
	fmt.Println(addr.Network())
	// Output:
	// pump-7@hub.devicetwin.test <nil>
	// tcp
}

func ExampleHub_Intercept() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("pump-7")
	if err != nil {
		log.Fatal(err)
	}
	conn := dial(hub, at)
	defer conn.Close()

	// The hub throttles the next patch of the device, and only that.
	hub.Intercept(hubtest.FromDevice("pump-7", hubtest.PatchReported), hubtest.Fail(429001))

	patch := transport.Frame{Kind: transport.PatchReported, Body: []byte(`{"battery":87}`)}
	for _, patch.ID = range []string{"1", "2"} {
		answer := ask(conn, patch)
		fmt.Println(answer.Status, answer.Version)
	}
	fmt.Println(hub.Device("pump-7").Stats().Patches, "patches arrived")
	// Output:
	// 429 0
	// 204 2
	// 2 patches arrived
}

func ExampleEdit() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("pump-7")
	if err != nil {
		log.Fatal(err)
	}
	conn := dial(hub, at)
	defer conn.Close()

	// The hub claims another version of what it desires, then none at all.
	hub.Intercept(hubtest.FromHub("pump-7", hubtest.GetTwin), hubtest.Edit("desired.$version", "7"))
	hub.Intercept(hubtest.FromHub("pump-7", hubtest.GetTwin), hubtest.Edit("desired.$version", ""))

	get := transport.Frame{Kind: transport.GetTwin}
	for _, get.ID = range []string{"1", "2", "3"} {
		fmt.Println(string(ask(conn, get).Body))
	}
	// Output:
	// {"desired":{"$version":7},"reported":{"$version":1}}
	// {"desired":{},"reported":{"$version":1}}
	// {"desired":{"$version":1},"reported":{"$version":1}}
}

func ExampleDevice_WaitReported() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("pump-7")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn := dial(hub, at)
		defer conn.Close()
		ask(conn, transport.Frame{Kind: transport.PatchReported, ID: "1", Body: []byte(`{"fan":{"rpm":1180}}`)})
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tw, err := hub.Device("pump-7").WaitReported(ctx, "fan.rpm", "1180")
	fmt.Println(string(tw.Reported.JSON), tw.Reported.Version, err)
	<-done
	// Output: {"fan":{"rpm":1180}} 2 <nil>
}

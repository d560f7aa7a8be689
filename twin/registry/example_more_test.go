package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// ReplaceTwin deletes what the change does not name.
func ExampleClient_ReplaceTwin() {
	hub, policy := fleet("fan1")
	defer hub.Close()
	if _, err := hub.Device("fan1").SetTags(`{"floor":2,"owner":"Facilities"}`); err != nil {
		log.Fatal(err)
	}
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	t, err := client.Twin(ctx, "fan1")
	if err != nil {
		log.Fatal(err)
	}
	t, err = client.ReplaceTwin(ctx, t.ID, t.ETag, registry.Change{
		Tags:    twin.Set("floor", 3),
		Desired: twin.Set("fan.rpm", 900),
	})
	fmt.Println(t.Tags, t.Desired, err)
	// Output: {"floor":3} {"fan":{"rpm":900},"$version":2} <nil>
}

// One change goes to every twin that a query finds, each under its own ETag.
func ExampleClient_UpdateTwins() {
	hub, policy := fleet("fan1", "fan2", "fan3")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	const query = "SELECT * FROM devices WHERE deviceId IN ['fan1', 'fan3']"
	change := registry.Change{Tags: twin.Set("firmware", "2.1")}
	for id, err := range client.UpdateTwins(context.Background(), query, change) {
		switch {
		case id == "":
			log.Fatal(err) // the rest is unchanged
		case errors.Is(err, transport.ErrPrecondition):
			fmt.Println(id, "was changed by another writer in between")
		default:
			fmt.Println(id, err)
		}
	}
	// Output:
	// fan1 <nil>
	// fan3 <nil>
}

// QueryJSON is for queries whose rows are not twins.
func ExampleClient_QueryJSON() {
	hub, policy := fleet("fan1", "fan2", "fan3")
	defer hub.Close()
	for _, id := range hub.Devices() {
		if _, err := hub.Device(id).SetTags(twin.Set("location.plant", "Redmond43")); err != nil {
			log.Fatal(err)
		}
	}
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	const query = "SELECT tags.location.plant AS plant, COUNT() AS fans FROM devices GROUP BY tags.location.plant"
	for row, err := range client.QueryJSON(context.Background(), query, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(row))
	}
	// Output: {"plant":"Redmond43","fans":3}
}

// A device that is disabled is disconnected and cannot connect again.
func ExampleClient_UpdateRegistration() {
	hub, policy := fleet("fan1")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	fan, err := client.Registration(ctx, "fan1")
	if err != nil {
		log.Fatal(err)
	}
	fan.Disabled, fan.StatusReason = true, "stolen"
	fan, err = client.UpdateRegistration(ctx, fan.ID, fan.ETag, fan)
	fmt.Println(fan.Disabled, fan.StatusReason, err)
	// Output: true stolen <nil>
}

func ExampleClient_DeleteRegistration() {
	hub, policy := fleet("fan1")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	err = client.DeleteRegistration(ctx, "fan1", registry.AnyETag)
	fmt.Println(err)
	_, err = client.Twin(ctx, "fan1")
	fmt.Println(errors.Is(err, transport.ErrNotFound))
	// Output:
	// <nil>
	// true
}

func ExampleClient_Devices() {
	hub, policy := fleet("fan1", "fan2")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	all, err := client.Devices(context.Background(), 1000)
	if err != nil {
		log.Fatal(err)
	}
	for _, fan := range all {
		fmt.Println(fan.ID, fan.Authentication, fan.PrimaryKey)
	}
	// Output:
	// fan1 sas REDACTED
	// fan2 sas REDACTED
}

func ExampleClient_Modules() {
	hub, policy := fleet("gateway1")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	if _, err := client.CreateRegistration(ctx, "gateway1/camera", registry.Registration{}); err != nil {
		log.Fatal(err)
	}
	modules, err := client.Modules(ctx, "gateway1")
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range modules {
		fmt.Println(m.ID) // which Twin, UpdateTwin and Call take, too
	}
	// Output: gateway1/camera
}

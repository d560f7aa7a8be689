package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// fleet starts a hub with devices, and returns it with the connection string of
// a policy, as its portal would show it.
func fleet(ids ...string) (hub *hubtest.Hub, policy string) {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range ids {
		if _, err := hub.AddDevice(id); err != nil {
			log.Fatal(err)
		}
	}
	p, _ := hub.Policy("iothubowner")
	return hub, "HostName=" + hub.Host() + ";SharedAccessKeyName=" + p.Name + ";SharedAccessKey=" + p.PrimaryKey
}

// setSpeed sets the desired speed of every fan of a plant.
func setSpeed(ctx context.Context, hub *registry.Client, plant string, rpm int) error {
	query := "SELECT * FROM devices WHERE tags.location.plant = " + registry.Quote(plant)
	change := registry.Change{Desired: twin.Set("fan.rpm", rpm)}
	for id, err := range hub.UpdateTwins(ctx, query, change) { // up to 100 in a request
		if errors.Is(err, transport.ErrPrecondition) {
			log.Printf("%s was changed by another writer in between", id)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// The function above is in the README, too.
func Example() {
	hub, policy := fleet("fan1", "fan2", "fan3")
	defer hub.Close()
	for _, id := range []string{"fan1", "fan3"} {
		if _, err := hub.Device(id).SetTags(`{"location":{"plant":"Redmond43"}}`); err != nil {
			log.Fatal(err)
		}
	}
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	fmt.Println(setSpeed(context.Background(), client, "Redmond43", 900))
	for _, id := range []string{"fan1", "fan2", "fan3"} {
		t, err := client.Twin(context.Background(), id)
		fmt.Println(t.ID, t.Desired, err)
	}
	// Output:
	// <nil>
	// fan1 {"fan":{"rpm":900},"$version":2} <nil>
	// fan2 {"$version":1} <nil>
	// fan3 {"fan":{"rpm":900},"$version":2} <nil>
}

func ExampleNew() {
	hub, policy := fleet("fan1")
	defer hub.Close()
	// For a real hub, nil in place of the options.
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	t, err := client.Twin(context.Background(), "fan1")
	fmt.Println(t.ID, t.Disabled, t.Connected, t.Desired, err)
	// Output: fan1 false false {"$version":1} <nil>
}

// ModifyTwin changes a twin depending on what it holds. If another writer was
// faster, it reads the twin and calls the function again.
func ExampleClient_ModifyTwin() {
	hub, policy := fleet("fan1")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	faster := func(t registry.Twin) (registry.Change, error) {
		return registry.Change{Desired: twin.Set("fan.rpm", twin.GetOr(t.Desired, "fan.rpm", 0)+100)}, nil
	}
	for range 2 {
		t, err := client.ModifyTwin(context.Background(), "fan1", faster)
		fmt.Println(t.Desired, err)
	}
	// Output:
	// {"fan":{"rpm":100},"$version":2} <nil>
	// {"fan":{"rpm":200},"$version":3} <nil>
}

// The second of two writers with one ETag gets an error.
func ExampleClient_UpdateTwin() {
	hub, policy := fleet("fan1")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	read, err := client.Twin(ctx, "fan1")
	if err != nil {
		log.Fatal(err)
	}
	for _, rpm := range []int{900, 800} {
		t, err := client.UpdateTwin(ctx, "fan1", read.ETag, registry.Change{Desired: twin.Set("fan.rpm", rpm)})
		fmt.Println(t.Desired, errors.Is(err, transport.ErrPrecondition))
	}
	// Output:
	// {"fan":{"rpm":900},"$version":2} false
	// {} true
}

func ExampleQuote() {
	const owner = `O'Brien \ Sons`
	fmt.Println("SELECT * FROM devices WHERE tags.owner = " + registry.Quote(owner))
	// Output: SELECT * FROM devices WHERE tags.owner = 'O\'Brien \\ Sons'
}

func ExampleClient_Query() {
	hub, policy := fleet("fan1", "fan2", "fan3")
	defer hub.Close()
	for _, id := range []string{"fan1", "fan3"} {
		if _, err := hub.Device(id).SetTags(`{"location":{"plant":"Redmond43"}}`); err != nil {
			log.Fatal(err)
		}
	}
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	const query = "SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'"
	for t, err := range client.Query(context.Background(), query, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(t.ID, t.Tags.At("location.plant"))
	}
	// Output:
	// fan1 Redmond43
	// fan3 Redmond43
}

func ExampleClient_QueryPage() {
	hub, policy := fleet("fan1", "fan2", "fan3")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	opts := &registry.QueryOptions{PageSize: 2}
	for {
		rows, next, err := client.QueryPage(context.Background(), "SELECT * FROM devices", opts)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(rows), next != "")
		if opts.Continuation = next; next == "" { // a later process may continue here
			break
		}
	}
	// Output:
	// 2 true
	// 1 false
}

func ExampleClient_CreateRegistration() {
	hub, policy := fleet()
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	fan, err := client.CreateRegistration(ctx, "fan1", registry.Registration{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fan.ID, fan.Authentication, fan.ConnectionString()) // Reveal returns it
	_, err = client.CreateRegistration(ctx, "fan1", registry.Registration{})
	fmt.Println(errors.Is(err, registry.ErrExists))
	// Output:
	// fan1 sas REDACTED
	// true
}

func ExampleClient_Call() {
	hub, policy := fleet("fan1")
	defer hub.Close()
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	answer, err := client.Call(context.Background(), "fan1", "reboot", map[string]int{"delay": 5}, nil)
	switch {
	case errors.Is(err, registry.ErrOffline):
		fmt.Println("the fan is off") // as here: no device has connected
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println(answer.Status, string(answer.Payload))
	}
	// Output: the fan is off
}

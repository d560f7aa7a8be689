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

// inspect says when the devices of a plant are inspected next. A device that another
// writer changed in between is looked at again: it may have moved.
func inspect(ctx context.Context, hub *registry.Client, plant, due string) error {
	query := "SELECT * FROM devices WHERE tags.location.plant = " + registry.Quote(plant)
	change := registry.Change{Tags: twin.Set("inspection.due", due)}
	for id, err := range hub.UpdateTwins(ctx, query, change) {
		if id != "" && errors.Is(err, transport.ErrPrecondition) {
			_, err = hub.ModifyTwin(ctx, id, func(t registry.Twin) (registry.Change, error) {
				if twin.GetOr(t.Tags, "location.plant", "") != plant {
					return registry.Change{}, nil // it has moved: nothing is written
				}
				return change, nil
			})
		}
		if err != nil {
			return fmt.Errorf("inspection of %s: %w", id, err)
		}
	}
	return nil
}

// A back end writes a tag of each device of a plant, while others write too, and
// lists the devices that have it.
func Example_plant() {
	hub, policy := fleet("fan1", "fan2", "fan3")
	defer hub.Close()
	tag := func(id, tags string) {
		if _, err := hub.Device(id).SetTags(tags); err != nil {
			log.Fatal(err)
		}
	}
	for _, id := range []string{"fan1", "fan2", "fan3"} {
		tag(id, `{"location":{"plant":"Hall '7'"}}`)
	}
	// The other writer comes between the query and the update.
	hub.Intercept(func(m hubtest.Message) bool {
		if m.Method == "POST /devices" {
			tag("fan2", `{"owner":"Facilities"}`)
			tag("fan3", `{"location":{"plant":"Redmond43"}}`)
		}
		return false
	}, hubtest.Pass())
	client, err := registry.New(policy, &registry.Options{Stream: hub.Stream})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	fmt.Println(inspect(ctx, client, "Hall '7'", "2026-12-24"))
	for t, err := range client.Query(ctx, "SELECT * FROM devices WHERE tags.inspection.due = '2026-12-24'", nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(t.ID, t.Tags.At("location.plant"), t.Desired.Version(), t.Connected)
	}
	// Output:
	// <nil>
	// fan1 Hall '7' 1 false
	// fan2 Hall '7' 1 false
}

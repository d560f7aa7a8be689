package device_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestAcknowledgementLeavesNothingOfTheLast: a 200 after a 500 has no text, and
// its value no member that is desired no more; also when a restart lies between
// the two, with a store and without.
func TestAcknowledgementLeavesNothingOfTheLast(t *testing.T) {
	stuck := errors.New("valve stuck")
	ways := map[string]func(c *device.Client, result *error) error{
		"by itself": func(c *device.Client, result *error) error {
			_, err := c.OnDesired("a", func(context.Context, twin.Change) error { return *result },
				&device.ListenOptions{Acknowledge: true})
			return err
		},
		"by hand": func(c *device.Client, result *error) error {
			_, err := c.OnDesired("a", func(ctx context.Context, ch twin.Change) error {
				code, text := twin.AckOK, ""
				if *result != nil {
					code, text = twin.AckFailed, (*result).Error()
				}
				return c.ReportLater(ctx, ch.Ack(code, text))
			}, nil)
			return err
		},
	}
	for way, listen := range ways {
		for rule := quirk.MergeRule(0); rule < 3; rule++ {
			for _, restart := range []string{"no restart", "with a store", "without a store"} {
				t.Run(fmt.Sprintf("%s, %s, rule %d", way, restart, rule), func(t *testing.T) {
					storyAt(t, *hubtest.Options{}.With(quirk.Set{Merge: rule}), func(t *testing.T, w *world) {
						result := stuck
						start := func(st *memStore) *device.Client {
							t.Helper()
							var opts device.Options
							if st != nil {
								opts.Store = st
							}
							c := w.client(&opts)
							if err := listen(c, &result); err != nil {
								t.Fatal(err)
							}
							if err := c.Connect(t.Context()); err != nil {
								t.Fatal(err)
							}
							synctest.Wait()
							return c
						}
						var st *memStore
						if restart == "with a store" {
							st = &memStore{}
						}
						w.setDesired(`{"a":{"x":1,"bad":1,"deep":{"p":1,"q":1}}}`)
						c := start(st)
						w.wantReported("refused",
							`{"a":{"ac":500,"ad":"valve stuck","av":2,"value":{"bad":1,"deep":{"p":1,"q":1},"x":1}}}`)
						result = nil
						if restart != "no restart" {
							if err := c.Close(); err != nil {
								t.Fatal(err)
							}
							if st != nil {
								st = st.powerCut()
							}
						}
						w.setDesired(`{"a":{"bad":null,"deep":{"p":null},"y":2}}`)
						if restart != "no restart" {
							start(st)
						}
						synctest.Wait()
						w.wantReported("accepted", `{"a":{"ac":200,"av":3,"value":{"deep":{"q":1},"x":1,"y":2}}}`)
						w.setDesired(`{"a":5}`)
						synctest.Wait()
						w.wantReported("a scalar now", `{"a":{"ac":200,"av":4,"value":5}}`)
					})
				})
			}
		}
	}
}

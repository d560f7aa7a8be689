package amenzhinsky

import (
	"testing"

	"github.com/amenzhinsky/iothub/iotservice"
)

func TestIdentities(t *testing.T) {
	h := newHub(t)
	s := h.service()
	made, err := s.CreateDevice(h.ctx, &iotservice.Device{DeviceID: "made1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.DeleteDevice(h.ctx, &iotservice.Device{DeviceID: "made1"}); err != nil {
			t.Errorf("delete: %v", err)
		}
	}()
	if made.Authentication == nil || made.Authentication.SymmetricKey.PrimaryKey == "" {
		t.Errorf("created: got %+v, want keys", made)
	}
	got, err := s.GetDevice(h.ctx, "made1")
	if err != nil || got.GenerationID != made.GenerationID || got.ETag != made.ETag {
		t.Errorf("got %+v, %v; want what was created", got, err)
	}
	got.Status = iotservice.Disabled
	updated, err := s.UpdateDevice(h.ctx, got)
	if err != nil || updated.Status != iotservice.Disabled {
		t.Errorf("updated: got %+v, %v; want it disabled", updated, err)
	}
	if _, err := s.UpdateDevice(h.ctx, got); err == nil {
		t.Error("updated by an old ETag: got no error")
	}
	all, err := s.ListDevices(h.ctx)
	if err != nil || len(all) < 4 {
		t.Errorf("listed %d devices, %v; want those that there are", len(all), err)
	}
}

func TestModules(t *testing.T) {
	h := newHub(t)
	s := h.service()
	module, err := s.CreateModule(h.ctx, &iotservice.Module{DeviceID: "dev1", ModuleID: "made1", ManagedBy: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.GetModule(h.ctx, "dev1", "made1"); err != nil || got.ManagedBy != "me" || got.GenerationID != module.GenerationID {
		t.Errorf("got %+v, %v; want what was created", got, err)
	}
	twin, err := s.UpdateModuleTwin(h.ctx, &iotservice.ModuleTwin{
		DeviceID: "dev1", ModuleID: "made1", Properties: &iotservice.Properties{Desired: map[string]any{"zoom": 2}},
	})
	if err != nil || twin.Properties.Desired["zoom"] != 2.0 {
		t.Errorf("the module's twin: got %+v, %v; want zoom 2", twin, err)
	}
	if err := s.DeleteModule(h.ctx, module); err != nil {
		t.Errorf("delete: %v", err)
	}
}

func TestTwins(t *testing.T) {
	h := newHub(t)
	s := h.service()
	twin, err := s.UpdateDeviceTwin(h.ctx, &iotservice.Twin{DeviceID: "other", Tags: map[string]any{"judge": "amenzhinsky"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.GetDeviceTwin(h.ctx, "other")
	if err != nil || got.ETag != twin.ETag || got.Tags["judge"] != "amenzhinsky" {
		t.Errorf("got %+v, %v; want what was written", got, err)
	}
	// The whole of what was read, reported properties included, is sent back.
	got.Tags["again"] = true
	if again, err := s.UpdateDeviceTwin(h.ctx, got); err != nil || again.Tags["again"] != true {
		t.Errorf("written as it was read: got %+v, %v", again, err)
	}
	found := map[string]bool{}
	err = s.QueryDevices(h.ctx, "SELECT * FROM devices WHERE tags.judge = 'amenzhinsky'", func(v map[string]any) error {
		id, _ := v["deviceId"].(string)
		found[id] = true
		return nil
	})
	if err != nil || len(found) != 1 || !found["other"] {
		t.Errorf("queried: got %v, %v; want other alone", found, err)
	}
	stats, err := s.DeviceStats(h.ctx)
	if err != nil || stats.TotalDeviceCount < 4 {
		t.Errorf("statistics: got %+v, %v; want those that there are", stats, err)
	}
}

package main

import (
	"context"
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// find prints the devices that a query finds, page by page. A real hub answers
// from an index that is some seconds behind: where the device must be among
// them and is not yet, it is asked again.
func (s *story) find(ctx context.Context, query string, mustFind bool) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		found, err := s.pages(ctx, query)
		if err != nil || found || !mustFind {
			return err
		}
		s.tell("  … and %s is not among them yet: the hub's index is behind. Asked again:", s.device)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// pages prints what a query finds, and reports whether the device is there.
func (s *story) pages(ctx context.Context, query string) (found bool, err error) {
	opts := &registry.QueryOptions{PageSize: s.page}
	all := 0
	for n := 1; ; n++ {
		rows, next, err := s.hub.QueryPage(ctx, query, opts)
		if err != nil {
			return found, err
		}
		line := ""
		for _, row := range rows {
			if !gjson.ParseBytes(row).IsObject() {
				return found, fmt.Errorf("read a row of the query: got %.100s, want an object", row)
			}
			id := gjson.GetBytes(row, "deviceId").String()
			line += " " + id
			found = found || id == s.device
			all++
		}
		if line != "" {
			s.tell("  page %d:%s", n, line)
		}
		if opts.Continuation = next; next == "" {
			s.tell("  %d in all", all)
			return found, s.err
		}
	}
}

// call calls the direct method.
func (s *story) call(ctx context.Context) error {
	var payload any // none
	if s.payload != nil {
		payload = s.payload
	}
	r, err := s.hub.Call(ctx, s.device, s.method, payload, &registry.CallOptions{ResponseTimeout: responseTimeout})
	if err != nil {
		return err
	}
	s.tell("\nThe method %s of %s answered %d:\n  %s", s.method, s.device, r.Status, r.Payload)
	return nil
}

package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

func TestQueries(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		ctx := w.Context()
		for i := range 7 {
			id := fmt.Sprintf("fan%d", i)
			w.device(id)
			if _, err := w.hub.AddDevice(id + "/m"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.hub.Device(id).SetTags(fmt.Sprintf(`{"even":%v,"quote":"it's \"%d\""}`, i%2 == 0, i)); err != nil {
				t.Fatal(err)
			}
		}
		all := func(query string, opts *registry.QueryOptions) string {
			t.Helper()
			var ids []string
			for tw, err := range w.client.Query(ctx, query, opts) {
				if err != nil {
					t.Errorf("%s: %v", query, err)
				}
				ids = append(ids, tw.ID)
			}
			return strings.Join(ids, " ")
		}
		const every = "SELECT * FROM devices"
		for _, test := range []struct {
			query    string
			page     int
			want     string
			requests int
		}{
			{every, 0, "fan0 fan1 fan2 fan3 fan4 fan5 fan6", 1},
			{every, 3, "fan0 fan1 fan2 fan3 fan4 fan5 fan6", 3},
			{every, 7, "fan0 fan1 fan2 fan3 fan4 fan5 fan6", 1},
			{every + " WHERE tags.even = true", 2, "fan0 fan2 fan4 fan6", 2},
			{every + ` WHERE tags.quote = 'it\'s "3"'`, 0, "fan3", 1},
			{every + " WHERE tags.gone = 1", 5, "", 1},
			{"SELECT * FROM devices.modules WHERE deviceId IN ['fan1','fan2']", 0, "fan1/m fan2/m", 1},
		} {
			var got string
			n := w.requests(func() { got = all(test.query, &registry.QueryOptions{PageSize: test.page}) })
			if got != test.want || n != test.requests {
				t.Errorf("%s by %d: got %q in %d requests, want %q in %d", test.query, test.page, got, n, test.want, test.requests)
			}
		}

		// Whoever stops early asks for no more pages; the token goes on from there.
		n := w.requests(func() {
			for range w.client.Query(ctx, every, &registry.QueryOptions{PageSize: 2}) {
				break
			}
		})
		if n != 1 {
			t.Errorf("stopped in the first page: %d requests, want 1", n)
		}
		page, next, err := w.client.QueryPage(ctx, every, &registry.QueryOptions{PageSize: 5})
		if err != nil || len(page) != 5 || next == "" {
			t.Errorf("a page: got %d rows, token %q, %v", len(page), next, err)
		}
		if got, want := all(every, &registry.QueryOptions{Continuation: next}), "fan5 fan6"; got != want {
			t.Errorf("from a token: got %q, want %q", got, want)
		}

		// An error ends the walk, wherever it comes.
		w.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Pass())
		w.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(400, ""))
		rows, failed := 0, 0
		for _, err := range w.client.QueryJSON(ctx, every, &registry.QueryOptions{PageSize: 3}) {
			if err == nil {
				rows++
			} else if failed++; !errors.Is(err, transport.ErrRejected) {
				t.Errorf("the second page: got %v, want ErrRejected", err)
			}
		}
		if rows != 3 || failed != 1 {
			t.Errorf("a refused second page: got %d rows and %d errors, want 3 and 1", rows, failed)
		}
		for tw, err := range w.client.Query(ctx, "SELECT TOP 2 * FROM devices", nil) {
			if !errors.Is(err, transport.ErrRejected) || code(err) != 400004 || tw.ID != "" {
				t.Errorf("a query that the hub refuses: got %v", err)
			}
		}

		// Rows that are no twins.
		for query, want := range map[string]string{
			"SELECT COUNT() AS n FROM devices":                                             `[{"n":7}]`,
			"SELECT deviceId, version AS v FROM devices WHERE deviceId IN ['fan1','fan2']": `[{"deviceId":"fan1","v":3} {"deviceId":"fan2","v":3}]`,
		} {
			var rows []string
			for row, err := range w.client.QueryJSON(ctx, query, &registry.QueryOptions{PageSize: 1}) {
				if err != nil {
					t.Errorf("%s: %v", query, err)
				}
				rows = append(rows, string(row))
			}
			if got := fmt.Sprint(rows); got != want {
				t.Errorf("%s: got %s, want %s", query, got, want)
			}
		}

		// Answers as other hubs may give them, and hubs that go round in circles.
		answers := func(body string) {
			w.hub.Intercept(hubtest.FromService("POST /devices/query"), hubtest.Answer(200, body))
		}
		answers(`[{"count":7}]`)
		for row, err := range w.client.QueryJSON(ctx, "SELECT COUNT() AS count FROM devices", nil) {
			if err != nil || string(row) != `{"count":7}` {
				t.Errorf("raw rows: got %s, %v", row, err)
			}
		}
		for body, want := range map[string]string{`[{"count":7}]`: "use QueryJSON", `{"a":1}`: "not a list", `[1]`: "not a twin"} {
			answers(body)
			for _, err := range w.client.Query(ctx, every, nil) {
				if !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want ErrProtocol with %q", body, err, want)
				}
			}
		}
	})
}

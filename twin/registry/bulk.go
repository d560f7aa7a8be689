package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The bounds of one bulk request. The hub documents no limit of its bytes.
const (
	maxBulk     = 100       // twins
	maxBulkBody = 256 << 10 // bytes, unless one twin takes more
)

// UpdateTwins merges one change into every twin that a query finds, SELECT * FROM
// devices WHERE … or FROM devices.modules, each under the ETag that the query
// returned. It iterates over the results: the id of each twin, with nil or the
// error of its update. A twin that another writer changed in between gets an error
// that matches transport.ErrPrecondition, and the iteration continues.
//
// An error with an empty id ends the iteration. Twins that were not named before it
// are unchanged. If a request as a whole fails, its twins are named with that error
// first, and then it ends the iteration.
//
// One request updates up to 100 twins, and is sent again as a write with an ETag is.
// If an answer was lost, twins that hold the change count as updated. Requests are
// made while the iteration proceeds: a caller that stops early may leave up to 100
// updated twins unnamed. A twin that enters or leaves the query's result meanwhile may
// be missed. UpdateTwins needs the permission RegistryWrite beside ServiceConnect, and
// of Microsoft Entra's roles one that writes devices.
func (c *Client) UpdateTwins(ctx context.Context, query string, change Change) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		body, err := change.body(false)
		if err == nil && change.isEmpty() {
			err = fmt.Errorf("%w: the change is empty", twin.ErrInvalid)
		}
		if err != nil {
			yield("", fmt.Errorf("registry: update twins: %w", err))
			return
		}
		b := bulk{client: c, change: change, body: body, yield: yield}
		for t, err := range c.Query(ctx, query, &QueryOptions{PageSize: maxBulk}) {
			if err != nil {
				if b.flush(ctx) {
					yield("", err)
				}
				return
			}
			if !b.add(ctx, t) {
				return
			}
		}
		b.flush(ctx)
	}
}

// A bulk collects twins for one request at a time.
type bulk struct {
	client *Client
	change Change
	body   []byte // of the change
	yield  func(string, error) bool

	twins      []Twin
	operations []json.RawMessage
	size       int // of the operations, in bytes
}

// add adds a twin to the next request, and sends the present one first if it is
// full. It reports whether the iteration continues.
func (b *bulk) add(ctx context.Context, t Twin) bool {
	if t.ETag == "" { // the hub might update it unconditionally
		return b.result(t.ID, fmt.Errorf("%w: the query returned no ETag", transport.ErrProtocol))
	}
	device, module, _ := strings.Cut(t.ID, "/")
	head, err := json.Marshal(struct {
		ID         string `json:"id"`
		ModuleID   string `json:"moduleId,omitempty"`
		ImportMode string `json:"importMode"`
		ETag       ETag   `json:"twinETag"`
	}{device, module, "updateTwinIfMatchETag", t.ETag})
	if err != nil {
		return b.result(t.ID, err)
	}
	operation := append(append(head[:len(head)-1], ','), b.body[1:]...)
	if len(b.twins) == maxBulk || len(b.twins) > 0 && b.size+len(operation) > maxBulkBody {
		if !b.flush(ctx) {
			return false
		}
	}
	b.twins, b.operations, b.size = append(b.twins, t), append(b.operations, operation), b.size+len(operation)
	return true
}

// flush sends the request and yields its results. It reports whether the iteration
// continues.
func (b *bulk) flush(ctx context.Context) bool {
	if len(b.twins) == 0 {
		return true
	}
	failed, err := b.send(ctx)
	for _, t := range b.twins {
		one := err
		if one == nil {
			one = failed[t.ID]
		}
		if !b.result(t.ID, one) {
			return false
		}
	}
	b.twins, b.operations, b.size = b.twins[:0], b.operations[:0], 0
	if err != nil {
		b.yield("", fmt.Errorf("registry: update twins: %w", err))
	}
	return err == nil
}

func (b *bulk) result(id string, err error) bool {
	if err != nil {
		err = fmt.Errorf("registry: update the twin of %s: %w", id, err)
	}
	return b.yield(id, err)
}

// send sends the request and returns the error of each twin that has one, or of the
// request as a whole.
func (b *bulk) send(ctx context.Context) (map[string]error, error) {
	body, err := json.Marshal(b.operations)
	if err != nil {
		return nil, err
	}
	a, err := b.client.do(ctx, request{method: http.MethodPost, path: "/devices", body: body, safety: conditional, also: http.StatusBadRequest})
	if err != nil {
		return nil, err
	}
	failed, err := b.read(a)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", http.MethodPost, "/devices", err)
	}
	for _, t := range b.twins {
		if a.lost && errors.Is(failed[t.ID], transport.ErrPrecondition) {
			failed[t.ID] = b.afterLost(ctx, t, failed[t.ID])
		}
	}
	return failed, nil
}

// afterLost decides about a twin whose precondition failed after an attempt whose
// answer was lost, which may have updated it.
func (b *bulk) afterLost(ctx context.Context, t Twin, failed error) error {
	now, err := b.client.getTwin(ctx, t.ID)
	if err == nil && (&attempted{t, b.change}).performed(now) {
		return nil
	}
	return fmt.Errorf("%w (%w)", failed, errAnswerLost)
}

// read reads the answer to a bulk request.
func (b *bulk) read(a answer) (map[string]error, error) {
	var result struct {
		IsSuccessful *bool
		Errors       []struct {
			DeviceID, ModuleID, ErrorStatus string
			ErrorCode                       json.RawMessage // a name, or a number
		}
	}
	if err := json.Unmarshal(a.body, &result); err != nil || result.IsSuccessful == nil {
		if a.status >= 400 {
			return nil, statusError(a.status, a.header, a.body, b.client.opts.Now())
		}
		return nil, fmt.Errorf("%w: the answer is not a bulk result", transport.ErrProtocol)
	}
	failed := map[string]error{}
	for _, e := range result.Errors {
		name := strings.Trim(string(e.ErrorCode), `"`)
		status := codeOf(name) / 1000
		if status < 400 || status > 599 {
			status = http.StatusBadRequest
		}
		failed[joinID(e.DeviceID, e.ModuleID)] = transport.NewStatusError(status, plainError("ErrorCode:"+name+";"+e.ErrorStatus, ""))
	}
	named := 0
	for _, t := range b.twins {
		if failed[t.ID] != nil {
			named++
		}
	}
	if named < len(failed) || len(failed) == 0 && !*result.IsSuccessful {
		return nil, fmt.Errorf("%w: the answer does not say which twins failed: %.300q", transport.ErrProtocol, a.body)
	}
	return failed, nil
}

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// The default and the documented limits of a method's time-outs.
const (
	defaultResponseTimeout = 30 * time.Second
	minResponseTimeout     = 5 * time.Second
	maxMethodTimeout       = 300 * time.Second
)

// CallOptions are the options of Call. Nil means all defaults.
type CallOptions struct {
	// ResponseTimeout is how long the device has to answer, in whole seconds
	// from 5 to 300. If 0, it is 30 seconds.
	ResponseTimeout time.Duration
	// ConnectTimeout is how long the hub waits for a device that is not
	// connected, in whole seconds up to 300. If 0, the hub does not wait.
	ConnectTimeout time.Duration
}

// A CallResult is a device's answer to a direct method. It marshals as the JSON
// that the hub sent.
type CallResult struct {
	// Status is the device's own code, often one of HTTP's.
	Status int `json:"status"`
	// Payload is JSON. It is null if the device sent none.
	Payload json.RawMessage `json:"payload"`
}

// String returns the status and the payload, such as
//
//	200 {"uptime":17}
func (r CallResult) String() string { return strconv.Itoa(r.Status) + " " + string(r.Payload) }

// Call calls a direct method of a device or module and waits for the answer. The
// payload is marshaled by encoding/json. If it is nil, no payload is sent, while
// json.RawMessage("null") sends a null.
//
// If the device is not connected, the error matches ErrOffline. If it does not
// answer in time, the error matches ErrNoAnswer. A call whose answer was lost is
// not sent again, since the device may have performed it.
func (c *Client) Call(ctx context.Context, id, method string, payload any, opts *CallOptions) (CallResult, error) {
	r, err := c.call(ctx, id, method, payload, opts)
	if err != nil {
		return CallResult{}, fmt.Errorf("registry: call %s of %s: %w", method, id, err)
	}
	return r, nil
}

func (c *Client) call(ctx context.Context, id, method string, payload any, opts *CallOptions) (CallResult, error) {
	o := CallOptions{}
	if opts != nil {
		o = *opts
	}
	if o.ResponseTimeout == 0 {
		o.ResponseTimeout = defaultResponseTimeout
	}
	if err := o.check(); err != nil {
		return CallResult{}, err
	}
	path, err := pathOf("twins", id)
	if err != nil {
		return CallResult{}, err
	}
	m := map[string]any{
		"methodName":               method,
		"responseTimeoutInSeconds": int(o.ResponseTimeout / time.Second),
		"connectTimeoutInSeconds":  int(o.ConnectTimeout / time.Second),
	}
	if payload != nil {
		m["payload"] = payload
	}
	body, err := json.Marshal(m)
	if err != nil {
		return CallResult{}, fmt.Errorf("%w: the payload: %w", auth.ErrInvalid, err)
	}
	a, err := c.do(ctx, request{method: http.MethodPost, path: path + "/methods", body: body, extra: o.ResponseTimeout + o.ConnectTimeout})
	if err != nil {
		return CallResult{}, err
	}
	var result CallResult
	if err := json.Unmarshal(a.body, &result); err != nil {
		return CallResult{}, fmt.Errorf("%w: the answer is not that of a method: %w", transport.ErrProtocol, err)
	}
	return result, nil
}

func (o CallOptions) check() error {
	if d := o.ResponseTimeout; d < minResponseTimeout || d > maxMethodTimeout || d%time.Second != 0 {
		return fmt.Errorf("%w: CallOptions.ResponseTimeout is %v; use whole seconds from %v to %v", auth.ErrInvalid, d, minResponseTimeout, maxMethodTimeout)
	}
	if d := o.ConnectTimeout; d < 0 || d > maxMethodTimeout || d%time.Second != 0 {
		return fmt.Errorf("%w: CallOptions.ConnectTimeout is %v; use whole seconds up to %v", auth.ErrInvalid, d, maxMethodTimeout)
	}
	return nil
}

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// DefaultResponseTimeout is how long a device has to answer a method.
const DefaultResponseTimeout = 30 * time.Second

// The documentation's limits of a method's time-outs.
const (
	minResponseTimeout = 5 * time.Second
	maxMethodTimeout   = 300 * time.Second
)

// CallOptions shape the call of a method; nil means all defaults.
type CallOptions struct {
	// ResponseTimeout is how long the device has to answer, in whole seconds
	// from 5 to 300; 0 means DefaultResponseTimeout.
	ResponseTimeout time.Duration
	// ConnectTimeout is how long the hub waits for a device that is not
	// connected, in whole seconds up to 300; 0 means not at all.
	ConnectTimeout time.Duration
}

// A CallResult is what a device answered to a direct method.
type CallResult struct {
	// Status is the device's own code: often one like HTTP's.
	Status int
	// Payload is the answer; "null" where there is none.
	Payload json.RawMessage
}

// Call calls a direct method of a device or module, and waits for its answer.
// The payload goes by the rules of encoding/json; nil sends none, and
// json.RawMessage("null") a null.
//
// A device that is not there is ErrOffline; one that does not answer in time,
// ErrNoAnswer. A call whose answer was lost is not sent again: the device may
// have done what was asked.
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
		o.ResponseTimeout = DefaultResponseTimeout
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
	a, err := c.do(ctx, request{method: "POST", path: path + "/methods", body: body, extra: o.ResponseTimeout + o.ConnectTimeout})
	if err != nil {
		return CallResult{}, err
	}
	var result CallResult
	if err := json.Unmarshal(a.body, &result); err != nil {
		return CallResult{}, fmt.Errorf("%w: the answer is no method's: %w", transport.ErrProtocol, err)
	}
	return result, nil
}

func (o CallOptions) check() error {
	if d := o.ResponseTimeout; d < minResponseTimeout || d > maxMethodTimeout || d%time.Second != 0 {
		return fmt.Errorf("%w: CallOptions.ResponseTimeout is %v; it is in whole seconds, from %v to %v", auth.ErrInvalid, d, minResponseTimeout, maxMethodTimeout)
	}
	if d := o.ConnectTimeout; d < 0 || d > maxMethodTimeout || d%time.Second != 0 {
		return fmt.Errorf("%w: CallOptions.ConnectTimeout is %v; it is in whole seconds, up to %v", auth.ErrInvalid, d, maxMethodTimeout)
	}
	return nil
}

package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// maxContests is how many failed preconditions ModifyTwin accepts.
const maxContests = 8

// errAnswerLost is wrapped by a failed precondition, or an id that is not found,
// after an attempt whose answer was lost.
var errAnswerLost = errors.New("the answer to an earlier attempt was lost, and that one may have been performed: read again")

// ModifyTwin changes a twin depending on what it holds. It reads the twin, calls
// modify, and merges the change that modify returns, under the ETag that it read. If
// another writer changed the twin in between, it reads the twin and calls modify
// again, up to eight times. After that the error matches transport.ErrPrecondition.
// It returns the twin after the change.
//
// If the change is empty, nothing is written and the twin is returned as it was
// read. If modify returns an error, ModifyTwin wraps it and writes nothing. A change
// counts once even if the hub's answer to it was lost and the write was repeated.
func (c *Client) ModifyTwin(ctx context.Context, id string, modify func(Twin) (Change, error)) (Twin, error) {
	if modify == nil {
		return Twin{}, fmt.Errorf("registry: modify the twin of %s: %w: no func given", id, auth.ErrInvalid)
	}
	var failed error
	var lost *attempted
	for range maxContests {
		t, err := c.getTwin(ctx, id)
		if err != nil {
			return Twin{}, fmt.Errorf("registry: %w", err)
		}
		if lost.performed(t) {
			return t, nil
		}
		change, err := modify(t)
		if err != nil {
			return Twin{}, fmt.Errorf("registry: modify the twin of %s: %w", id, err)
		}
		if change.isEmpty() {
			return t, nil
		}
		after, err := c.updateTwin(ctx, id, t.ETag, change)
		if err == nil {
			return after, nil
		}
		if !errors.Is(err, transport.ErrPrecondition) {
			return Twin{}, fmt.Errorf("registry: %w", err)
		}
		failed, lost = err, nil
		if errors.Is(err, errAnswerLost) {
			lost = &attempted{t, change}
		}
	}
	return Twin{}, fmt.Errorf("registry: modify the twin of %s: others wrote it first, %d times: %w", id, maxContests, failed)
}

// attempted is a change whose answer was lost, and the twin before it.
type attempted struct {
	before Twin
	change Change
}

// performed reports whether the twin is as the change would leave it. If another
// writer made it so, the change is not needed either.
func (a *attempted) performed(now Twin) bool {
	return a != nil &&
		twin.Apply(a.before.Tags, a.change.Tags).Equal(now.Tags) &&
		twin.Apply(a.before.Desired, a.change.Desired).Equal(now.Desired)
}

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// maxRows is the most that a hub returns in one answer. Its documentation says
// 100 for a page of a query, and 1000 in older editions.
const maxRows = 1000

// QueryOptions are the options of a query. Nil means all defaults.
type QueryOptions struct {
	// PageSize is the most rows that one request returns, from 1 to 1000. If 0,
	// the hub chooses, and it may always return fewer.
	PageSize int
	// Continuation is the token that QueryPage returned with an earlier page. If
	// empty, the query starts at the beginning.
	Continuation string
}

// check validates the options.
func (o QueryOptions) check() error {
	if o.PageSize < 0 || o.PageSize > maxRows {
		return fmt.Errorf("%w: QueryOptions.PageSize is %d; use 1 to %d, or 0 for the hub's choice", auth.ErrInvalid, o.PageSize, maxRows)
	}
	if strings.ContainsFunc(o.Continuation, func(c rune) bool { return c < ' ' || c == 0x7f }) { // which no header can hold
		return fmt.Errorf("%w: QueryOptions.Continuation is %.60q; give one that QueryPage returned", auth.ErrInvalid, o.Continuation)
	}
	return nil
}

// QueryPage returns one page of a query in the hub's language, such as
//
//	SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'
//
// The rows are JSON as the hub sent it. A page may have no rows although more
// pages follow. Continuation is for QueryOptions and gets the next page. It is
// empty after the last page, and may be stored. Real hubs answer from an index that
// is some seconds behind.
func (c *Client) QueryPage(ctx context.Context, query string, opts *QueryOptions) (rows []json.RawMessage, continuation string, err error) {
	rows, continuation, err = c.queryPage(ctx, query, opts)
	if err != nil {
		return nil, "", fmt.Errorf("registry: query: %w", err)
	}
	return rows, continuation, nil
}

func (c *Client) queryPage(ctx context.Context, query string, opts *QueryOptions) (rows []json.RawMessage, continuation string, err error) {
	var o QueryOptions
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, "", err
	}
	r := request{method: http.MethodPost, path: "/devices/query", safety: read, header: map[string]string{}, limit: maxPage}
	if o.PageSize > 0 {
		r.header["X-Ms-Max-Item-Count"] = strconv.Itoa(o.PageSize)
	}
	if o.Continuation != "" {
		r.header["X-Ms-Continuation"] = o.Continuation
	}
	if r.body, err = json.Marshal(map[string]string{"query": query}); err != nil {
		return nil, "", err
	}
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(a.body, &rows); err != nil {
		return nil, "", fmt.Errorf("%w: the answer is not a list: %w", transport.ErrProtocol, err)
	}
	continuation = a.header.Get("X-Ms-Continuation")
	if continuation != "" && continuation == o.Continuation {
		return nil, "", errRepeats
	}
	return rows, continuation, nil
}

// errRepeats reports that the pages of a query go in a circle.
var errRepeats = fmt.Errorf("%w: the hub repeats a continuation token", transport.ErrProtocol)

// A circle detects that a walk repeats itself, and remembers one step of it
// (Brent's algorithm).
type circle struct {
	mark        string
	steps, upTo int
}

// meets takes the next step and reports whether it is a repetition.
func (c *circle) meets(step string) bool {
	if step == c.mark {
		return true
	}
	if c.steps++; c.steps >= c.upTo {
		c.mark, c.steps, c.upTo = step, 0, 2*c.upTo+1
	}
	return false
}

// QueryJSON iterates over the rows of a query, such as one with a projection or an
// aggregate. The rows are JSON as the hub sent it. Each page is requested when it
// is needed. An error comes with a nil row and ends the iteration. A hub that
// returns the same pages again and again is an error, possibly after some of them
// were repeated.
func (c *Client) QueryJSON(ctx context.Context, query string, opts *QueryOptions) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		var o QueryOptions
		if opts != nil {
			o = *opts
		}
		walk := circle{mark: o.Continuation}
		for {
			rows, next, err := c.QueryPage(ctx, query, &o)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if o.Continuation = next; next == "" {
				return
			}
			if walk.meets(next) {
				yield(nil, fmt.Errorf("registry: query: %w", errRepeats))
				return
			}
		}
	}
}

// Query iterates over the twins that a query finds: SELECT * FROM devices, or FROM
// devices.modules. Each page is requested when it is needed. An error comes with
// the zero Twin and ends the iteration.
func (c *Client) Query(ctx context.Context, query string, opts *QueryOptions) iter.Seq2[Twin, error] {
	return func(yield func(Twin, error) bool) {
		for row, err := range c.QueryJSON(ctx, query, opts) {
			var t Twin
			if err == nil {
				t, err = parseTwin(row)
			}
			if errors.Is(err, errNotTwin) {
				err = fmt.Errorf("registry: query: a row is not a twin; use QueryJSON, or SELECT *: %w", err)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

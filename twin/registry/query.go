package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// QueryOptions shape a query; nil means all defaults.
type QueryOptions struct {
	// PageSize is how many rows a page has at most; 0 leaves it to the hub. A
	// hub may give fewer: the documentation says 100, older editions 1000.
	PageSize int
	// Continuation begins where an earlier page ended; empty for the beginning.
	Continuation string
}

// A Page is a part of a query's answer.
type Page struct {
	// Rows are as the hub sent them. There may be none, and yet more to come.
	Rows []json.RawMessage
	// Type is what they are: "Twin", or "Raw" for projections and aggregates.
	Type string
	// Continuation gets the next page; empty at the end.
	Continuation string
}

// QueryPage gets one page of a query in the hub's language, such as
//
//	SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'
//
// Real hubs answer from an index that is some seconds behind.
func (c *Client) QueryPage(ctx context.Context, query string, opts *QueryOptions) (Page, error) {
	p, err := c.queryPage(ctx, query, opts)
	if err != nil {
		return Page{}, fmt.Errorf("registry: query: %w", err)
	}
	return p, nil
}

func (c *Client) queryPage(ctx context.Context, query string, opts *QueryOptions) (Page, error) {
	var o QueryOptions
	if opts != nil {
		o = *opts
	}
	r := request{method: "POST", path: "/devices/query", safety: read, header: map[string]string{}, limit: maxPage}
	if o.PageSize < 0 {
		return Page{}, fmt.Errorf("%w: QueryOptions.PageSize is %d; it is not negative", auth.ErrInvalid, o.PageSize)
	}
	if o.PageSize > 0 {
		r.header["X-Ms-Max-Item-Count"] = strconv.Itoa(o.PageSize)
	}
	if o.Continuation != "" {
		r.header["X-Ms-Continuation"] = o.Continuation
	}
	var err error
	if r.body, err = json.Marshal(map[string]string{"query": query}); err != nil {
		return Page{}, err
	}
	a, err := c.do(ctx, r)
	if err != nil {
		return Page{}, err
	}
	p := Page{Type: a.header.Get("X-Ms-Item-Type"), Continuation: a.header.Get("X-Ms-Continuation")}
	if err := json.Unmarshal(a.body, &p.Rows); err != nil {
		return Page{}, fmt.Errorf("%w: the answer is no list: %w", transport.ErrProtocol, err)
	}
	if p.Continuation != "" && p.Continuation == o.Continuation {
		return Page{}, errRepeats
	}
	return p, nil
}

// errRepeats says that a walk through the pages goes in a circle.
var errRepeats = fmt.Errorf("%w: the hub repeats a continuation token", transport.ErrProtocol)

// A circle finds out that a walk came back to where it was, however long the way
// round is, and remembers one step (Brent's algorithm).
type circle struct {
	mark        string
	steps, upTo int
}

// meets takes the next step, and reports whether the walk was there before.
func (c *circle) meets(step string) bool {
	if step == c.mark {
		return true
	}
	if c.steps++; c.steps >= c.upTo {
		c.mark, c.steps, c.upTo = step, 0, 2*c.upTo+1
	}
	return false
}

// QueryJSON walks the rows of a query, whatever they are, and gets each page
// when it is needed. An error ends the walk, and comes with a nil row. A hub that
// gives the same pages again and again is an error, which may come after some of
// them.
func (c *Client) QueryJSON(ctx context.Context, query string, opts *QueryOptions) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		var o QueryOptions
		if opts != nil {
			o = *opts
		}
		walk := circle{mark: o.Continuation}
		for {
			p, err := c.QueryPage(ctx, query, &o)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, row := range p.Rows {
				if !yield(row, nil) {
					return
				}
			}
			if o.Continuation = p.Continuation; o.Continuation == "" {
				return
			}
			if walk.meets(o.Continuation) {
				yield(nil, fmt.Errorf("registry: query: %w", errRepeats))
				return
			}
		}
	}
}

// Query walks the twins that a query of SELECT * finds, of devices or of
// modules, and gets each page when it is needed. An error ends the walk, and is
// told with the zero Twin.
func (c *Client) Query(ctx context.Context, query string, opts *QueryOptions) iter.Seq2[Twin, error] {
	return func(yield func(Twin, error) bool) {
		for row, err := range c.QueryJSON(ctx, query, opts) {
			var t Twin
			if err == nil {
				t, err = parseTwin(row)
			}
			if errors.Is(err, errNotTwin) {
				err = fmt.Errorf("registry: query: a row is no twin; select *, or use QueryJSON: %w", err)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

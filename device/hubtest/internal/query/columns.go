package query

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// column is one member of the rows that are selected: the value at a path, or the
// number of rows.
type column struct {
	name  string
	path  pathOf
	count bool
	at    int // where it is in the query
}

// Whole reports whether the rows are whole twins: SELECT *.
func (q Query) Whole() bool { return q.columns == nil }

// Grouped reports whether a row of the answer stands for several twins.
func (q Query) Grouped() bool {
	return q.groups != nil || slices.ContainsFunc(q.columns, func(c column) bool { return c.count })
}

// Row is what the query selects of a row. Where nothing is defined at a path, the
// row lacks the member.
func (q Query) Row(row *jsondoc.Object) *jsondoc.Object {
	if q.Whole() {
		return row
	}
	return q.row(row, 1)
}

func (q Query) row(first *jsondoc.Object, size int64) *jsondoc.Object {
	out := &jsondoc.Object{}
	for _, c := range q.columns {
		if c.count {
			out.Set(c.name, jsondoc.Int(size))
			continue
		}
		v := c.path.eval(first)
		if _, missing := v.(jsondoc.Absent); !missing {
			out.Set(c.name, v)
		}
	}
	return out
}

// Groups are the rows of a grouped query, each group where its first row was.
// Without GROUP BY all rows are one group, also if there are none.
func (q Query) Groups(rows []*jsondoc.Object) []*jsondoc.Object {
	type group struct {
		first *jsondoc.Object
		size  int64
	}
	var all []*group
	if q.groups == nil {
		all = []*group{{&jsondoc.Object{}, int64(len(rows))}}
		rows = nil
	}
	known := map[string]*group{}
	for _, row := range rows {
		key := ""
		for _, p := range q.groups {
			key += groupKey(p.eval(row)) + ","
		}
		if known[key] == nil {
			known[key] = &group{first: row}
			all = append(all, known[key])
		}
		known[key].size++
	}
	out := make([]*jsondoc.Object, 0, len(all))
	for _, g := range all {
		out = append(out, q.row(g.first, g.size))
	}
	return out
}

// groupKey is the same for equal values alone. Numbers are equal by value.
func groupKey(v any) string {
	switch v := v.(type) {
	case jsondoc.Absent:
		return ""
	case json.Number:
		f, _ := v.Float64()
		return strconv.FormatFloat(f, 'g', -1, 64)
	case *jsondoc.Object:
		return string(jsondoc.Append(nil, jsondoc.Sorted(v)))
	}
	return string(jsondoc.Append(nil, v))
}

// selected reads * or a list of columns.
func (p *parser) selected() (columns []column, f *fault.Fault) {
	if p.accept("*") {
		return nil, nil
	}
	for {
		c, f := p.column()
		if f != nil {
			return nil, f
		}
		if slices.ContainsFunc(columns, func(d column) bool { return d.name == c.name }) {
			return nil, syntaxFault(c.at, "there are two columns %q", c.name)
		}
		columns = append(columns, c)
		if !p.accept(",") {
			return columns, nil
		}
	}
}

// column reads "path", "path AS name" or "COUNT() AS name".
func (p *parser) column() (c column, f *fault.Fault) {
	l := p.take()
	c.at = l.at
	switch {
	case l.kind == tokenWord && p.peek().is("("):
		if !l.is("COUNT") {
			return c, unsupported(l.at, "the function "+l.text)
		}
		p.take()
		if f = p.expect(")"); f != nil {
			return c, f
		}
		c.count = true
	case l.is("TOP"):
		return c, unsupported(l.at, "TOP")
	case l.kind == tokenWord && !isReserved(l.text):
		c.path, c.name = pathOf{l.path}, l.path[len(l.path)-1]
	default:
		return c, syntaxFault(l.at, "expected *, a path or COUNT(), got %v", l)
	}
	if !p.accept("AS") {
		if c.count {
			return c, unsupported(l.at, "COUNT() without AS and a name")
		}
		return c, nil
	}
	l = p.take()
	if l.kind != tokenWord || len(l.path) > 1 || isReserved(l.text) {
		return c, syntaxFault(l.at, "expected a name, got %v", l)
	}
	c.name = l.path[0]
	return c, nil
}

// groupBy reads the paths of GROUP BY, and checks the columns against them.
func (p *parser) groupBy(q *Query) *fault.Fault {
	at := p.peek().at
	if p.accept("GROUP") {
		if f := p.expect("BY"); f != nil {
			return f
		}
		if q.Whole() {
			return syntaxFault(at, "there is no GROUP BY with SELECT *")
		}
		for {
			l := p.take()
			if l.kind != tokenWord || isReserved(l.text) {
				return syntaxFault(l.at, "expected a path, got %v", l)
			}
			q.groups = append(q.groups, pathOf{l.path})
			if !p.accept(",") {
				break
			}
		}
	}
	if !q.Grouped() {
		return nil
	}
	for _, c := range q.columns {
		if !c.count && !slices.ContainsFunc(q.groups, c.path.is) {
			return syntaxFault(c.at, "the column %q is not in GROUP BY", c.name)
		}
	}
	return nil
}

// is reports whether two paths are the same. Names at the root have no case.
func (p pathOf) is(o pathOf) bool {
	return strings.EqualFold(p.keys[0], o.keys[0]) && slices.Equal(p.keys[1:], o.keys[1:])
}

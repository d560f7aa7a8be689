package query

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// expr is a part of a condition. Its value on a row is one of JSON's, or absent
// where nothing is defined.
type expr interface {
	eval(row *jsondoc.Object) any
}

// Keeps reports whether a row meets the condition: only true does.
func (q Query) Keeps(row *jsondoc.Object) bool {
	return q.where == nil || q.where.eval(row) == true
}

type literal struct{ v any }

func (l literal) eval(*jsondoc.Object) any { return l.v }

// pathOf is a path from the row's root. The names at the root are the hub's own
// and have no case; all below are kept as they are.
type pathOf struct{ keys []string }

func (p pathOf) eval(row *jsondoc.Object) any {
	v := any(row)
	for i, key := range p.keys {
		m, ok := v.(*jsondoc.Object)
		if !ok {
			return jsondoc.Absent{}
		}
		if i == 0 {
			key = rootKey(m, key)
		}
		if v, ok = m.Lookup(key); !ok {
			return jsondoc.Absent{}
		}
	}
	return v
}

func rootKey(row *jsondoc.Object, key string) string {
	for k := range row.All() {
		if strings.EqualFold(k, key) {
			return k
		}
	}
	return key
}

// logic is AND and OR over true, false and undefined, as SQL has it.
type logic struct {
	x, y expr
	or   bool
}

func (l logic) eval(row *jsondoc.Object) any {
	x, y := l.x.eval(row), l.y.eval(row)
	if x == l.or || y == l.or { // false decides AND, true decides OR
		return l.or
	}
	if x == !l.or && y == !l.or {
		return !l.or
	}
	return jsondoc.Absent{}
}

type negation struct{ x expr }

func (n negation) eval(row *jsondoc.Object) any {
	if b, ok := n.x.eval(row).(bool); ok {
		return !b
	}
	return jsondoc.Absent{}
}

// defined is IS_DEFINED: a null is.
type defined struct{ path pathOf }

func (d defined) eval(row *jsondoc.Object) any {
	_, missing := d.path.eval(row).(jsondoc.Absent)
	return !missing
}

type membership struct {
	x    expr
	list []any
	not  bool
}

func (m membership) eval(row *jsondoc.Object) any {
	v := m.x.eval(row)
	switch v.(type) {
	case jsondoc.Absent, *jsondoc.Object, []any:
		return jsondoc.Absent{}
	}
	for _, e := range m.list {
		if compare(v, "=", e) == true {
			return !m.not
		}
	}
	return m.not
}

type comparison struct {
	x  expr
	op string
	y  expr
}

func (c comparison) eval(row *jsondoc.Object) any {
	return compare(c.x.eval(row), c.op, c.y.eval(row))
}

// compare compares values of one kind; all else is undefined.
func compare(x any, op string, y any) any {
	switch a := x.(type) {
	case json.Number:
		if b, ok := y.(json.Number); ok {
			return ordered(compareNumbers(string(a), string(b)), op)
		}
	case string:
		if b, ok := y.(string); ok {
			return ordered(strings.Compare(a, b), op)
		}
	case bool:
		if b, ok := y.(bool); ok {
			return equalOnly(a == b, op)
		}
	case nil:
		if y == nil {
			return equalOnly(true, op)
		}
	}
	return jsondoc.Absent{}
}

// compareNumbers compares as doubles, which hold every whole number of a twin.
func compareNumbers(a, b string) int {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func ordered(order int, op string) any {
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	}
	return equalOnly(order == 0, op)
}

// equalOnly is for what has no order.
func equalOnly(same bool, op string) any {
	switch op {
	case "=":
		return same
	case "!=", "<>":
		return !same
	}
	return jsondoc.Absent{}
}

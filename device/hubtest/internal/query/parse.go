// Package query is the language in which services ask a hub for twins, as far
// as this hub has it. It is pure: a query is parsed once, and asked of each row.
package query

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Bounds, as the documentation of a hub has them.
const (
	maxQuery   = 8192 // characters, as .NET counts them: UTF-16
	maxNesting = 100  // levels of a condition
)

// A Query is one that this hub can answer: twins of devices or of modules that meet
// a condition, whole, by columns, or counted in groups.
type Query struct {
	Modules bool     // of modules, and not of devices
	columns []column // nil for whole twins
	where   expr     // nil for all
	groups  []pathOf // nil for none
}

// parser goes over the pieces of a query.
type parser struct {
	all   []lexeme
	pos   int
	depth int
}

// Parse reads SELECT columns FROM devices[.modules] [WHERE condition] [GROUP BY paths].
// What it does not understand is a fault of 400 that names the place.
func Parse(text string) (Query, *fault.Fault) {
	all, f := lex(text)
	if f != nil {
		return Query{}, f
	}
	p := &parser{all: all}
	return p.query()
}

func (p *parser) peek() lexeme { return p.all[p.pos] }

func (p *parser) take() lexeme {
	l := p.all[p.pos]
	if l.kind != lexEnd {
		p.pos++
	}
	return l
}

// accept takes the next piece if it is that keyword or sign.
func (p *parser) accept(word string) bool {
	if p.peek().is(word) {
		p.take()
		return true
	}
	return false
}

func (p *parser) expect(word string) *fault.Fault {
	if l := p.peek(); !p.accept(word) {
		return syntaxFault(l.at, "expected %s, got %v", word, l)
	}
	return nil
}

func (p *parser) query() (q Query, f *fault.Fault) {
	if f = p.expect("SELECT"); f != nil {
		return q, f
	}
	if q.columns, f = p.selected(); f != nil {
		return q, f
	}
	if f = p.expect("FROM"); f != nil {
		return q, f
	}
	switch l := p.take(); {
	case l.is("devices"):
	case l.is(fromModules):
		q.Modules = true
	case l.is(fromJobs):
		return q, unsupported(l.at, "jobs")
	default:
		return q, syntaxFault(l.at, "there is no collection %v", l)
	}
	if p.accept("WHERE") {
		if q.where, f = p.or(); f != nil {
			return q, f
		}
	}
	if f = p.groupBy(&q); f != nil {
		return q, f
	}
	switch l := p.peek(); {
	case l.kind == lexEnd:
		return q, nil
	case l.is("ORDER"):
		return q, unsupported(l.at, strings.ToUpper(l.text)+" BY")
	default:
		return q, syntaxFault(l.at, "expected the end, got %v", l)
	}
}

// or, and, not and cmp are the levels of a condition, loosest first.
func (p *parser) or() (expr, *fault.Fault) {
	x, f := p.and()
	for f == nil && p.accept("OR") {
		var y expr
		y, f = p.and()
		x = logic{x, y, true}
	}
	return x, f
}

func (p *parser) and() (expr, *fault.Fault) {
	x, f := p.not()
	for f == nil && p.accept("AND") {
		var y expr
		y, f = p.not()
		x = logic{x, y, false}
	}
	return x, f
}

func (p *parser) not() (expr, *fault.Fault) {
	l := p.peek()
	if !p.accept("NOT") {
		return p.cmp()
	}
	if p.depth++; p.depth > maxNesting {
		return nil, syntaxFault(l.at, "the condition nests deeper than %d", maxNesting)
	}
	x, f := p.not()
	p.depth--
	return negation{x}, f
}

func (p *parser) cmp() (expr, *fault.Fault) {
	x, f := p.operand()
	if f != nil {
		return nil, f
	}
	switch l := p.peek(); {
	case slices.ContainsFunc([]string{"=", "!=", "<>", "<", "<=", ">", ">="}, l.is):
		p.take()
		y, f := p.operand()
		return comparison{x, l.text, y}, f
	case l.is("IN") || l.is("NIN"):
		p.take()
		return p.in(x, l.is("NIN"))
	case l.is("NOT") && p.all[p.pos+1].is("IN"):
		p.take()
		p.take()
		return p.in(x, true)
	}
	return x, nil
}

// in reads a list of literals in brackets.
func (p *parser) in(x expr, not bool) (expr, *fault.Fault) {
	if f := p.expect("["); f != nil {
		return nil, f
	}
	m := membership{x: x, not: not}
	for {
		l := p.take()
		v, ok := l.literal()
		if !ok {
			return nil, syntaxFault(l.at, "expected a literal, got %v", l)
		}
		m.list = append(m.list, v)
		if p.accept("]") {
			return m, nil
		}
		if f := p.expect(","); f != nil {
			return nil, f
		}
	}
}

// literal is the value of a literal.
func (l lexeme) literal() (any, bool) {
	switch {
	case l.kind == tokenText:
		return l.text, true
	case l.kind == tokenNum:
		return json.Number(l.text), true
	case l.is("true"), l.is("false"):
		return l.is("true"), true
	case l.is("null"):
		return nil, true
	case l.is("undefined"):
		return jsondoc.Absent{}, true
	}
	return nil, false
}

func (p *parser) operand() (expr, *fault.Fault) {
	l := p.take()
	if v, ok := l.literal(); ok {
		return literal{v}, nil
	}
	switch {
	case l.is("("):
		if p.depth++; p.depth > maxNesting {
			return nil, syntaxFault(l.at, "the condition nests deeper than %d", maxNesting)
		}
		x, f := p.or()
		if f != nil {
			return nil, f
		}
		p.depth--
		return x, p.expect(")")
	case l.kind == tokenWord && p.peek().is("("):
		return p.call(l)
	case l.kind == tokenWord && !isReserved(l.text):
		return pathOf{l.path}, nil
	}
	return nil, syntaxFault(l.at, "expected a value, got %v", l)
}

// call reads IS_DEFINED(path), the one function that twins have.
func (p *parser) call(name lexeme) (expr, *fault.Fault) {
	if !name.is("IS_DEFINED") {
		return nil, unsupported(name.at, "the function "+name.text)
	}
	p.take()
	l := p.take()
	if l.kind != tokenWord || isReserved(l.text) {
		return nil, syntaxFault(l.at, "expected a path, got %v", l)
	}
	return defined{pathOf{l.path}}, p.expect(")")
}

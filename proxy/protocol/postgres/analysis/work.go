package analysis

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// work estimates what a statement makes the server do that no stored row asks for.
// Beside a condition on a protected column it is a clock: the server does it only
// where the condition holds, and the time it takes tells whether it did.
type work struct {
	rows float64 // the product over all series; 0 = none
	seen map[*pg.FuncCall]bool
}

// heavyWork is above what calendars and test data need, and below what can be told
// from the noise of a network: a series of as many rows takes about ten milliseconds.
const heavyWork = 100_000

func (w *work) heavy() bool { return w.rows > heavyWork }

// unknownSeries is what a series counts for whose length is not written down.
const unknownSeries = 100

// call notes a call of a function that makes as much as its arguments say.
func (w *work) call(call *pg.FuncCall, name string) {
	size := 0.0
	switch name {
	case "generate_series":
		size = seriesLength(call.GetArgs())
	case "repeat", "lpad", "rpad":
		if args := call.GetArgs(); len(args) > 1 {
			size, _ = number(args[1])
		}
	default:
		return
	}
	if w.seen[call] {
		return
	}
	if w.seen == nil {
		w.seen = map[*pg.FuncCall]bool{}
	}
	w.seen[call] = true
	w.rows = max(w.rows, 1) * max(size, 1)
}

// seriesLength is the number of rows of generate_series(start, stop, step).
func seriesLength(args []*pg.Node) float64 {
	if len(args) < 2 {
		return unknownSeries
	}
	start, hasStart := number(args[0])
	stop, hasStop := number(args[1])
	step := 1.0
	if len(args) > 2 {
		given, ok := number(args[2])
		if !ok || given == 0 {
			return unknownSeries
		}
		step = given
	}
	if !hasStart || !hasStop {
		return unknownSeries
	}
	return (stop-start)/step + 1
}

// number reads a constant, cast or not.
func number(n *pg.Node) (float64, bool) {
	switch v := n.GetNode().(type) {
	case *pg.Node_TypeCast:
		return number(v.TypeCast.GetArg())
	case *pg.Node_AConst:
		if i := v.AConst.GetIval(); i != nil {
			return float64(i.GetIval()), true
		}
		text := v.AConst.GetFval().GetFval()
		if text == "" {
			text = v.AConst.GetSval().GetSval()
		}
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	case *pg.Node_AExpr: // "1000 * 1000", "-1"
		left, ok := 0.0, true
		if v.AExpr.GetLexpr() != nil {
			left, ok = number(v.AExpr.GetLexpr())
		}
		right, hasRight := number(v.AExpr.GetRexpr())
		return arithmetic(v.AExpr, left, right), ok && hasRight
	}
	return 0, false
}

func arithmetic(x *pg.A_Expr, left, right float64) float64 {
	name := stringList(x.GetName())
	if len(name) == 0 {
		return 0
	}
	switch name[len(name)-1] {
	case "*":
		return left * right
	case "-":
		return left - right
	case "^":
		return heavyWork + 1
	}
	return left + right
}

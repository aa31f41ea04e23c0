package analysis

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// plainVariables of PL/pgSQL say what happened, not with which values.
var plainVariables = []string{
	"found", "sqlstate", "tg_name", "tg_when", "tg_level", "tg_op", "tg_relid", "tg_relname", "tg_table_name",
	"tg_table_schema", "tg_nargs", "tg_argv", "tg_event", "tg_tag",
}

// readPLpgSQL reads a body in PL/pgSQL: until nothing more flows into variables.
func (a *analyzer) readPLpgSQL(b *body, f *routineFacts, perRow bool) bool {
	script, err := readScript(b.routine.Source, sortedNames(b.variables))
	if err != nil {
		return false
	}
	for name := range script.variables {
		b.variables[name] = true
		if b.named[name] == "" && (b.row == nil || name != "new" && name != "old") {
			b.constants[name] = !perRow
		}
	}
	for name := range script.varying {
		b.constants[name] = false
	}
	for _, name := range plainVariables {
		b.plain[name] = !script.variables[name]
	}
	b.variables["sqlerrm"] = true
	if script.caught {
		b.vars["sqlerrm"] = a.everything()
	}
	steps := a.parseSteps(b, script, perRow)
	if steps == nil || !a.typesOf(b, script, f) {
		return false
	}
	if a.flowOut(b, script, steps, f) {
		a.scriptResult(b, script, f)
		return true
	}
	return false
}

// flowOut takes the steps again and again until nothing more flows.
func (a *analyzer) flowOut(b *body, script *script, steps []parsedStep, f *routineFacts) bool {
	start := *f
	for range maxRoundsOfBody {
		before := b.size()
		*f = start
		for _, s := range steps {
			if !a.take(b, s, f) {
				return false
			}
		}
		if script.caught && (f.touches || before > 0) {
			b.implicit = a.everything() // an error's text quotes values
		}
		for _, s := range steps {
			for _, name := range s.targets {
				b.flow(name, b.implicit)
			}
		}
		if b.size() == before {
			return true
		}
	}
	return false
}

// size grows with whatever flows anywhere.
func (b *body) size() int {
	n := b.implicit.size()
	for _, f := range b.vars {
		n += f.size()
	}
	return n
}

// size grows with whatever is added to a flow.
func (f flow) size() int {
	n := len(f.tags)
	for _, o := range f.sources {
		n += 1 + int(Opaque-o.how)
	}
	for _, is := range []bool{f.opaque, f.part, f.mixed} {
		if is {
			n++
		}
	}
	if f.many { // the sources are gone
		n += (maxSources + 1) * (1 + int(Opaque))
	}
	return n
}

// parsedStep is a step as a syntax tree.
type parsedStep struct {
	kind    stepKind
	node    *pg.Node
	targets []string
}

func (a *analyzer) parseSteps(b *body, script *script, perRow bool) []parsedStep {
	steps := make([]parsedStep, 0, len(script.steps)+1)
	for _, s := range script.steps {
		statements, ok := a.parseBody(s.text)
		if !ok || len(statements) != 1 {
			return nil
		}
		n := statements[0]
		if s.kind == stepCall {
			if n = calledNode(n); n == nil {
				return nil
			}
		}
		b.prepare(a, n, perRow)
		if sel := n.GetSelectStmt(); s.kind == stepCondition && len(sel.GetTargetList()) == 1 && len(sel.GetFromClause()) == 0 {
			sel.WhereClause = sel.GetTargetList()[0].GetResTarget().GetVal() // a comparison in it counts as one
		}
		steps = append(steps, parsedStep{s.kind, n, s.targets})
	}
	return steps
}

// calledNode makes a query of a CALL.
func calledNode(n *pg.Node) *pg.Node {
	call := n.GetCallStmt().GetFunccall()
	if call == nil {
		return nil
	}
	back := &pg.Node{Node: &pg.Node_ReturnStmt{ReturnStmt: &pg.ReturnStmt{
		Returnval: &pg.Node{Node: &pg.Node_FuncCall{FuncCall: call}},
	}}}
	statements, _ := atomicBody(back)
	return statements[0]
}

// take adds what a step does, and lets its values flow where they may.
func (a *analyzer) take(b *body, step parsedStep, f *routineFacts) bool {
	s, ok := a.runIn(b, step.node, f)
	if !ok {
		return false
	}
	columns, all := returned(s)
	switch step.kind {
	case stepReturnQuery:
		a.resultOf(b.routine, s, f)
	case stepMessage:
		f.touches = f.touches || all.protected()
		if all.protected() { // to the client it goes redacted; the server's log has it in full
			f.features = append(f.features, access.Feature{
				Name: Laundering, Construct: "RAISE with a protected value in " + b.routine.Name + "()", Effect: effects[Laundering],
			})
		}
	case stepReturn:
		if b.row != nil && isRow(step.node) {
			break // the row as the trigger got it, and what was assigned to it: see scriptResult
		}
		f.result = f.result.and(all)
	case stepCondition:
		b.implicit = b.implicit.and(all.implicit())
	default:
		for i, name := range step.targets {
			if len(step.targets) > 1 && len(columns) == len(step.targets) {
				b.flow(name, columns[i])
				continue
			}
			b.flow(name, all)
		}
	}
	return true
}

// scriptResult completes the result: what decided what runs, and the variables that
// are its columns.
func (a *analyzer) scriptResult(b *body, script *script, f *routineFacts) {
	width := len(a.resultColumns(b.routine, ""))
	columns := slices.Repeat([]flow{f.result}, width)
	if !script.bare && b.routine.Set && len(f.columns) == width {
		columns = f.columns // RETURN QUERY alone
	}
	f.result = f.result.and(b.implicit)
	if b.row != nil {
		f.result = f.result.and(b.carries("new")).and(b.carries("old"))
		return
	}
	output := 0
	for _, arg := range b.routine.Arguments {
		if arg.Mode != 'o' && arg.Mode != 'b' && arg.Mode != 't' {
			continue
		}
		held := b.carries(arg.Name)
		if arg.Name == "" {
			held = a.everything()
		}
		f.result = f.result.and(held)
		if output < width {
			columns[output] = columns[output].and(held)
		}
		output++
	}
	for i := range columns {
		columns[i] = columns[i].and(b.implicit)
	}
	f.columns = columns
}

// typesOf looks at the types of variables, whose checks run on assignment.
func (a *analyzer) typesOf(b *body, script *script, f *routineFacts) bool {
	for _, name := range script.types {
		if name == "" || strings.Contains(name, "%") {
			continue
		}
		statements, ok := a.parseBody("SELECT NULL::" + name)
		if !ok || len(statements) != 1 {
			return false
		}
		if _, ok := a.runIn(b, statements[0], f); !ok {
			return false
		}
	}
	return true
}

// isRow recognizes "SELECT NEW" and "SELECT OLD".
func isRow(n *pg.Node) bool {
	list := n.GetSelectStmt().GetTargetList()
	if len(list) != 1 {
		return false
	}
	names := stringList(list[0].GetResTarget().GetVal().GetColumnRef().GetFields())
	return len(names) == 1 && (names[0] == "new" || names[0] == "old")
}

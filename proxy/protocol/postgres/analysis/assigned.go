package analysis

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// Assignment is a constant or a parameter on its way into a tagged column, as it is
// or through something that passes it on (a cast, COALESCE, CASE, a row of VALUES).
type Assignment struct {
	Table   string // "schema.table", or the name alone where the schema is not certain
	Column  string
	TypeOID uint32
	Tags    []string
	// Constant is the text of a string constant, where Param is 0.
	Constant string
	// Param is the number of a parameter, from 1.
	Param int
}

// Bounds of what is looked at: what lies beyond is not a placeholder, or is in a text
// that nobody writes by hand.
const (
	maxAssigned      = 200_000
	maxConstant      = 1 << 10 // bytes
	maxPassedThrough = 16      // how deep a constant may stand
	maxPassed        = 500_000 // expressions and queries looked through for a statement
)

// given are queries that expressions can name columns of: those of FROM and WITH.
type given struct {
	outer *given
	name  string
	names []string
	query *pg.SelectStmt
}

// withAll adds WITH queries to what expressions can name.
func (g *given) withAll(w *pg.WithClause) *given {
	for _, n := range w.GetCtes() {
		c := n.GetCommonTableExpr()
		g = &given{g, c.GetCtename(), stringList(c.GetAliascolnames()), c.GetCtequery().GetSelectStmt()}
	}
	return g
}

// from adds the items of FROM.
func (g *given) from(list []*pg.Node) *given {
	for _, n := range list {
		switch v := n.GetNode().(type) {
		case *pg.Node_RangeSubselect:
			s := v.RangeSubselect
			g = &given{g, s.GetAlias().GetAliasname(), stringList(s.GetAlias().GetColnames()), s.GetSubquery().GetSelectStmt()}
		case *pg.Node_RangeVar:
			if of := g.find(v.RangeVar.GetRelname()); of != nil && v.RangeVar.GetSchemaname() == "" && v.RangeVar.GetAlias() != nil {
				names := of.names
				if given := stringList(v.RangeVar.GetAlias().GetColnames()); given != nil {
					names = given
				}
				g = &given{g, v.RangeVar.GetAlias().GetAliasname(), names, of.query}
			}
		case *pg.Node_JoinExpr:
			g = g.from([]*pg.Node{v.JoinExpr.GetLarg(), v.JoinExpr.GetRarg()})
		}
	}
	return g
}

func (g *given) find(name string) *given {
	for ; g != nil; g = g.outer {
		if g.name == name {
			return g
		}
	}
	return nil
}

// assigner collects what goes into one column.
type assigner struct {
	a      *analyzer
	target Assignment
}

// assignTo returns what collects for the named column; nil where it is not tagged.
func (a *analyzer) assignTo(target *source, name string) *assigner {
	at := indexOf(target.columns, name)
	if at < 0 || target.open || len(target.columns[at].tags) == 0 {
		return nil
	}
	table := target.real
	if target.schema != "" {
		table = target.schema + "." + table
	}
	c := &target.columns[at]
	if r := a.cat.Relation(c.relation); r != nil { // behind an alias
		table = r.Schema + "." + r.Name
	}
	return &assigner{a, Assignment{Table: table, Column: name, TypeOID: c.typeOID, Tags: c.tags}}
}

func (s *assigner) add(as Assignment) {
	if len(s.a.out.Assigned) < maxAssigned {
		s.a.out.Assigned = append(s.a.out.Assigned, as)
	}
}

// enough reports whether a bound is reached. Without the second one, queries that
// name each other's columns many times could be looked through for ever.
func (s *assigner) enough(depth int) bool {
	s.a.passed++
	return depth > maxPassedThrough || s.a.passed > maxPassed
}

// value collects what an expression gives.
func (s *assigner) value(n *pg.Node, g *given, depth int) {
	if n == nil || s.enough(depth) {
		return
	}
	depth++
	switch v := n.GetNode().(type) {
	case *pg.Node_AConst:
		if text := v.AConst.GetSval(); text != nil && len(text.GetSval()) <= maxConstant {
			as := s.target
			as.Constant = text.GetSval()
			s.add(as)
		}
	case *pg.Node_ParamRef:
		as := s.target
		as.Param = int(v.ParamRef.GetNumber())
		s.add(as)
	case *pg.Node_TypeCast:
		s.value(v.TypeCast.GetArg(), g, depth)
	case *pg.Node_CollateClause:
		s.value(v.CollateClause.GetArg(), g, depth)
	case *pg.Node_CoalesceExpr:
		for _, arg := range v.CoalesceExpr.GetArgs() {
			s.value(arg, g, depth)
		}
	case *pg.Node_CaseExpr:
		for _, when := range v.CaseExpr.GetArgs() {
			s.value(when.GetCaseWhen().GetResult(), g, depth)
		}
		s.value(v.CaseExpr.GetDefresult(), g, depth)
	case *pg.Node_AExpr:
		if v.AExpr.GetKind() == pg.A_Expr_Kind_AEXPR_NULLIF {
			s.value(v.AExpr.GetLexpr(), g, depth)
		}
	case *pg.Node_SubLink:
		s.column(v.SubLink.GetSubselect().GetSelectStmt(), 0, g, depth)
	case *pg.Node_ColumnRef:
		s.named(stringList(v.ColumnRef.GetFields()), g, depth)
	}
}

// named collects what a column of a query in FROM gives. A bare name is looked for
// in all of them.
func (s *assigner) named(names []string, g *given, depth int) {
	for ; g != nil && len(names) > 0 && len(names) <= 2; g = g.outer {
		if len(names) == 2 && g.name != names[0] {
			continue
		}
		if at := slices.Index(g.columns(), names[len(names)-1]); at >= 0 {
			s.column(g.query, at, g.outer, depth)
			if len(names) == 2 {
				return
			}
		}
	}
}

// columns are the names of a query's columns: those given, then its own.
func (g *given) columns() []string {
	names := slices.Clone(g.names)
	first := g.query
	for first.GetLarg() != nil {
		first = first.GetLarg()
	}
	for i, n := range first.GetTargetList() {
		if i < len(names) {
			continue
		}
		t := n.GetResTarget()
		name := t.GetName()
		if fields := stringList(t.GetVal().GetColumnRef().GetFields()); name == "" && len(fields) > 0 {
			name = fields[len(fields)-1]
		}
		names = append(names, name)
	}
	if lists := first.GetValuesLists(); len(lists) > 0 {
		for i := len(names); i < len(lists[0].GetList().GetItems()); i++ {
			names = append(names, "column"+strconv.Itoa(i+1))
		}
	}
	return names
}

// column collects what the at-th column of a query gives.
func (s *assigner) column(q *pg.SelectStmt, at int, g *given, depth int) {
	if q == nil || s.enough(depth) {
		return
	}
	depth++
	g = g.withAll(q.GetWithClause())
	if q.GetLarg() != nil {
		s.column(q.GetLarg(), at, g, depth)
		s.column(q.GetRarg(), at, g, depth)
		return
	}
	for _, row := range q.GetValuesLists() {
		if items := row.GetList().GetItems(); at < len(items) {
			s.value(items[at], g, depth)
		}
	}
	inside := g.from(q.GetFromClause())
	targets := q.GetTargetList()
	if len(targets) == 1 && isStar(targets[0].GetResTarget().GetVal().GetColumnRef()) && len(q.GetFromClause()) == 1 {
		if inside != g {
			s.column(inside.query, at, g, depth)
		} else if of := g.find(q.GetFromClause()[0].GetRangeVar().GetRelname()); of != nil {
			s.column(of.query, at, of.outer, depth)
		}
		return
	}
	if at < len(targets) {
		s.value(targets[at].GetResTarget().GetVal(), inside, depth)
	}
}

// assignRow collects what an INSERT writes.
func (a *analyzer) assignRow(target *source, s *pg.InsertStmt) {
	var names []string
	for _, c := range s.GetCols() {
		names = append(names, c.GetResTarget().GetName())
	}
	if names == nil {
		for _, c := range target.columns {
			names = append(names, c.name)
		}
	}
	var g *given
	g = g.withAll(s.GetWithClause())
	a.beside.assignedRows(target, names, s.GetSelectStmt().GetSelectStmt())
	for i, name := range names {
		if to := a.assignTo(target, name); to != nil {
			to.column(s.GetSelectStmt().GetSelectStmt(), i, g, 0)
		}
	}
	a.assignSet(target, s.GetOnConflictClause().GetTargetList(), nil, nil)
}

// assignSet collects what "SET column = value, (a, b) = (…)" writes.
func (a *analyzer) assignSet(target *source, list, from []*pg.Node, with *pg.WithClause) {
	a.beside.assignedSet(target, list)
	var g *given
	g = g.withAll(with).from(from)
	for _, n := range list {
		t := n.GetResTarget()
		to := a.assignTo(target, t.GetName())
		m := t.GetVal().GetMultiAssignRef()
		switch {
		case to == nil || len(t.GetIndirection()) > 0:
		case m == nil:
			to.value(t.GetVal(), g, 0)
		case m.GetSource().GetRowExpr() != nil:
			if args, at := m.GetSource().GetRowExpr().GetArgs(), int(m.GetColno())-1; at >= 0 && at < len(args) {
				to.value(args[at], g, 0)
			}
		default:
			to.column(m.GetSource().GetSubLink().GetSubselect().GetSelectStmt(), int(m.GetColno())-1, g, 0)
		}
	}
}

// assignMerge collects what one WHEN of a MERGE writes.
func (a *analyzer) assignMerge(target *source, s *pg.MergeStmt, when *pg.MergeWhenClause) {
	from := []*pg.Node{s.GetSourceRelation()}
	if when.GetCommandType() != pg.CmdType_CMD_INSERT {
		a.assignSet(target, when.GetTargetList(), from, s.GetWithClause())
		return
	}
	var g *given
	g = g.withAll(s.GetWithClause()).from(from)
	for i, value := range when.GetValues() {
		name := ""
		if i < len(when.GetTargetList()) {
			name = when.GetTargetList()[i].GetResTarget().GetName()
		} else if len(when.GetTargetList()) == 0 && i < len(target.columns) {
			name = target.columns[i].name
		}
		if to := a.assignTo(target, name); to != nil {
			to.value(value, g, 0)
		}
	}
}

// supply puts the arguments of an EXECUTE in the place of the parameters of what it
// runs.
func (s *Statement) supply(node *pg.Node) {
	if x := node.GetExplainStmt(); x != nil {
		node = x.GetQuery()
	}
	execute := node.GetExecuteStmt()
	if execute == nil {
		return
	}
	collected := &analyzer{out: &Statement{}}
	for _, as := range s.Assigned {
		if as.Param == 0 {
			collected.out.Assigned = append(collected.out.Assigned, as)
		} else if args := execute.GetParams(); as.Param <= len(args) {
			at := as.Param - 1
			as.Param = 0
			(&assigner{collected, as}).value(args[at], nil, 0)
		}
	}
	s.Assigned = collected.out.Assigned
}

// Where names the column that a value goes into, for a person.
func (as *Assignment) Where() string { return strings.TrimPrefix(as.Table+"."+as.Column, ".") }

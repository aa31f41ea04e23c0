package analysis

import (
	"math"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// body is what the analyzer of a statement in a routine's body knows beyond the
// statement.
type body struct {
	routine *catalog.Routine
	// path is where the statement's names are looked up; nil: as the session does.
	path []string
	// under is the search path that is in force while the body runs, for what it
	// calls; nil: the session's. It is not path where names were bound before.
	under []string
	// variables are parameters and variables. constants are those that do not change
	// while a statement runs; plain hold no data.
	variables, constants, plain map[string]bool
	// vars is what each variable carries. A parameter is there under its name; one
	// without a name, and any in SQL by its number, as "$1".
	vars map[string]flow
	// named are the names of "$1" and so on.
	named map[string]string
	// slots are the variables that a statement holds as numbered parameters, see
	// prepare; the first number is 1.
	slots []string
	// implicit is what decided what runs, and so what any variable holds that is
	// assigned to.
	implicit flow
	// row are NEW and OLD of a trigger or rule.
	row *scope
	// low: see reached.
	low int
}

func newBody(r *catalog.Routine) *body {
	return &body{
		routine: r, low: math.MaxInt, variables: map[string]bool{}, constants: map[string]bool{}, plain: map[string]bool{},
		vars: map[string]flow{}, named: map[string]string{},
	}
}

// parameters makes the routine's parameters variables that carry args. perRow:
// they differ from row to row.
func (b *body) parameters(args flow, perRow bool) {
	number := 0
	for _, arg := range b.routine.Arguments {
		output := arg.Mode == 'o' || arg.Mode == 't'
		if output && b.routine.Language == "sql" {
			continue // has neither a number nor a name there
		}
		number++
		numbered := parameterName(number)
		name := arg.Name
		if name == "" {
			name = numbered
		}
		b.named[numbered] = name
		b.variables[numbered], b.variables[name] = true, true
		b.constants[name] = !perRow
		if !output {
			b.vars[name] = args
		}
	}
}

// carries is what a variable carries.
func (b *body) carries(name string) flow {
	if real := b.named[name]; real != "" {
		name = real
	}
	return b.vars[name]
}

// flow adds to what a variable carries.
func (b *body) flow(name string, carried flow) {
	if real := b.named[name]; real != "" {
		name = real
	}
	b.vars[name] = b.vars[name].and(carried)
}

// slot is the number of a parameter that stands for a variable.
func (b *body) slot(name string) int32 {
	at := slices.Index(b.slots, name)
	if at < 0 {
		at = len(b.slots)
		b.slots = append(b.slots, name)
	}
	return int32(at + 1)
}

// read finds out what a routine does, a trigger function with the row of a relation. low is the outermost routine being read that
// it runs again, see reached.
func (a *analyzer) read(r *catalog.Routine, args flow, perRow bool, row *catalog.Relation) (*routineFacts, int) {
	b := newBody(r)
	if a.body != nil {
		b.path, b.under = a.body.under, a.body.under
	}
	opaque := &routineFacts{opaque: true}
	if r.Source == "" || r.Kind != 'f' && r.Kind != 'p' || !settingsOf(r, b) {
		return opaque, b.low
	}
	b.parameters(args, perRow)
	if row != nil {
		b.rowOf(row)
	}
	f := &routineFacts{}
	understood := false
	switch {
	case r.Language == "sql":
		understood = a.readSQL(b, f, perRow)
	case r.Language == "plpgsql":
		understood = a.readPLpgSQL(b, f, perRow)
	}
	understood = understood && a.readDefaults(b, f)
	if !understood {
		return opaque, b.low
	}
	f.result = f.result.and(args.derived())
	for i := range f.columns {
		f.columns[i] = f.columns[i].and(args.derived())
	}
	f.touches = f.touches || f.result.protected()
	return f, b.low
}

// settingsOf reads a routine's SET clauses. One that could change how its body is
// read, or as whom it runs, makes it code that cannot be read.
func settingsOf(r *catalog.Routine, b *body) bool {
	if r.Atomic {
		b.path = []string{"pg_catalog"} // its names are qualified
	}
	for _, entry := range r.Settings {
		name, value, _ := strings.Cut(entry, "=")
		name = strings.ToLower(name)
		switch {
		case name == "search_path":
			if b.under = bodyPath(r, value); b.under == nil {
				return false
			}
			if !r.Atomic {
				b.path = b.under
			}
		case harmlessSettings[name] || strings.HasPrefix(name, "enable_"):
		case safeValues[name] != nil && safeValues[name][strings.ToLower(value)]:
		default:
			return false
		}
	}
	return true
}

// bodyPath is a search_path as names are looked up in it: pg_catalog first, where
// it is not listed. nil: it holds "$user", which is the owner where the routine
// runs as that, and otherwise somebody of whom nothing is known here.
func bodyPath(r *catalog.Routine, value string) []string {
	path := splitPath(value)
	for i, name := range path {
		if name == "$user" {
			if !r.Definer {
				return nil
			}
			path[i] = r.Owner
		}
	}
	if !slices.Contains(path, "pg_catalog") {
		path = append([]string{"pg_catalog"}, path...)
	}
	return path
}

// inBody makes an analyzer for one statement of a body, which sees real values even
// where the client's own statement sees masks.
func (a *analyzer) inBody(b *body) *analyzer {
	return &analyzer{cat: a.cat.Real(), trusted: a.trusted, session: a.session, library: a.shared(), body: b}
}

// readSQL reads a body in SQL. Its result is that of the last statement.
func (a *analyzer) readSQL(b *body, f *routineFacts, perRow bool) bool {
	statements, ok := a.sqlBody(b.routine)
	if !ok {
		return false
	}
	for i, n := range statements {
		b.prepare(a, n, perRow)
		s, ok := a.runIn(b, n, f)
		if !ok {
			return false
		}
		if i == len(statements)-1 {
			a.resultOf(b.routine, s, f)
		}
	}
	return true
}

// sqlBody parses a body in SQL.
func (a *analyzer) sqlBody(r *catalog.Routine) ([]*pg.Node, bool) {
	text := r.Source
	if r.Atomic {
		text = "CREATE FUNCTION f() RETURNS int " + text
	}
	statements, ok := a.parseBody(text)
	if !ok || !r.Atomic {
		return statements, ok
	}
	if len(statements) != 1 || statements[0].GetCreateFunctionStmt() == nil {
		return nil, false
	}
	return atomicBody(statements[0].GetCreateFunctionStmt().GetSqlBody())
}

// atomicBody returns the statements of BEGIN ATOMIC … END, or of RETURN.
func atomicBody(n *pg.Node) ([]*pg.Node, bool) {
	if back := n.GetReturnStmt(); back != nil {
		target := &pg.Node{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: back.GetReturnval()}}}
		return []*pg.Node{{Node: &pg.Node_SelectStmt{SelectStmt: &pg.SelectStmt{
			TargetList: []*pg.Node{target}, LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE,
		}}}}, true
	}
	list := n.GetList()
	if list == nil {
		return nil, false
	}
	var statements []*pg.Node
	for _, item := range list.GetItems() {
		if inner := item.GetList(); inner != nil {
			more, ok := atomicBody(item)
			if !ok {
				return nil, false
			}
			statements = append(statements, more...)
			continue
		}
		statements = append(statements, item)
	}
	return statements, true
}

// parseBody parses SQL of a body, which the guard measures as it does a client's.
func (a *analyzer) parseBody(text string) ([]*pg.Node, bool) {
	if check(text, Limits{}) != nil {
		return nil, false
	}
	tree, err := parse(text, a.cat.Server)
	if err != nil {
		return nil, false
	}
	var statements []*pg.Node
	for _, raw := range tree.GetStmts() {
		statements = append(statements, raw.GetStmt())
	}
	return statements, true
}

// bodyKinds are the statements that a body may hold. Anything else changes the
// session, the catalog or the transaction.
var bodyKinds = map[string]bool{
	KindSelect: true, KindInsert: true, KindUpdate: true, KindDelete: true, KindMerge: true, KindTruncate: true,
}

// runIn analyzes a statement of a body and adds what it does to f.
func (a *analyzer) runIn(b *body, n *pg.Node, f *routineFacts) (*Statement, bool) {
	inner := a.inBody(b)
	s := inner.analyze(n)
	if !bodyKinds[s.Kind] || len(s.Effects) > 0 || s.indirect {
		return nil, false
	}
	if _, unknown := inner.features[UnknownFunction]; unknown {
		return nil, false
	}
	where := " in " + b.routine.Schema + "." + b.routine.Name + "()"
	for _, x := range s.Features {
		if !strings.Contains(x.Construct, " in ") {
			x.Construct += where
		}
		f.features = append(f.features, x)
	}
	f.functions = append(f.functions, s.Functions...)
	f.predicates = append(f.predicates, s.Predicates...)
	f.resources = append(f.resources, s.Resources...)
	if s.Kind != KindSelect {
		f.inner = append(f.inner, s.Statement)
	}
	f.inner = append(f.inner, s.Inner...)
	f.compared = catalog.Union(f.compared, s.PredicateTags)
	f.tags = catalog.Union(f.tags, s.Tags)
	f.reads.add(s.reads)
	f.touches = f.touches || s.Touches
	f.sleeps = f.sleeps || inner.sleeps
	return s, true
}

// returned is what a statement's rows carry: per column, where that is known.
func returned(s *Statement) (columns []flow, all flow) {
	if s.Outputs == nil {
		return nil, s.reads.shown.and(flow{tags: s.Derived})
	}
	columns = make([]flow, 0, len(s.origins))
	for _, c := range s.origins {
		columns = append(columns, c.flow)
		all = all.and(c.flow)
	}
	return columns, all
}

// resultOf makes the rows of a statement the routine's result.
func (a *analyzer) resultOf(r *catalog.Routine, s *Statement, f *routineFacts) {
	columns, all := returned(s)
	width := len(a.resultColumns(r, ""))
	if width == 0 || len(columns) != width {
		columns = slices.Repeat([]flow{all}, width)
	}
	for i := range columns {
		if i < len(f.columns) {
			columns[i] = columns[i].and(f.columns[i])
		}
	}
	f.columns = columns
	f.result = f.result.and(all)
}

// readDefaults reads the defaults of arguments that a call may leave out.
func (a *analyzer) readDefaults(b *body, f *routineFacts) bool {
	for _, arg := range b.routine.Arguments {
		if arg.Default == "" {
			continue
		}
		statements, ok := a.parseBody("SELECT " + arg.Default)
		if !ok || len(statements) != 1 {
			return false
		}
		s, ok := a.runIn(besides(b.routine, b.under), statements[0], f)
		if !ok {
			return false
		}
		if _, all := returned(s); all.protected() {
			return false // a default that reads protected values would flow on through the body
		}
	}
	return true
}

// besides is where an expression stands that is no part of the body, as the server
// writes it: with qualified names.
func besides(r *catalog.Routine, under []string) *body {
	b := newBody(r)
	b.path, b.under = []string{"pg_catalog"}, under
	return b
}

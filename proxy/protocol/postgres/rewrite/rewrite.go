package rewrite

import (
	"fmt"
	"slices"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// text is a client's text on its way to one that reads through masks.
type text struct {
	plan   *Plan
	client string
	tokens *tokens
	// named are the masked relations that the text names, by the place.
	named map[int]*analysis.Reference
	done  map[int]bool // of those
	edits []edit
	added int // bytes
	// masked are the relations that are read through a sub-select.
	masked map[uint32]analysis.Masked
}

// statement is what of a text belongs to one statement of it.
type statement struct {
	*text
	replaced []*replacement
	targets  []*written
	ours     map[*pg.RangeSubselect]*replacement
}

// replacement is a relation's name that becomes a sub-select.
type replacement struct {
	relation *catalog.Relation
	name     string // that columns are qualified by
	aliased  bool
}

// written is a relation that a statement writes to, unmasked.
type written struct {
	relation *catalog.Relation
	node     *pg.RangeVar
}

// rewrite returns the text to run in place of the client's, and of each statement of
// it; equal where there is nothing to mask. The error is an *analysis.Refusal.
func (t *text) rewrite(server int, limits analysis.Limits) (whole string, parts []string, err error) {
	tree, err := analysis.Tree(t.client, server, limits)
	if err != nil {
		return "", nil, err
	}
	if t.tokens, err = scan(t.client); err != nil {
		return "", nil, t.refuse(0, "the statement's words cannot be found in its text", "")
	}
	for _, raw := range tree.GetStmts() {
		s := &statement{text: t, ours: map[*pg.RangeSubselect]*replacement{}}
		if err := s.change(raw.GetStmt()); err != nil {
			return "", nil, err
		}
	}
	for at, r := range t.named {
		if !t.done[at] {
			return "", nil, t.unexpected(r)
		}
	}
	if t.added > maxAdded {
		return "", nil, t.inexact("it would become too long")
	}
	for _, raw := range tree.GetStmts() {
		start, end := int(raw.GetStmtLocation()), int(raw.GetStmtLocation()+raw.GetStmtLen())
		if raw.GetStmtLen() == 0 {
			end = len(t.client)
		}
		part, ok := apply(t.client, t.edits, start, end)
		if !ok {
			return "", nil, t.inexact("its parts overlap")
		}
		parts = append(parts, part)
	}
	whole, ok := apply(t.client, t.edits, 0, len(t.client))
	if !ok || !same(tree, whole, server, limits) {
		return "", nil, t.inexact("its text is not what was expected")
	}
	return whole, parts, nil
}

// Bounds of one text: places that are rewritten, and bytes that this adds. A
// table of many columns can stand in a short text many times.
const (
	maxPlaces = 1000
	maxAdded  = 8 << 20
)

func (t *text) inexact(why string) error {
	return t.refuse(0, "the statement cannot be rewritten exactly: "+why, "Write it more plainly: FROM schema.table AS alias.")
}

// put notes an edit.
func (t *text) put(e edit) {
	t.edits = append(t.edits, e)
	t.added += len(e.text)
}

func (t *text) unexpected(r *analysis.Reference) error {
	return t.refuse(r.Location, fmt.Sprintf("this statement cannot use %s", title(r.Relation)), "SELECT, INSERT, UPDATE, DELETE, MERGE and COPY can.")
}

// refuse words why a statement does not run, at a byte of the client's text; 0 =
// nowhere.
func (t *text) refuse(at int, what, hint string) error {
	r := &analysis.Refusal{
		Code: "0A000", Message: "tidewaiter: " + what,
		Detail: "Values of its columns are masked at the source, where statements read them.", Hint: hint,
	}
	if at > 0 && at <= len(t.client) {
		r.Position = utf8.RuneCountInString(t.client[:at]) + 1
	}
	return r
}

func title(r *catalog.Relation) string { return r.Schema + "." + r.Name }

// harmless are the statements that use a whole relation without looking at values in
// a way that shows.
func harmless(n *pg.Node) bool {
	switch n.GetNode().(type) {
	case *pg.Node_DropStmt, *pg.Node_TruncateStmt, *pg.Node_LockStmt, *pg.Node_VacuumStmt, *pg.Node_ClusterStmt, *pg.Node_ReindexStmt,
		*pg.Node_RefreshMatViewStmt, *pg.Node_CommentStmt, *pg.Node_GrantStmt:
		return true
	}
	return false
}

// change rewrites one statement in its tree, and notes the edits that do the same to
// its text.
func (s *statement) change(n *pg.Node) error {
	if n == nil {
		return nil
	}
	if harmless(n) {
		everyRelation(n.ProtoReflect(), func(rv *pg.RangeVar) { s.done[int(rv.GetLocation())] = true })
		delete(s.named, 0) // names that the parser gives no place
		return nil
	}
	if err := s.walk(n.ProtoReflect(), ""); err != nil {
		return err
	}
	if len(s.replaced) > 0 {
		if err := s.columns(n.ProtoReflect()); err != nil {
			return err
		}
	}
	if len(s.targets) > 0 {
		return s.reads(n.ProtoReflect())
	}
	return nil
}

// walk visits every node. place is the field that a node stands in, "Message.field".
func (s *statement) walk(m protoreflect.Message, place string) error {
	switch n := m.Interface().(type) {
	case *pg.Node:
		if rv := n.GetRangeVar(); rv != nil {
			return s.fromItem(n, rv, place)
		}
		if inner := inside(m); inner != nil {
			return s.walk(inner, place)
		}
		return nil
	case *pg.RangeVar:
		return s.other(n, place)
	case *pg.CopyStmt:
		if done, err := s.copied(n); done || err != nil {
			return err
		}
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() != protoreflect.MessageKind {
			return true
		}
		here := string(m.Descriptor().Name()) + "." + string(f.Name())
		if !f.IsList() {
			err = s.walk(v.Message(), here)
			return err == nil
		}
		for i := 0; i < v.List().Len() && err == nil; i++ {
			err = s.walk(v.List().Get(i).Message(), here)
		}
		return err == nil
	})
	return err
}

// inside returns the message that a Node is.
func inside(m protoreflect.Message) protoreflect.Message {
	var inner protoreflect.Message
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() == protoreflect.MessageKind && !f.IsList() {
			inner = v.Message()
		}
		return false
	})
	return inner
}

// everyRelation visits the names of relations below m.
func everyRelation(m protoreflect.Message, visit func(*pg.RangeVar)) {
	every(m, func(n protoreflect.Message) bool {
		if rv, ok := n.Interface().(*pg.RangeVar); ok {
			visit(rv)
		}
		return true
	})
}

// every visits m and all messages below it; visit says whether to go below.
func every(m protoreflect.Message, visit func(protoreflect.Message) bool) {
	if !visit(m) {
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				every(v.List().Get(i).Message(), visit)
			}
		default:
			every(v.Message(), visit)
		}
		return true
	})
}

// readable are the places where a relation is read as a table.
var readable = []string{
	"SelectStmt.from_clause", "JoinExpr.larg", "JoinExpr.rarg", "UpdateStmt.from_clause", "DeleteStmt.using_clause", "MergeStmt.source_relation",
}

// fromItem puts a sub-select in the place of a masked relation.
func (s *statement) fromItem(n *pg.Node, rv *pg.RangeVar, place string) error {
	at := int(rv.GetLocation())
	r := s.named[at]
	switch {
	case r == nil || place == "LockingClause.locked_rels":
		return nil
	case place == "RangeTableSample.relation":
		return s.refuse(at, "TABLESAMPLE cannot read "+title(r.Relation), "Use WHERE random() < 0.01 or LIMIT.")
	case !slices.Contains(readable, place):
		return s.unexpected(r)
	}
	return s.replace(n, rv, r)
}

// other handles the names of relations that are no FROM items.
func (s *statement) other(rv *pg.RangeVar, place string) error {
	at := int(rv.GetLocation())
	r := s.named[at]
	if r == nil {
		return nil
	}
	switch place {
	case "InsertStmt.relation", "UpdateStmt.relation", "DeleteStmt.relation", "MergeStmt.relation":
		if !r.Certain {
			return s.uncertain(r)
		}
		s.targets = append(s.targets, &written{r.Relation, rv})
	case "CopyStmt.relation": // FROM: what COPY TO reads has been replaced
	default:
		return s.unexpected(r)
	}
	s.done[at] = true
	return nil
}

// see returns the sub-select that a masked relation is read through.
func (s *statement) see(r *analysis.Reference, only bool) (string, error) {
	if !r.Certain {
		return "", s.uncertain(r)
	}
	v := s.plan.view(r.Relation)
	if v.err != nil {
		return "", s.refuse(r.Location, v.err.Error(), "Ask the data's owner to use strategy Null or mode Result for it.")
	}
	if len(s.edits) >= maxPlaces || s.added > maxAdded {
		return "", s.inexact("it names masked tables too often")
	}
	text := v.whole
	if only {
		text = v.selects(r.Relation, true)
	}
	s.masked[r.Relation.OID] = analysis.Masked{Relation: r.Relation.OID, Text: v.whole, Columns: v.numbers}
	s.done[r.Location] = true
	return text, nil
}

func (s *statement) uncertain(r *analysis.Reference) error {
	return s.refuse(r.Location, "it is not certain that this is "+title(r.Relation), "Name the schema; after ALTER TABLE, COMMIT first.")
}

func (s *statement) replace(n *pg.Node, rv *pg.RangeVar, r *analysis.Reference) error {
	text, err := s.see(r, !rv.GetInh())
	if err != nil {
		return err
	}
	from, to, err := s.extent(rv)
	if err != nil {
		return err
	}
	query, err := parsed(text)
	if err != nil {
		return s.inexact("the masks of " + title(r.Relation) + " are too many")
	}
	alias, with := rv.GetAlias(), "("+text+")"
	if alias == nil {
		alias = &pg.Alias{Aliasname: rv.GetRelname()}
		with += " AS " + quote(rv.GetRelname())
	}
	done := &replacement{r.Relation, alias.GetAliasname(), rv.GetAlias() != nil}
	s.replaced = append(s.replaced, done)
	s.put(edit{s.tokens.start(from), s.tokens.end(to - 1), with})
	sub := &pg.RangeSubselect{Subquery: query, Alias: alias}
	s.ours[sub] = done
	n.Node = &pg.Node_RangeSubselect{RangeSubselect: sub}
	return nil
}

// parsed returns the tree of a query of our own.
func parsed(text string) (*pg.Node, error) {
	tree, err := analysis.Tree(text, 0, analysis.Limits{})
	if err != nil || len(tree.GetStmts()) != 1 {
		return nil, fmt.Errorf("rewrite: a sub-select does not parse: %w", err)
	}
	return tree.GetStmts()[0].GetStmt(), nil
}

// extent finds the words of a relation's name: [ONLY] name [*], or ONLY (name). It
// turns TABLE before them into SELECT * FROM, which is the same.
func (s *statement) extent(rv *pg.RangeVar) (from, to int, err error) {
	parts := 1
	for _, part := range []string{rv.GetCatalogname(), rv.GetSchemaname()} {
		if part != "" {
			parts++
		}
	}
	from = s.tokens.at(int(rv.GetLocation()))
	to, ok := s.tokens.name(from, parts)
	if !ok {
		return 0, 0, s.inexact("the name of a table is not where it should be")
	}
	switch {
	case rv.GetInh():
		if s.tokens.word(to) == "*" {
			to++
		}
	case s.tokens.is(from-1, pg.Token_ONLY):
		from--
	case s.tokens.word(from-1) == "(" && s.tokens.is(from-2, pg.Token_ONLY) && s.tokens.word(to) == ")":
		from, to = from-2, to+1
	default:
		return 0, 0, s.inexact("the name of a table is not where it should be")
	}
	if s.tokens.is(from-1, pg.Token_TABLE) {
		s.put(edit{s.tokens.start(from - 1), s.tokens.end(from - 1), "SELECT * FROM"})
	}
	return from, to, nil
}

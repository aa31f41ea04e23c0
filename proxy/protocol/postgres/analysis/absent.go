package analysis

import (
	"slices"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// AbsentKind says what it is that a name should be of.
type AbsentKind string

// The kinds of names that can be absent.
const (
	AbsentRelation AbsentKind = "relation"
	AbsentColumn   AbsentKind = "column"
	AbsentFunction AbsentKind = "function"
	AbsentPrepared AbsentKind = "prepared statement"
	AbsentCursor   AbsentKind = "cursor"
)

// Absence is a name that a statement uses and that nothing is known of, in the
// words in which PostgreSQL would say so. It permits nothing: it only lets a
// refusal speak of the mistake instead of a rule, where no rule would speak against
// the rest of the statement (see Options.Without).
type Absence struct {
	Kind AbsentKind
	// Schema is empty for an unqualified name; of a column it is the qualifier.
	Schema, Name string

	Code, Message, Hint string
	// Position counts characters from 1 into the text; 0 = none.
	Position int
}

// key is what makes two absences the same name.
func (x *Absence) key() absentKey { return absentKey{x.Kind, x.Schema, x.Name} }

type absentKey struct {
	kind         AbsentKind
	schema, name string
}

func absentKeys(list []Absence) map[absentKey]bool {
	keys := make(map[absentKey]bool, len(list))
	for i := range list {
		keys[list[i].key()] = true
	}
	return keys
}

// miss notes a name that nothing is known of, and reports whether the statement is
// looked at as if the name were not in it. location counts bytes; below 0 the
// server would give none.
func (a *analyzer) miss(x Absence, location int32) bool {
	x.Position = int(location) + 1 // in bytes until the text is at hand, see locate
	if !slices.ContainsFunc(a.out.Absent, func(o Absence) bool { return o.key() == x.key() }) {
		a.out.Absent = append(a.out.Absent, x)
	}
	return a.without[x.key()]
}

// locate turns positions in bytes into positions in characters.
func locate(list []Absence, text string) {
	for i := range list {
		if at := list[i].Position; at > 0 && at <= len(text) {
			list[i].Position = utf8.RuneCountInString(text[:at-1]) + 1
		}
	}
}

// absentRelation notes a relation that does not resolve. Names of other databases
// and of temporary schemas, and names that a WITH query has somewhere, are left
// alone: PostgreSQL says more about those, or knows more.
func (a *analyzer) absentRelation(rv *pg.RangeVar, c candidates) bool {
	schema, name := rv.GetSchemaname(), rv.GetRelname()
	if !c.unknown || a.hidden(c) || rv.GetCatalogname() != "" || a.withNames[name] || strings.HasPrefix(schema, "pg_temp") {
		return false
	}
	x := Absence{Kind: AbsentRelation, Schema: schema, Name: name, Code: "42P01"}
	x.Message = `relation "` + dotted(schema, name) + `" does not exist`
	location := rv.GetLocation()
	if a.utility { // opened when it runs, without a position
		location = -1
		if schema != "" && !a.cat.HasSchema(schema) {
			x.Code, x.Message = "3F000", `schema "`+schema+`" does not exist`
		}
	}
	return a.miss(x, location)
}

// leftOut reports whether a relation is one of Options.Without.
func (a *analyzer) leftOut(rv *pg.RangeVar) bool {
	return a.without[absentKey{AbsentRelation, rv.GetSchemaname(), rv.GetRelname()}]
}

// absentColumn notes a column reference that fits nothing in sight.
func (a *analyzer) absentColumn(ref *pg.ColumnRef, qualifier, name string) bool {
	written := `"` + name + `"`
	if qualifier != "" {
		written = qualifier + "." + name
	}
	return a.miss(Absence{
		Kind: AbsentColumn, Schema: qualifier, Name: name, Code: "42703",
		Message: "column " + written + " does not exist",
	}, ref.GetLocation())
}

// absentTarget notes a column that is assigned to and that the target does not
// have.
func (a *analyzer) absentTarget(target *source, n *pg.ResTarget) bool {
	if target.open || target.real == "" || named(target.rowset, n.GetName()).name != "" {
		return false
	}
	return a.miss(Absence{
		Kind: AbsentColumn, Schema: target.real, Name: n.GetName(), Code: "42703",
		Message: `column "` + n.GetName() + `" of relation "` + target.real + `" does not exist`,
	}, n.GetLocation())
}

// absentItem notes a qualifier that names no FROM item. Where a relation of that
// name is used under another, PostgreSQL has other words.
func (a *analyzer) absentItem(ref *pg.ColumnRef, qualifier string) bool {
	if a.relationNames[qualifier] {
		return false
	}
	return a.miss(Absence{
		Kind: AbsentColumn, Schema: qualifier, Code: "42P01",
		Message: `missing FROM-clause entry for table "` + qualifier + `"`,
	}, ref.GetLocation())
}

// absentFunction notes a call of a function that nothing is known of. Where the
// types of the arguments are not evident, the words are those that PostgreSQL uses
// where there are none.
func (a *analyzer) absentFunction(call *pg.FuncCall, schema, name string) bool {
	if a.procedureCall || len(call.GetAggOrder()) > 0 || call.GetAggWithinGroup() {
		return false // other words
	}
	x := Absence{Kind: AbsentFunction, Schema: schema, Name: name, Code: "42883"}
	location := call.GetLocation()
	switch types, known := argumentTypes(call); {
	case schema != "" && !a.cat.HasSchema(schema):
		x.Code, x.Message = "3F000", `schema "`+schema+`" does not exist`
	case known:
		x.Message = "function " + dotted(schema, name) + "(" + types + ") does not exist"
		x.Hint = "No function matches the given name and argument types. You might need to add explicit type casts."
	default:
		x.Message = `could not find a function named "` + dotted(schema, name) + `"`
	}
	return a.miss(x, location)
}

// argumentTypes words the types of a call's arguments, where each is evident from
// how it is written.
func argumentTypes(call *pg.FuncCall) (string, bool) {
	if call.GetAggStar() {
		return "", true
	}
	types := make([]string, 0, len(call.GetArgs()))
	for _, arg := range call.GetArgs() {
		word := evidentType(arg)
		if word == "" {
			return "", false
		}
		types = append(types, word)
	}
	return strings.Join(types, ", "), true
}

// evidentType is the type of a constant (parse_node.c, make_const), or "".
func evidentType(n *pg.Node) string {
	c := n.GetAConst()
	switch {
	case c == nil:
		return ""
	case c.GetIsnull(), c.GetSval() != nil:
		return "unknown"
	case c.GetIval() != nil:
		return "integer"
	case c.GetBoolval() != nil:
		return "boolean"
	case c.GetFval() != nil:
		return floatType(c.GetFval().GetFval())
	}
	return ""
}

// floatType is the type of a number that is no integer: one without a point or an
// exponent is just too long for one.
func floatType(text string) string {
	if strings.ContainsAny(text, ".eE") {
		return "numeric"
	}
	if len(text) <= len("999999999999999999") {
		return "bigint"
	}
	return "" // at the edge of bigint
}

// absentName makes a statement one about a prepared statement or cursor that this
// session does not have.
func (a *analyzer) absentName(kind AbsentKind, code, name string) {
	x := Absence{Kind: kind, Name: name, Code: code, Message: string(kind) + ` "` + name + `" does not exist`}
	if a.miss(x, -1) {
		a.out.Kind = KindSelect // the least that it could have been
		return
	}
	a.opaque = true
}

func dotted(schema, name string) string {
	if schema == "" {
		return name
	}
	return schema + "." + name
}

// survey gathers the names that a statement gives to relations and to WITH
// queries, wherever they stand.
func (a *analyzer) survey(found *inventory) {
	for _, rv := range found.relations {
		a.relationNames[rv.GetRelname()] = true
		if rv.GetAlias() != nil {
			a.relationNames[rv.GetAlias().GetAliasname()] = true
		}
	}
	for _, name := range found.with {
		a.withNames[name] = true
		a.relationNames[name] = true
	}
}

package analysis

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// rowOf returns the columns of an expression that certainly is a row whose columns
// are known: a FROM item's name, ROW(…), a row type's NULL, a composite column.
func (a *analyzer) rowOf(n *pg.Node, e env) (rowset, bool) {
	switch v := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		return a.rowNamed(v.ColumnRef, e)
	case *pg.Node_RowExpr:
		return a.rowWritten(v.RowExpr, e)
	case *pg.Node_TypeCast:
		return a.rowTyped(v.TypeCast.GetTypeName(), a.flowOf(v.TypeCast.GetArg(), e).derived())
	case *pg.Node_FuncCall:
		return a.rowPopulated(v.FuncCall, e)
	}
	return rowset{}, false
}

// rowNamed is a FROM item's whole row: "c" where nothing in sight has a column of
// that name, or "c.*"; or a column of a composite type.
func (a *analyzer) rowNamed(ref *pg.ColumnRef, e env) (rowset, bool) {
	fields := ref.GetFields()
	if isStar(ref) && len(fields) > 1 {
		s := a.itemNamed(stringList(fields[:len(fields)-1]), e)
		if s == nil || s.open {
			return rowset{}, false
		}
		return s.rowset, true
	}
	if isStar(ref) || len(fields) == 0 {
		return rowset{}, false
	}
	if len(fields) == 1 && !a.columnInSight(stringList(fields)[0], e) {
		s := a.itemNamed(stringList(fields), e)
		if s == nil || s.open || s.scalar {
			return rowset{}, false
		}
		return s.rowset, true
	}
	f := a.reference(ref, e)
	if f.column == nil || !f.plain {
		return rowset{}, false
	}
	return a.rowFields(f.column.typeOID, f.derived())
}

// columnInSight reports whether an item of any level has, or may have, a column of
// that name.
func (a *analyzer) columnInSight(name string, e env) bool {
	for s := e.scope; s != nil; s = s.outer {
		for _, src := range s.sources {
			if src.open || indexOf(src.columns, name) >= 0 {
				return true
			}
		}
	}
	return false
}

// rowFields are the fields of a composite type, each carrying what the whole does.
func (a *analyzer) rowFields(typeOID uint32, whole flow) (rowset, bool) {
	t, ok := a.cat.Type(typeOID)
	if !ok || t.Kind != 'c' || a.session.stale {
		return rowset{}, false
	}
	var row rowset
	for _, field := range t.Fields {
		row.columns = append(row.columns, column{name: field.Name, flow: whole})
	}
	return row, true
}

// rowWritten is ROW(…), whose fields are called f1, f2 …
func (a *analyzer) rowWritten(r *pg.RowExpr, e env) (rowset, bool) {
	var row rowset
	for i, n := range r.GetArgs() {
		if ref := n.GetColumnRef(); ref != nil && isStar(ref) {
			return rowset{}, false // as many as the item has columns
		}
		c := a.valueColumn(n, e)
		c.name, c.shape = "f"+strconv.Itoa(i+1), a.shapeOf(n, e)
		row.columns = append(row.columns, c)
	}
	return row, true
}

// rowTyped is a value that was made one of a relation's row type.
func (a *analyzer) rowTyped(t *pg.TypeName, whole flow) (rowset, bool) {
	names := stringList(t.GetNames())
	if len(names) == 0 || len(names) > 2 || len(t.GetArrayBounds()) > 0 || t.GetSetof() || t.GetPctType() {
		return rowset{}, false
	}
	schema := ""
	if len(names) == 2 {
		schema = names[0]
	}
	name := names[len(names)-1]
	c := a.resolve(schema, name)
	if len(c.relations) != 1 || c.temp || c.unknown || a.hidden(c) || schema == "" && builtinTypes[name] {
		return rowset{}, false
	}
	var row rowset
	for _, column := range visible(c.relations[0]) {
		column.flow, column.plain = whole, false
		row.columns = append(row.columns, column)
	}
	return row, true
}

// rowPopulated is jsonb_populate_record() and its like, which return a row of their
// first argument's type.
func (a *analyzer) rowPopulated(call *pg.FuncCall, e env) (rowset, bool) {
	schema, name := funcName(call)
	if !populating[name] || schema != "" && schema != "pg_catalog" || a.cat.UserFunction(name) || len(call.GetArgs()) != 2 {
		return rowset{}, false
	}
	cast := call.GetArgs()[0].GetTypeCast()
	if cast == nil {
		return rowset{}, false
	}
	return a.rowTyped(cast.GetTypeName(), a.flowOfAll(call.GetArgs(), e).derived())
}

var populating = wordSet("json_populate_record jsonb_populate_record json_populate_recordset jsonb_populate_recordset")

// fieldOf is one field of a row of known columns.
func (a *analyzer) fieldOf(n *pg.Node, name string, e env) (flow, bool) {
	row, ok := a.rowOf(n, e)
	if !ok || row.open || name == "" {
		return flow{}, false
	}
	at := indexOf(row.columns, name)
	if at < 0 {
		return flow{}, false
	}
	return named(row, name).flow, true
}

// elementOf is "(ARRAY[…])[number]" of an array that is written out. One slice among
// the subscripts makes slices of them all.
func (a *analyzer) elementOf(n *pg.Node, subscripts []*pg.Node, e env) (flow, bool) {
	index := subscripts[0].GetAIndices().GetUidx().GetAConst().GetIval()
	elements := n.GetAArrayExpr().GetElements()
	if index == nil || len(elements) == 0 {
		return flow{}, false
	}
	for _, s := range subscripts {
		if s.GetAIndices().GetIsSlice() {
			return flow{}, false
		}
	}
	if i := int(index.GetIval()); i >= 1 && i <= len(elements) {
		return a.flowOf(elements[i-1], e).derived(), true
	}
	return flow{}, true // NULL
}

// columnCalled is "column(row)", where no function and no type has that name.
func (a *analyzer) columnCalled(call *pg.FuncCall, name string, e env) (flow, bool) {
	if !a.isField(call, name) || known(name) || builtinTypes[name] || a.cat.Extended(name) || a.cat.TypeNamed("", name) {
		return flow{}, false
	}
	return a.fieldOf(call.GetArgs()[0], name, e)
}

// rowExpanded is "(row).*".
func (a *analyzer) rowExpanded(x *pg.A_Indirection, whole flow, e env) rowset {
	if len(x.GetIndirection()) == 1 {
		if row, ok := a.rowOf(x.GetArg(), e); ok {
			return row
		}
	}
	return rowset{open: true, rest: whole}
}

// oneColumn are the functions in FROM that return one column of one value, named
// after the item (parse_relation.c, chooseScalarFunctionAlias).
var oneColumn = wordSet(`generate_series generate_subscripts string_to_table regexp_split_to_table regexp_matches
	json_object_keys jsonb_object_keys jsonb_path_query jsonb_path_query_tz current_schemas string_to_array now
	current_setting current_database`)

// outColumns are the columns of functions in FROM whose results have names of their
// own (pg_proc.proargnames).
var outColumns = map[string][]string{
	"json_array_elements": {"value"}, "json_array_elements_text": {"value"},
	"jsonb_array_elements": {"value"}, "jsonb_array_elements_text": {"value"},
	"json_each": {"key", "value"}, "json_each_text": {"key", "value"},
	"jsonb_each": {"key", "value"}, "jsonb_each_text": {"key", "value"},
	"pg_options_to_table": {"option_name", "option_value"},
	"aclexplode":          {"grantor", "grantee", "privilege_type", "is_grantable"},
}

// functionColumns are the columns of one function in FROM, each carrying the whole.
// alias names the column of a function that gives only one.
func (a *analyzer) functionColumns(n *pg.Node, definitions []*pg.Node, alias string, whole flow, e env) rowset {
	var row rowset
	add := func(name string) { row.columns = append(row.columns, column{name: name, flow: whole}) }
	for _, def := range definitions {
		add(def.GetColumnDef().GetColname())
	}
	call := n.GetFuncCall()
	schema, name := funcName(call)
	builtin := call != nil && (schema == "" || schema == "pg_catalog") && !a.cat.UserFunction(name)
	populated, isPopulated := a.rowPopulated(call, e)
	switch {
	case len(definitions) > 0:
	case a.calls[call] != nil:
		return a.routineRow(call, alias, whole)
	case !builtin:
		row.open, row.rest = true, whole
	case name == "unnest" && a.allScalars(call.GetArgs(), e):
		if len(call.GetArgs()) > 1 { // as several calls side by side
			alias = name
		}
		for range call.GetArgs() {
			add(alias)
		}
	case oneColumn[name]:
		add(alias)
	case outColumns[name] != nil:
		for _, column := range outColumns[name] {
			add(column)
		}
	case isPopulated:
		return populated
	default:
		row.open, row.rest = true, whole
	}
	return row
}

// allScalars reports whether these certainly are arrays of plain values; unnest()
// makes several columns of composite ones.
func (a *analyzer) allScalars(args []*pg.Node, e env) bool {
	for _, n := range args {
		if !a.scalars(n, e) {
			return false
		}
	}
	return len(args) > 0
}

func (a *analyzer) scalars(n *pg.Node, e env) bool {
	switch v := n.GetNode().(type) {
	case *pg.Node_TypeCast:
		names := stringList(v.TypeCast.GetTypeName().GetNames())
		return len(names) > 0 && builtinTypes[names[len(names)-1]] && names[len(names)-1] != "record" &&
			len(a.cat.Named(names[len(names)-1])) == 0
	case *pg.Node_AArrayExpr:
		for _, element := range v.AArrayExpr.GetElements() {
			if element.GetAConst() == nil && element.GetAArrayExpr() == nil {
				return false
			}
		}
		return true
	case *pg.Node_FuncCall:
		schema, name := funcName(v.FuncCall)
		return (schema == "" || schema == "pg_catalog") && textArrays[name] && !a.cat.UserFunction(name)
	case *pg.Node_ColumnRef:
		f := a.reference(v.ColumnRef, e)
		if f.column == nil || !f.plain {
			return false
		}
		return a.plainElements(f.column.typeOID)
	}
	return false
}

var textArrays = wordSet("string_to_array regexp_split_to_array regexp_match regexp_matches current_schemas")

// plainElements reports whether a type is an array of a base type or an enum.
func (a *analyzer) plainElements(oid uint32) bool {
	array, _ := a.cat.Type(oid)
	element, ok := a.cat.Type(array.Elem)
	return ok && isPlain(element)
}

func isPlain(t catalog.Type) bool { return t.Kind == 'b' || t.Kind == 'e' }

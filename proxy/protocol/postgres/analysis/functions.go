package analysis

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

// known reports whether pg_catalog has a function of that name that computes from
// its arguments or reads nothing but harmless state.
func known(name string) bool { return functions.Builtin(name).Harmless() }

// funcName splits a call's name. The schema is empty for an unqualified one.
func funcName(call *pg.FuncCall) (schema, name string) {
	parts := stringList(call.GetFuncname())
	if len(parts) == 0 {
		return "", ""
	}
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	return schema, parts[len(parts)-1]
}

// call classifies a function call by its name.
func (a *analyzer) call(call *pg.FuncCall, found *inventory) {
	schema, name := funcName(call)
	written := name
	if schema != "" {
		written = schema + "." + name
	}
	if a.trusted[written] {
		a.functions[written] = true
		return
	}
	if schema == "" && a.fieldSelection(call, name, found) {
		return
	}
	if strings.HasPrefix(name, "pg_sleep") {
		a.sleeps = true
	}
	if a.mayCall(call, schema, name) {
		a.functions[written] = true
		return
	}
	builtin := schema == "pg_catalog" || schema == "" && !a.cat.UserFunction(name)
	d, isDangerous := functions.DangerOf(name)
	switch {
	case isDangerous && (builtin || d.Anywhere):
		a.feature(string(d.Class), name+"()")
	case schema == "net" && strings.HasPrefix(name, "http"):
		a.feature(ForeignData, written+"()")
	case builtin && name == "set_config":
		a.setConfig(call)
	case builtin && runsText(call, name):
		a.feature(DynamicSQL, name+"() with a query text")
	case builtin && (known(name) || len(call.GetArgs()) == 1 && builtinTypes[name]): // "text(x)" casts
	case schema == "information_schema" && functions.InformationSchema(name).Harmless():
	case a.cat.Extended(name) && !a.cat.UserFunction(name):
	case !a.cat.UserFunction(name) && a.absentFunction(call, schema, name):
		return
	default:
		a.feature(UnknownFunction, "the function "+written+"()")
	}
	if builtin && schema == "" && (isDangerous || known(name)) {
		written = "pg_catalog." + name
	}
	a.functions[written] = true
}

// vouched reports whether a call's result carries nothing but what its arguments
// carry. Whatever it is that the inventory reported as dangerous, does not.
func (a *analyzer) vouched(schema, name string) bool {
	if a.trusted[name] && schema == "" || a.trusted[schema+"."+name] {
		return true
	}
	if a.cat.UserFunction(name) && schema != "pg_catalog" {
		return false
	}
	if d, ok := functions.DangerOf(name); ok {
		return d.Class == SideEffect || d.Class == Lock || d.Class == Notify || d.Class == ServerControl
	}
	return schema != "net" && (known(name) || name == "set_config" || a.cat.Extended(name) ||
		schema == "information_schema" && functions.InformationSchema(name).Harmless())
}

// fieldSelection recognizes "ssn(c)", which PostgreSQL reads as "c.ssn" where no
// such function exists: one plain argument, and a column of that name.
func (a *analyzer) fieldSelection(call *pg.FuncCall, name string, found *inventory) bool {
	if len(call.GetArgs()) != 1 || call.GetAggOrder() != nil || call.GetAggFilter() != nil || call.GetOver() != nil ||
		call.GetAggStar() || call.GetAggDistinct() || call.GetAggWithinGroup() || call.GetFuncVariadic() {
		return false
	}
	if a.cat.UserFunction(name) || known(name) {
		return false
	}
	if _, isDangerous := functions.DangerOf(name); isDangerous || name == "set_config" {
		return false
	}
	for _, rv := range found.relations {
		for _, r := range a.cat.Named(rv.GetRelname()) {
			if r.Column(name) != nil {
				return true
			}
		}
	}
	return false
}

func trustedNames(list []string) map[string]bool {
	names := map[string]bool{}
	for _, entry := range list {
		name, _, _ := strings.Cut(entry, "(")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		names[name] = true
		if _, bare, qualified := strings.Cut(name, "."); qualified {
			names[bare] = true // reached through the search path
		}
	}
	return names
}

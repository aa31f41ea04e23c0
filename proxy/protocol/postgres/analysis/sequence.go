package analysis

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// setsSequence recognizes setval() of a sequence that is named in the text, as
// frameworks write it after loading rows: setval('orders_id_seq', 42), or
// setval(pg_get_serial_sequence('orders', 'id'), …). It counts as an UPDATE of that
// sequence, or of the table that it belongs to. Any other setval() is not seen
// through.
func (a *analyzer) setsSequence(call *pg.FuncCall) bool {
	args := call.GetArgs()
	if len(args) < 2 || call.GetFuncVariadic() {
		return false
	}
	schema, name, ok := a.sequenceOrTable(args[0])
	if !ok {
		return false
	}
	target := a.resolve(schema, name)
	if len(target.relations) != 1 || target.temp || target.unknown || a.hidden(target) {
		return false
	}
	r := target.relations[0]
	a.resource(r.Schema, r.Name, access.AccessWrite, nil)
	a.inner = append(a.inner, access.Statement{Kind: KindUpdate, Resources: []access.Resource{
		{Schema: r.Schema, Name: r.Name, Access: access.AccessWrite},
	}})
	return true
}

// sequenceOrTable is the relation that the first argument of setval() names.
func (a *analyzer) sequenceOrTable(n *pg.Node) (schema, name string, ok bool) {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().GetArg()
	}
	if c := n.GetAConst(); c.GetSval() != nil {
		return splitName(c.GetSval().GetSval())
	}
	call := n.GetFuncCall()
	if call == nil || len(call.GetArgs()) != 2 {
		return "", "", false
	}
	in, function := funcName(call)
	table := call.GetArgs()[0].GetAConst()
	if function != "pg_get_serial_sequence" || in != "" && in != "pg_catalog" || a.cat.UserFunction(function) || table.GetSval() == nil {
		return "", "", false
	}
	return splitName(table.GetSval().GetSval())
}

// splitName splits a name as regclass reads it: schema.name or name, each folded to
// lower case unless it is in double quotes (varlena.c, SplitIdentifierString).
func splitName(text string) (schema, name string, ok bool) {
	var parts []string
	for rest := strings.TrimSpace(text); ; {
		var part string
		if strings.HasPrefix(rest, `"`) {
			end := strings.Index(rest[1:], `"`)
			if end < 1 || strings.HasPrefix(rest[end+2:], `"`) { // a quote in a name: nobody's sequence
				return "", "", false
			}
			part, rest = rest[1:end+1], rest[end+2:]
		} else {
			at := strings.IndexAny(rest, ".\" \t")
			if at < 0 {
				at = len(rest)
			}
			part, rest = strings.ToLower(rest[:at]), rest[at:]
		}
		parts = append(parts, part)
		if rest == "" {
			break
		}
		if part == "" || rest[0] != '.' {
			return "", "", false
		}
		rest = rest[1:]
	}
	switch last := parts[len(parts)-1]; {
	case last == "" || len(parts) > 2:
		return "", "", false
	case len(parts) == 2:
		return parts[0], last, true
	default:
		return "", last, true
	}
}

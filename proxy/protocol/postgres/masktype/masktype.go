// Package masktype describes a database's types to the maskers: it is where
// catalog and proxy/mask, which do not know each other, meet.
package masktype

import (
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// maxDepth bounds how deep types nest that are masked inside.
const maxDepth = 8

// Of returns the type with that OID as the maskers know types; nil where it is not
// known.
func Of(cat *catalog.Snapshot, oid uint32) *mask.Type { return nested(cat, oid, 0) }

func nested(cat *catalog.Snapshot, oid uint32, depth int) *mask.Type {
	if t, ok := mask.Builtin(oid); ok {
		return t
	}
	t, ok := cat.Type(oid)
	if !ok || depth > maxDepth {
		return nil
	}
	out := &mask.Type{OID: oid, Name: t.Name, Labels: t.Labels}
	switch {
	case t.Elem != 0:
		out.Kind, out.Elem = mask.Array, nested(cat, t.Elem, depth+1)
	case t.Kind == 'd':
		out.Kind, out.Base = mask.Domain, nested(cat, t.Base, depth+1)
	case t.Kind == 'e':
		out.Kind = mask.Enum
	case t.Kind == 'r':
		out.Kind, out.Elem = mask.Range, nested(cat, t.Sub, depth+1)
	case t.Kind == 'm':
		out.Kind, out.Elem = mask.Multirange, nested(cat, t.Sub, depth+1)
	case t.Kind == 'c':
		out.Kind = mask.Composite
		for _, f := range t.Fields {
			out.Fields = append(out.Fields, mask.Field{Name: f.Name, Type: nested(cat, f.TypeOID, depth+1)})
		}
	}
	return out
}

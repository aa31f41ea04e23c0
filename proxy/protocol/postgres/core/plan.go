package core

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// maxTypeDepth bounds how deep types nest that are masked inside.
const maxTypeDepth = 8

// rowPlan says what happens to each column of a result. It is compiled once per
// result, or once per portal.
type rowPlan struct {
	masks   []mask.Masker // nil entry: shown
	full    []mask.Masker // for values too large to be looked at
	formats []mask.Format
	fields  []wire.Field
	masking bool // any entry of masks is set
	limited bool // the policy bounds the result
	record  bool // rows go into the recording

	disagrees       bool // the server attests what the analysis had not seen
	suspect         string
	suspectRelation uint32

	batch   *access.Rows
	batched int // bytes in batch
}

// plan compiles what happens to a result's rows. st is what the analysis knows of
// the statement, fields what the server attests; a column is masked where either
// says that it is tagged.
func (c *Conn) plan(a *answer, st *analysis.Statement, fields []wire.Field) *rowPlan {
	d := a.exchange.Decision()
	p := &rowPlan{fields: fields, limited: d.Limits.Any(), record: c.set.RecordRows}
	if !c.catalog.AnyTagged() {
		return p
	}
	p.masks = make([]mask.Masker, len(fields))
	p.full = make([]mask.Masker, len(fields))
	p.formats = make([]mask.Format, len(fields))
	for i, f := range fields {
		tags, derived := ColumnTags(c.catalog, st, i, len(fields), f)
		p.formats[i] = mask.Format(f.Format)
		if len(tags) == 0 {
			continue
		}
		if st == nil || !st.Touches {
			p.disagrees, p.suspect, p.suspectRelation = true, f.Name, f.Relation
		}
		if m := c.masker(tags, derived, f.Type, d.Masks); m != nil {
			p.masks[i], p.masking = m, true
			p.full[i] = mask.Full(c.maskType(f.Type, 0), mask.Spec{})
		}
	}
	return p
}

// ColumnTags returns the tags that values of the i-th of a result's columns may
// carry, and whether they may be derived from tagged values rather than be one. st
// is what the analysis knows of the statement (nil: nothing), f what the server
// attests; both count.
func ColumnTags(cat *catalog.Snapshot, st *analysis.Statement, i, columns int, f wire.Field) (tags []string, derived bool) {
	tags, known := cat.Origin(f.Relation, f.Attr)
	if known {
		derived = f.Attr == 0 // the whole row as one value
	}
	if st == nil {
		return tags, derived
	}
	if len(st.Outputs) == columns {
		for _, t := range st.Outputs[i].Tags {
			if !slices.Contains(tags, t) {
				tags, derived = catalog.Union(tags, []string{t}), true
			}
		}
		return tags, derived
	}
	if !known || f.Attr == 0 {
		return catalog.Union(tags, st.Derived), true
	}
	return tags, false
}

// masker returns the masker for a value that carries tags: the strictest of what
// policy says for each of them. nil shows the value.
func (c *Conn) masker(tags []string, derived bool, typeOID uint32, masks map[string]access.Mask) mask.Masker {
	spec := c.strictest(tags, masks)
	if spec.Strategy == mask.Reveal {
		return nil
	}
	t := c.maskType(typeOID, 0)
	if derived {
		return mask.Full(t, spec)
	}
	return mask.New(t, spec)
}

// strictest is the strictest of what policy says for each of the tags.
func (c *Conn) strictest(tags []string, masks map[string]access.Mask) mask.Spec {
	spec := c.maskSpec(masks[tags[0]])
	for _, t := range tags[1:] {
		if other := c.maskSpec(masks[t]); mask.Stricter(spec.Strategy, other.Strategy) != spec.Strategy {
			spec = other
		}
	}
	return spec
}

// maskType describes a type to the maskers; nil where it is not known.
func (c *Conn) maskType(oid uint32, depth int) *mask.Type {
	if t, ok := mask.Builtin(oid); ok {
		return t
	}
	t, ok := c.catalog.Type(oid)
	if !ok || depth > maxTypeDepth {
		return nil
	}
	out := &mask.Type{OID: oid, Name: t.Name, Labels: t.Labels}
	switch {
	case t.Elem != 0:
		out.Kind, out.Elem = mask.Array, c.maskType(t.Elem, depth+1)
	case t.Kind == 'd':
		out.Kind, out.Base = mask.Domain, c.maskType(t.Base, depth+1)
	case t.Kind == 'e':
		out.Kind = mask.Enum
	case t.Kind == 'r':
		out.Kind, out.Elem = mask.Range, c.maskType(t.Sub, depth+1)
	case t.Kind == 'm':
		out.Kind, out.Elem = mask.Multirange, c.maskType(t.Sub, depth+1)
	case t.Kind == 'c':
		out.Kind = mask.Composite
		for _, f := range t.Fields {
			out.Fields = append(out.Fields, mask.Field{Name: f.Name, Type: c.maskType(f.TypeOID, depth+1)})
		}
	}
	return out
}

// passes reports whether rows may be forwarded without being looked at.
func (p *rowPlan) passes() bool { return !p.masking && !p.limited && !p.record }

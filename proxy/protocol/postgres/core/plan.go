package core

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/masktype"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

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
	// unrecorded are columns whose values do not, since they may be constants that the recording does not keep; nil: none.
	unrecorded []bool

	disagrees       bool // the server attests what the analysis had not seen
	suspect         string
	suspectRelation uint32

	batch   *access.Rows
	batched int        // bytes in batch
	digest  *rowDigest // in place of batch, where digests are recorded
}

// plan compiles what happens to a result's rows. st is what the analysis knows of
// the statement, fields what the server attests; a column is masked where either
// says that it is tagged.
func (c *Conn) plan(a *answer, st *analysis.Statement, fields []wire.Field) *rowPlan {
	d := a.exchange.Decision()
	p := &rowPlan{fields: fields, limited: d.Limits.Any(), record: c.set.RecordRows || c.set.DigestRows, digest: c.digest()}
	if p.record && p.digest == nil && a.exchange.Hides() {
		p.unrecorded = unrecorded(st, fields)
	}
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
		if st == nil || !st.Touches || unmasked(st, f) {
			p.disagrees, p.suspect, p.suspectRelation = true, f.Name, f.Relation
		}
		m := c.masker(tags, derived, f.Type, d.Masks)
		if s := ColumnShape(c.catalog, st, i, len(fields), f); s != nil && m != nil {
			m = c.structured(s, c.typeOrUnknown(f.Type), d.Masks)
		}
		if m != nil {
			p.masks[i], p.masking = m, true
			p.full[i] = mask.Full(masktype.Of(c.catalog, f.Type), mask.Spec{})
		}
	}
	return p
}

// unrecorded finds the columns of a result that may repeat constants of the statement: all of which neither the server nor
// the analysis says that they come from columns of tables.
func unrecorded(st *analysis.Statement, fields []wire.Field) []bool {
	out := make([]bool, len(fields))
	for i, f := range fields {
		known := st != nil && len(st.Outputs) == len(fields) && len(st.Outputs[i].Sources) > 0 && !st.Outputs[i].Derived
		if known {
			for _, s := range st.Outputs[i].Sources {
				known = known && s.Relation != 0 && s.How == analysis.Direct
			}
		}
		out[i] = !known && f.Relation == 0
	}
	return out
}

// unmasked reports whether the server attests a column to be one that the statement
// should have read through a mask: what the mask computes is no column of a table.
func unmasked(st *analysis.Statement, f wire.Field) bool {
	return slices.ContainsFunc(st.Masked, func(m analysis.Masked) bool {
		return m.Relation == f.Relation && (f.Attr == 0 || slices.Contains(m.Columns, f.Attr))
	})
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
	if !known || f.Attr == 0 || st.Past && !isSteady(cat, f) {
		return catalog.Union(tags, st.Derived), true
	}
	return tags, false
}

// strictest is the strictest of what policy says for each of several tags.
func (c *Conn) strictest(tags []string, masks map[string]access.Mask) mask.Spec {
	if len(tags) == 0 {
		return mask.Spec{}
	}
	spec := c.maskSpec(masks[tags[0]])
	for _, t := range tags[1:] {
		if other := c.maskSpec(masks[t]); mask.Stricter(spec.Strategy, other.Strategy) != spec.Strategy {
			spec = other
		}
	}
	return spec
}

// masker returns the masker for a value that carries tags: the strictest of what
// policy says for each of them. nil shows the value.
func (c *Conn) masker(tags []string, derived bool, typeOID uint32, masks map[string]access.Mask) mask.Masker {
	spec := c.strictest(tags, masks)
	if spec.Strategy == mask.Reveal {
		return nil
	}
	t := masktype.Of(c.catalog, typeOID)
	if derived {
		return mask.Full(t, spec)
	}
	return mask.New(t, spec)
}

// typeOrUnknown is the type as maskers know it, with one that nothing fits for one that is not known.
func (c *Conn) typeOrUnknown(oid uint32) *mask.Type {
	if t := masktype.Of(c.catalog, oid); t != nil {
		return t
	}
	return &mask.Type{OID: oid}
}

// passes reports whether rows may be forwarded without being looked at.
func (p *rowPlan) passes() bool { return !p.masking && !p.limited && !p.record }

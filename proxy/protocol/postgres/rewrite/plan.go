package rewrite

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// Plan says which columns of a database are masked at the source, and how. It is
// safe for concurrent use. The nil Plan masks none.
type Plan struct {
	// Number is different for every plan of this process, from 1.
	Number uint64
	// Catalog is the database as statements see it through the masks.
	Catalog *catalog.Snapshot

	real  *catalog.Snapshot
	masks map[string]access.Mask

	mu        sync.Mutex
	relations map[uint32]*view // filled as they are asked for
}

// view is what a relation is read as. err says why it cannot be read.
type view struct {
	columns []string // the select list, quoted
	masked  map[string]bool
	numbers []int16 // of the masked ones
	whole   string  // the sub-select, in one copy: prepared statements keep it
	err     error
}

// plans counts the plans of this process.
var plans atomic.Uint64

// New returns the plan for a catalog under what policy says of its tags; nil where
// nothing is masked at the source. A tag that masks does not hold is masked in the
// result.
func New(cat *catalog.Snapshot, masks map[string]access.Mask) *Plan {
	p := &Plan{real: cat, masks: masks, relations: map[uint32]*view{}}
	if !p.atSource(cat.AllTags()) {
		return nil
	}
	p.Number = plans.Add(1)
	p.Catalog = cat.Untagged(p.atSource)
	return p
}

// atSource reports whether a column with these tags is masked at the source: one of
// them is enough.
func (p *Plan) atSource(tags []string) bool {
	return slices.ContainsFunc(tags, func(tag string) bool { return p.masks[tag].AtSource() })
}

// Agrees reports whether a decision's masks are those that p was made of, as far as
// either masks at the source. A nil plan agrees with masks of which none does.
func (p *Plan) Agrees(masks map[string]access.Mask) bool {
	for tag, m := range masks {
		var mine access.Mask
		if p != nil {
			mine = p.masks[tag]
		}
		if (m.AtSource() || mine.AtSource()) && m != mine {
			return false
		}
	}
	return true
}

// masked reports whether a relation has columns that are masked at the source.
func (p *Plan) masked(r *catalog.Relation) bool {
	return r != nil && slices.ContainsFunc(r.Columns, func(c catalog.Column) bool { return p.atSource(c.Tags) })
}

// view returns what a relation is read as.
func (p *Plan) view(r *catalog.Relation) *view {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.relations[r.OID]
	if v == nil {
		v = p.build(r)
		p.relations[r.OID] = v
	}
	return v
}

func (p *Plan) build(r *catalog.Relation) *view {
	v := &view{masked: map[string]bool{}}
	for i := range r.Columns {
		c := &r.Columns[i]
		switch {
		case c.Dropped:
		case !p.atSource(c.Tags):
			v.columns = append(v.columns, quote(c.Name))
		default:
			v.masked[c.Name], v.numbers = true, append(v.numbers, c.Num)
			masked, err := expression(p.real, c, p.strictest(c.Tags))
			if err != nil && r.Schema == "pg_catalog" { // statistics: of types that no mask fits
				masked, err = nothing(c), nil
			}
			if err != nil && v.err == nil {
				v.err = fmt.Errorf("column %s of %s.%s: %w", c.Name, r.Schema, r.Name, err)
			}
			v.columns = append(v.columns, masked+" AS "+quote(c.Name))
		}
	}
	v.whole = v.selects(r, false)
	return v
}

// selects returns the sub-select that stands for a relation, without parentheses.
func (v *view) selects(r *catalog.Relation, only bool) string {
	from := " FROM "
	if only {
		from = " FROM ONLY "
	}
	return "SELECT " + strings.Join(v.columns, ", ") + from + quote(r.Schema) + "." + quote(r.Name)
}

// strictest is what becomes of a value with several tags, as in results.
func (p *Plan) strictest(tags []string) mask.Spec {
	spec := specOf(p.masks[tags[0]])
	for _, t := range tags[1:] {
		if other := specOf(p.masks[t]); mask.Stricter(spec.Strategy, other.Strategy) != spec.Strategy {
			spec = other
		}
	}
	return spec
}

// specOf is a policy's mask in the maskers' terms, without a key: there is none in
// a statement. An unknown strategy redacts.
func specOf(m access.Mask) mask.Spec {
	strategy, err := mask.ParseStrategy(m.Strategy)
	if err != nil {
		strategy = mask.Redact
	}
	return mask.Spec{Strategy: strategy, KeepDomain: m.KeepDomain, KeepFirst: m.KeepFirst, KeepLast: m.KeepLast, TruncateTo: m.TruncateTo}
}

// quote writes a name as an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal writes a string constant that reads the same whatever
// standard_conforming_strings is.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

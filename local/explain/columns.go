package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// planner says what becomes of columns, by the same rules as the engine's plan of a result.
type planner struct {
	catalog *catalog.Snapshot
	masks   map[string]access.Mask
}

// columns returns the columns of a statement's result, or a note that says why they are not known.
func (p planner) columns(ctx context.Context, db *database, st *analysis.Statement) ([]Column, string) {
	if st.Copy != nil {
		return p.copied(st)
	}
	if !st.ReturnsRows {
		return nil, ""
	}
	fields, err := db.fields(ctx, st.Text)
	if err != nil {
		return nil, "the server would not take it: " + err.Error()
	}
	out := make([]Column, 0, len(fields))
	for i, f := range fields {
		c := Column{Name: f.name, Type: f.kind, Source: p.source(f.relation, f.attribute)}
		attested := wire.Field{Relation: f.relation, Attr: f.attribute}
		c.Tags, c.Derived = core.ColumnTags(p.catalog, st, i, len(fields), attested)
		c.Derived = c.Derived && len(c.Tags) > 0
		if len(st.Outputs) == len(fields) {
			c.Sources = sources(st.Outputs[i].Sources)
		}
		out = append(out, p.masked(c, core.ColumnShape(p.catalog, st, i, len(fields), attested)))
	}
	return out, ""
}

// runs asks the server whether it would take the text that runs in place of the client's, and returns why not.
func (p planner) runs(ctx context.Context, db *database, st *analysis.Statement, text string) string {
	if text == "" || !st.ReturnsRows {
		return ""
	}
	if _, err := db.fields(ctx, text); err != nil {
		return "masked at the source, the server would not take it: " + err.Error()
	}
	return ""
}

// copied returns the columns of a COPY TO STDOUT.
func (p planner) copied(st *analysis.Statement) ([]Column, string) {
	if !st.Copy.Out {
		return nil, ""
	}
	if st.Copy.Columns == nil {
		if len(st.Derived) > 0 {
			return nil, "the columns are not known, so every value is masked as " + strings.Join(st.Derived, ", ")
		}
		return nil, ""
	}
	var out []Column
	for i, column := range st.Copy.Columns {
		c := Column{Name: column.Name, Source: p.source(column.RelOID, column.Num), Tags: column.Tags, Derived: column.Derived && len(column.Tags) > 0}
		if len(st.Outputs) == len(st.Copy.Columns) {
			c.Sources = sources(st.Outputs[i].Sources)
		}
		out = append(out, p.masked(c, column.Shape))
	}
	return out, ""
}

// source names the column that the server attests.
func (p planner) source(relation uint32, attribute int16) string {
	r := p.catalog.Relation(relation)
	if r == nil || attribute <= 0 {
		return ""
	}
	for i := range r.Columns {
		if c := &r.Columns[i]; c.Num == attribute {
			return r.Schema + "." + r.Name + "." + c.Name
		}
	}
	return ""
}

// masked says what becomes of a column: the strictest of what the policy says for its tags, or, in a value of known shape, for those of each part.
func (p planner) masked(c Column, shape *analysis.Shape) Column {
	if len(c.Tags) == 0 {
		c.Why = "shown"
		return c
	}
	if shape != nil {
		return p.inside(c, shape)
	}
	entry, strategy := p.strictest(c.Tags)
	c.Rule = entry.Rule
	switch {
	case p.atSource(c.Tags) && c.Derived:
		c.Why = "computed from values that are masked at the source" + by(c.Rule)
		return c
	case p.atSource(c.Tags):
		c.Mask, c.Why = strategy.String(), "masked at the source: "+strategy.String()+keeping(entry, strategy)+by(c.Rule)
		return c
	case strategy == mask.Reveal:
		c.Why = "shown: Reveal" + by(c.Rule)
		return c
	case c.Derived && strategy != mask.Hash && strategy != mask.Null:
		c.Mask, c.Why = mask.Redact.String(), "masked: Redact, because it is derived"
		return c
	}
	c.Mask = strategy.String()
	c.Why = "masked: " + c.Mask + keeping(entry, strategy) + by(c.Rule)
	if c.Rule == "" {
		c.Why = "masked: Redact, because no mask of a policy is for it"
	}
	return c
}

// atSource reports whether a column is masked where the statement reads it: one of its tags is enough.
func (p planner) atSource(tags []string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return p.masks[t].AtSource() })
}

// inside says what becomes of the parts of a structured value.
func (p planner) inside(c Column, shape *analysis.Shape) Column {
	masked := 0
	shape.Leaves(func(path string, leaf *analysis.Shape) {
		derived := leaf.Derived || leaf.Kind == analysis.ShapeOpaque
		part := p.masked(Column{Tags: leaf.Tags, Derived: derived}, nil)
		if part.Mask != "" {
			masked++
		}
		c.Inside = append(c.Inside, Inside{
			Path: path, Sources: sources(leaf.Sources), Tags: leaf.Tags, Derived: derived, Mask: part.Mask, Rule: part.Rule, Why: part.Why,
		})
	})
	if masked == 0 {
		c.Why = "shown, also inside"
		return c
	}
	c.Mask, c.Why = "Inside", "masked inside"
	return c
}

func (p planner) strictest(tags []string) (access.Mask, mask.Strategy) {
	entry := p.masks[tags[0]]
	strategy := parse(entry)
	for _, t := range tags[1:] {
		if other := p.masks[t]; mask.Stricter(strategy, parse(other)) != strategy {
			entry, strategy = other, parse(other)
		}
	}
	return entry, strategy
}

// parse is Redact for everything that is not a strategy, as in the engine.
func parse(m access.Mask) mask.Strategy {
	strategy, _ := mask.ParseStrategy(m.Strategy)
	return strategy
}

// keeping says what a strategy leaves of a value.
func keeping(m access.Mask, strategy mask.Strategy) string {
	var kept []string
	switch strategy {
	case mask.Partial:
		if m.KeepFirst > 0 {
			kept = append(kept, fmt.Sprintf("the first %d", m.KeepFirst))
		}
		if m.KeepLast > 0 {
			kept = append(kept, fmt.Sprintf("the last %d", m.KeepLast))
		}
		if m.KeepDomain {
			kept = append(kept, "the domain")
		}
	case mask.DateTrunc:
		kept = append(kept, "the "+strings.ToLower(m.TruncateTo))
	}
	if len(kept) == 0 {
		return ""
	}
	return ", keeps " + strings.Join(kept, " and ")
}

func by(rule string) string {
	if rule == "" {
		return ""
	}
	return " (" + rule + ")"
}

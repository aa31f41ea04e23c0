package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// finding is something that lineage says wrongly.
type finding struct {
	kind   string // missed, missed predicate, missed laundering, over-masked, unknown
	number uint64 // of the statement
	sql    string
	text   string
}

// The kinds of findings. Those that start with "missed" are leaks.
const (
	missed        = "missed"            // an output depends on a tag that lineage does not say
	missedByPlan  = "missed (plan)"     // the plan computes an output from a tagged column, lineage says nothing
	missedRows    = "missed predicate"  // the number of rows, or an error, depends on a tag without a predicate of it
	missedWrite   = "missed laundering" // what was written to untagged columns depends on a tag
	overMasked    = "over-masked"       // an output that lineage tags and that never differs
	notUnderstood = "not understood"
	metamorphic   = "missed (wrapped)" // the same query, wrapped, is said to carry less
)

// statement is one made statement.
type statement struct {
	number uint64
	sql    string
	target string // of a change: the relation
	used   map[string]bool
}

// outcome is what was found out about one statement.
type outcome struct {
	accepted bool
	blocked  []string // features that need a rule
	columns  int      // of its result
	judged   int      // of them that hold a value
	tagged   int      // of them that lineage tags
	differs  int      // of them that differ
	same     int      // of those judged and tagged, that never differ
	over     int      // of them that the plan does not compute from a tagged column either
	findings []finding
	pure     bool // no predicate on a tagged column
}

// blockers are features that a policy must name; a statement with one of them is not run by default.
var blockers = map[string]bool{
	analysis.Inference: true, analysis.Laundering: true, analysis.UnknownFunction: true, analysis.DynamicSQL: true, analysis.SideEffect: true,
}

// judge analyzes a statement and holds it against what the databases and the plan say.
func (d *databases) judge(ctx context.Context, st statement) (outcome, error) {
	var out outcome
	find := func(kind, format string, args ...any) {
		out.findings = append(out.findings, finding{kind, st.number, st.sql, fmt.Sprintf(format, args...)})
	}
	base, written, err := ask(ctx, d.base, st.sql, st.readBack())
	if err != nil || base.err != nil {
		return out, err
	}
	out.accepted = true
	result, refusal := analysis.Analyze(st.sql, nil, d.cat, analysis.Options{})
	if refusal != nil {
		find(notUnderstood, "%v", refusal)
		return out, nil
	}
	facts := &result.Statements[0]
	if facts.Kind == "" {
		find(notUnderstood, "a node that is not known")
		return out, nil
	}
	predicates := out.gather(facts)
	out.pure = len(predicates) == 0
	out.columns = len(base.fields)
	said := make([][]string, len(base.fields))
	for i, f := range base.fields {
		said[i], _ = core.ColumnTags(d.cat, facts, i, len(base.fields), wire.Field{Relation: f.TableOID, Attr: int16(f.TableAttributeNumber)})
	}
	comparison := comparison{
		st: st, base: base, written: written, said: said, facts: facts, predicates: predicates,
		inferred: slices.Contains(out.blocked, analysis.Inference), laundered: slices.Contains(out.blocked, analysis.Laundering), find: find,
	}
	differs, err := d.compare(ctx, &comparison)
	if err != nil {
		return out, err
	}
	if !comparison.laundered { // where a rule lets it, the tags follow, and the statement is analyzed again with them
		d.canaries(base, said, find)
	}
	planned, err := d.plan(ctx, st, said, find)
	if err != nil {
		return out, err
	}
	d.wrapped(st, facts, find)
	out.count(base, said, differs, planned, find)
	return out, nil
}

// gather notes the features that need a rule, and returns the tags of columns in predicates.
func (out *outcome) gather(facts *analysis.Statement) []string {
	predicates := facts.PredicateTags
	for _, fact := range facts.Facts() {
		predicates = catalog.Union(predicates, fact.PredicateTags)
		for _, f := range fact.Features {
			if blockers[f.Name] && !slices.Contains(out.blocked, f.Name) {
				out.blocked = append(out.blocked, f.Name)
			}
		}
	}
	return predicates
}

// count counts the columns, and those that are masked without need.
func (out *outcome) count(base answer, said, differs, planned [][]string, find func(string, string, ...any)) {
	for i := range base.fields {
		if len(said[i]) > 0 {
			out.tagged++
		}
		if len(differs[i]) > 0 {
			out.differs++
		}
		if !hasValue(base.rows, i) {
			continue
		}
		out.judged++
		if len(said[i]) > 0 && len(differs[i]) == 0 {
			out.same++
			if i < len(planned) && len(minus(said[i], planned[i])) < len(said[i]) {
				continue // computed from it, and by chance the same
			}
			out.over++
			find(overMasked, "column %d is said to carry %v", i+1, said[i])
		}
	}
}

// readBack reads what a change has written.
func (st statement) readBack() string {
	if st.target == "" {
		return ""
	}
	return "SELECT * FROM " + st.target
}

// launders returns an untagged column of the changed relation that differs between two databases, or -1.
func (d *databases) launders(st statement, one, other answer, tag string) int {
	r := d.cat.Lookup("public", st.target)
	if r == nil || len(one.rows) != len(other.rows) {
		return -1
	}
	for i, f := range one.fields {
		col := r.Column(f.Name)
		if col != nil && !slices.Contains(col.Tags, tag) && !sameColumn(one.rows, other.rows, i) {
			return i
		}
	}
	return -1
}

// sameColumn compares a column of two results as a bag of values: which row is which may depend on an order that nobody asked for.
func sameColumn(one, other [][][]byte, i int) bool {
	x, y := values(one, i), values(other, i)
	return slices.Equal(x, y)
}

func values(rows [][][]byte, i int) []string {
	list := make([]string, len(rows))
	for at, row := range rows {
		list[at] = "NULL"
		if row[i] != nil {
			list[at] = "=" + string(row[i])
		}
	}
	slices.Sort(list)
	return list
}

func hasValue(rows [][][]byte, i int) bool {
	return slices.ContainsFunc(rows, func(row [][]byte) bool { return row[i] != nil })
}

func minus(a, b []string) []string {
	var rest []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			rest = append(rest, x)
		}
	}
	return rest
}

// canaries looks for tagged values, whole, in columns that lineage calls untagged: also where rows depend on predicates.
func (d *databases) canaries(base answer, said [][]string, find func(string, string, ...any)) {
	for i := range base.fields {
		if slices.Contains(said[i], tags[0]) {
			continue
		}
		for _, row := range base.rows {
			for _, canary := range d.secrets {
				if len(canary) > 5 && bytes.Contains(row[i], canary) {
					find(missed, "column %d holds %q; lineage says %v", i+1, canary, said[i])
					return
				}
			}
		}
	}
}

// wrapped demands that the same query in another dress is said to carry at least the same.
func (d *databases) wrapped(st statement, facts *analysis.Statement, find func(string, string, ...any)) {
	if st.target != "" || len(facts.Outputs) == 0 || st.number%4 != 0 {
		return
	}
	for _, wrap := range []string{
		"COPY (%s) TO STDOUT", "DECLARE c CURSOR FOR %s", "PREPARE p AS %s", "WITH q AS (%s) SELECT * FROM q", "SELECT * FROM (%s) q",
		"EXPLAIN ANALYZE %s",
	} {
		text := fmt.Sprintf(wrap, st.sql)
		result, err := analysis.Analyze(text, nil, d.cat, analysis.Options{})
		if err != nil || result.Statements[0].Kind == "" {
			find(notUnderstood, "wrapped: %s", wrap)
			continue
		}
		inner := &result.Statements[0]
		for _, e := range inner.Effects {
			if e.Statement != nil {
				inner = e.Statement
			}
		}
		var all []string
		for _, o := range facts.Outputs {
			all = catalog.Union(all, o.Tags)
		}
		carried := inner.Tags
		for _, fact := range inner.Facts() {
			carried = catalog.Union(carried, fact.Tags)
		}
		if extra := minus(all, carried); len(extra) > 0 && !strings.Contains(st.sql, "])[") { // the element of an array that is written out
			find(metamorphic, "%s says less: %v is missing", wrap, extra)
		}
		for i, o := range facts.Outputs {
			if len(inner.Outputs) == len(facts.Outputs) && len(minus(o.Tags, inner.Outputs[i].Tags)) > 0 {
				find(metamorphic, "%s says less of column %d: %v instead of %v", wrap, i+1, inner.Outputs[i].Tags, o.Tags)
			}
		}
	}
}

// harmlessUse are uses of a column in a plan that tell nothing of its values.
var harmlessUse = regexp.MustCompile(`(?i)count\(\(?[a-z_0-9.]+\)?\)|pg_typeof\([^()]*\)|\([a-z_0-9]+\.[a-z_0-9]+ IS (NOT )?NULL\)`)

// columnInPlan finds "alias.column".
var columnInPlan = regexp.MustCompile(`\b([a-z_][a-z_0-9]*)\.([a-z_][a-z_0-9]*)\b`)

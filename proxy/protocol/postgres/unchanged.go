package postgres

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// recently is how old a look at the database's definitions may be where plain
// columns of tables alone are shown. What can happen to these in between is that a
// table with protected columns becomes an heir or a partition of one without.
const recently = 100 * time.Millisecond

// unchanged answers a check of the core: whether the statement means the same, and whether nothing has changed at all. Whatever
// fails counts as a change.
func (e *Engine) unchanged(ctx context.Context, s *session.Session, check *core.Check) (same, nothing bool) {
	within := recently
	if check.Exact {
		within = 0
	}
	now, err := e.catalog.within(ctx, s, within)
	if err != nil {
		return false, false
	}
	nothing = now == check.Catalog
	return nothing || e.sameFacts(ctx, s, check, now), nothing
}

// copies reports whether a statement is about to write values of columns elsewhere,
// and how old the definitions may be by which that is judged. What has been written
// stays, whatever is found out when the server answers; so it is looked before, and
// what is left is the moment that the statement takes to reach the server. A
// statement that takes values only from the table that it writes, as counters do,
// is not worth that look each time. A cursor WITH HOLD copies what it reads as well.
func copies(a *core.Ask, result *analysis.Result, cat *catalog.Snapshot) (ago time.Duration, copies bool) {
	if a.Kind == core.AskParse || result == nil || !cat.AnyTagged() {
		return 0, false
	}
	ago = recently
	for i := range result.Statements {
		s := &result.Statements[i]
		if core.Holds(s) {
			return 0, true
		}
		sources := s.Reads.Write
		if s.Kind == analysis.KindDDL { // CREATE TABLE AS and its like: what the query returns is what is written
			sources = slices.Concat(sources, s.Reads.Output)
		}
		for _, source := range sources {
			copies = true
			if !writes(s, source.Schema, source.Table) {
				ago = 0
			}
		}
	}
	return ago, copies
}

func writes(s *analysis.Statement, schema, name string) bool {
	for _, fact := range s.Facts() {
		for _, r := range fact.Resources {
			if r.Access != access.AccessRead && r.Schema == schema && r.Name == name {
				return true
			}
		}
	}
	return false
}

// sameFacts reports whether a statement is what it was under another catalog: its
// facts are, and each relation of the names that it uses. Both are asked, since
// names may have meant something else for a moment in between; a relation that the
// statement uses stays as it is while it runs, and one that has gone does not come
// back under its old number. One that is rewritten must be the same text.
func (e *Engine) sameFacts(ctx context.Context, s *session.Session, check *core.Check, now *catalog.Snapshot) bool {
	if !core.Unmoved(check.Statements, check.Catalog, now) {
		return false
	}
	if check.Text == "" { // an EXECUTE or FETCH: its facts are those of names, found before
		return true
	}
	result, _, err := e.facts.analyze(check.Text, &check.Session, now, e.plan(now, e.masksOf(ctx, s, now)), e.analysisOptions(nil))
	if err != nil || !check.Sent(result.Runs) || len(result.Statements) != len(check.Statements) {
		return false
	}
	for i := range result.Statements {
		if !reflect.DeepEqual(visible(&check.Statements[i]), visible(&result.Statements[i])) {
			return false
		}
	}
	return true
}

// visible are the facts that decide what becomes of a statement's answer.
func visible(s *analysis.Statement) []any {
	return []any{s.Facts(), s.Touches, s.Derived, s.Outputs, s.Copy, s.ReturnsRows}
}

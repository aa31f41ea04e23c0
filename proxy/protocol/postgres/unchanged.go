package postgres

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// recently is how old a look at the database's definitions may be where plain
// columns of tables alone are shown. What can happen to these in between is that a
// table with protected columns becomes an heir or a partition of one without.
const recently = 100 * time.Millisecond

// unchanged answers a check of the core. Whatever fails counts as a change.
func (e *Engine) unchanged(ctx context.Context, s *session.Session, check *core.Check) bool {
	within := recently
	if check.Exact {
		within = 0
	}
	now, err := e.catalog.within(ctx, s, within)
	if err != nil {
		return false
	}
	return now == check.Catalog || e.sameFacts(ctx, s, check, now)
}

// sameFacts reports whether a statement is what it was under another catalog: its
// facts are, and each relation of the names that it uses. Both are asked, since
// names may have meant something else for a moment in between; a relation that the
// statement uses stays as it is while it runs, and one that has gone does not come
// back under its old number. One that is rewritten is another text after any change.
func (e *Engine) sameFacts(ctx context.Context, s *session.Session, check *core.Check, now *catalog.Snapshot) bool {
	if check.Text == "" {
		return false
	}
	result, _, err := e.facts.analyze(check.Text, &check.Session, now, e.plan(now, e.masksOf(ctx, s, now)), e.analysisOptions(nil))
	if err != nil || result.Runs != "" || len(result.Statements) != len(check.Statements) {
		return false
	}
	for i := range result.Statements {
		a, b := &check.Statements[i], &result.Statements[i]
		if !reflect.DeepEqual(visible(a), visible(b)) || !sameRelations(a, check.Catalog, now) {
			return false
		}
	}
	return true
}

// visible are the facts that decide what becomes of a statement's answer.
func visible(s *analysis.Statement) []any {
	return []any{s.Facts(), s.Touches, s.Derived, s.Outputs, s.Copy, s.ReturnsRows}
}

func sameRelations(s *analysis.Statement, old, now *catalog.Snapshot) bool {
	for _, fact := range s.Facts() {
		for _, r := range fact.Resources {
			if !slices.EqualFunc(old.Named(r.Name), now.Named(r.Name), func(a, b *catalog.Relation) bool { return reflect.DeepEqual(a, b) }) {
				return false
			}
		}
	}
	return true
}

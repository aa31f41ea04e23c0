package postgres

import (
	"context"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/rewrite"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Masks at the source (ADR 0013) are in a statement's text, so what policy does to
// values has to be known before the statement is decided. It is asked of policy for
// every tag there is, which decides nothing; the decision carries its masks as well,
// and where policy has changed between the two, the statement is refused.

// masks are what policy does to values of tags, and the revision that says so.
type masks struct {
	byTag    map[string]access.Mask
	revision uint64
}

// planFor is the plan of one catalog under one revision of policy. plan is nil where
// nothing is masked at the source.
type planFor struct {
	catalog, revision uint64
	plan              *rewrite.Plan
}

func (e *Engine) masksOf(ctx context.Context, s *session.Session, cat *catalog.Snapshot) masks {
	byTag, revision := s.Masks(ctx, cat.AllTags())
	return masks{byTag, revision}
}

// plan returns the plan of a catalog, which is kept until either changes. Workloads
// that one engine serves have one policy.
func (e *Engine) plan(cat *catalog.Snapshot, m masks) *rewrite.Plan {
	if m.byTag == nil {
		return nil
	}
	kept := e.planned.Load()
	if kept != nil && kept.catalog == cat.Version && kept.revision == m.revision {
		return kept.plan
	}
	next := &planFor{cat.Version, m.revision, rewrite.New(cat, m.byTag)}
	e.planned.Store(next)
	return next.plan
}

// changed ends an operation that was prepared by other masks than it was decided by.
func changed(x *session.Exchange) core.Answer {
	d := &access.Denial{
		Code: access.CodeUnavailable, What: "tidewaiter: the policy has changed while the statement was being read, so it was refused",
		Hint: "Run it again.",
	}
	if err := x.End(access.Ended{Outcome: access.OutcomeDenied, Message: d.What}); err != nil {
		return core.Answer{Denial: access.AsDenial(err)}
	}
	return core.Answer{Denial: d}
}

// prepareAgain has the code by which drivers know that a statement they keep is no
// longer good, and prepare it anew.
var prepareAgain = &analysis.Refusal{
	Code: "26000", Message: "tidewaiter: the statement was prepared under other masks, or before a table that it reads was changed",
	Hint: "Prepare it again.",
}

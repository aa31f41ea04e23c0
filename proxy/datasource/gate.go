package datasource

import (
	"context"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Gate is the decider of a data source, with a bar in front for when the workload may no longer attach: a bundle cannot say
// that, since none is made for whoever is not attached. It is safe for concurrent use.
type Gate struct {
	*policy.Decider
	bar atomic.Pointer[access.Decision]
}

var _ session.Decider = (*Gate)(nil)

// NewGate returns a gate that refuses everything until a bundle is in force.
func NewGate(o policy.Options) *Gate { return &Gate{Decider: policy.NewDecider(o)} }

// Bar refuses every operation from now on, for the reason given and with the hint.
func (g *Gate) Bar(reason, hint string) {
	g.bar.Store(&access.Decision{Reason: reason, Hint: hint}) // its Effect is zero, which denies
}

// Lift takes the bar away: the bundle in force decides again.
func (g *Gate) Lift() { g.bar.Store(nil) }

// Decide refuses while the bar is down, and otherwise asks the bundle in force.
func (g *Gate) Decide(ctx context.Context, id access.Identity, op *access.Operation) (access.Decision, error) {
	if d := g.bar.Load(); d != nil {
		return *d, nil
	}
	return g.Decider.Decide(ctx, id, op)
}

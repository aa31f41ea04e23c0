package postgres

import (
	"context"
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxAcquired bounds the columns that have acquired tags. Past it, what would add one
// is refused, whatever policy says.
const maxAcquired = 10_000

// acquire keeps tags on values that are about to be written to columns without them:
// policy has allowed it, and the value must not be less protected for it. From here
// on, and before anything is forwarded, the columns carry the tags in every session
// of this data source in this process. It returns the catalog that says so, and whether
// sessions may still run statements by an older one.
func (c *catalogCache) acquire(ctx context.Context, s *session.Session, more []catalog.Acquired) (cat *catalog.Snapshot, fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lacking := slices.DeleteFunc(more, func(q catalog.Acquired) bool { return covered(c.acquired, q) })
	if len(c.acquired)+len(lacking) > maxAcquired {
		return nil, false, &access.Denial{
			Code: access.CodeTooMany, What: "tidewaiter: too many columns have got protected values from elsewhere, so no more may",
			Hint: "Ask the owner of the DataSource to classify them.",
		}
	}
	if len(lacking) == 0 && c.usable() {
		return c.now, c.settled < c.epoch, nil
	}
	c.acquired = append(c.acquired, lacking...)
	c.epoch++
	cat, err = c.load(ctx, s, true)
	return cat, true, err
}

// wanted are the acquired tags to load with: those that were seen here, and those that
// others have seen, which the operator hands out.
func (c *catalogCache) wanted(by *outset) []catalog.Acquired {
	out := slices.Clone(c.acquired)
	for _, q := range by.acquired {
		if !covered(c.acquired, q) {
			out = append(out, q)
		}
	}
	return out
}

// unkept returns the acquired tags that nobody beyond this process is known to keep.
func (c *catalogCache) unkept() []catalog.Acquired {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := append(slices.Clone(c.outset.Load().acquired), c.kept...)
	return slices.DeleteFunc(slices.Clone(c.acquired), func(q catalog.Acquired) bool { return covered(kept, q) })
}

// keptNow notes that acquired tags are kept.
func (c *catalogCache) keptNow(more []catalog.Acquired) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, more...)
	c.kept = slices.DeleteFunc(c.kept, func(q catalog.Acquired) bool { return !covered(c.acquired, q) }) // its column is gone
}

// covered reports whether a column has its tags by the list.
func covered(list []catalog.Acquired, q catalog.Acquired) bool {
	return slices.ContainsFunc(list, func(has catalog.Acquired) bool {
		return has.Relation == q.Relation && has.Number == q.Number && has.Schema == q.Schema && has.Name == q.Name && catalog.Contains(has.Tags, q.Tags)
	})
}

// settle notes that no statement runs any more that was decided before that epoch,
// and returns the catalog as it is now.
func (c *catalogCache) settle(ctx context.Context, s *session.Session, epoch uint64) (*catalog.Snapshot, error) {
	c.mu.Lock()
	c.settled = max(c.settled, epoch)
	c.mu.Unlock()
	return c.get(ctx, s, false)
}

// follow lets tags follow the values of statements that are allowed and about to run,
// and returns the answer with the facts as they are then.
func (e *Engine) follow(ctx context.Context, s *session.Session, a *core.Ask, ans core.Answer) core.Answer {
	more := taken(ans.Result.Statements)
	if a.Kind == core.AskParse || len(more) == 0 {
		return ans
	}
	cat, fresh, err := e.catalog.acquire(ctx, s, more)
	if err == nil && fresh {
		if err = e.flights.settled(ctx, s); err == nil {
			cat, err = e.catalog.settle(ctx, s, cat.Epoch)
		}
	}
	if err == nil {
		err = e.keep(ctx)
	}
	if err == nil {
		ans.Catalog = cat
		ans.Result, _, err = e.understand(a, cat, e.masksOf(ctx, s, cat), nil)
	}
	if err != nil {
		return core.Answer{Denial: ans.Exchange.Refuse(access.AsDenial(err))}
	}
	return ans
}

// keep makes the acquired tags known beyond this process, before anything is written:
// another sidecar, or this one after a restart, would show the copies as they are.
func (e *Engine) keep(ctx context.Context) error {
	if e.opt.Keep == nil {
		return nil
	}
	more := e.catalog.unkept()
	if len(more) == 0 {
		return nil
	}
	if err := e.opt.Keep(ctx, more); err != nil {
		return &access.Denial{
			Code: access.CodeNotNow, Cause: err,
			What: "tidewaiter: that protected values are about to be written to other columns could not be told to the operator, so they may not be: " + err.Error(),
			Hint: "Try again later, or ask the owner of the DataSource to classify the columns.",
		}
	}
	e.catalog.keptNow(more)
	return nil
}

// keepLater does so where it only makes certain what is kept already: a relation that
// was kept by its name is there now, and may be renamed.
func (e *Engine) keepLater() {
	if e.opt.Keep == nil || !e.keeping.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer e.keeping.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), catalogTimeout)
		defer cancel()
		_ = e.keep(ctx) // tried again at the next load
	}()
}

// taken are the tags that statements carry to columns without them.
func taken(stmts []analysis.Statement) []catalog.Acquired {
	var out []catalog.Acquired
	for i := range stmts {
		for _, w := range stmts[i].Writes {
			out = append(out, catalog.Acquired(w))
		}
	}
	return out
}

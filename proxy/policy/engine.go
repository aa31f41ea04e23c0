package policy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Engine is one bundle, ready to decide. It never changes, and is safe for
// concurrent use.
type Engine struct {
	query, maskQuery rego.PreparedEvalQuery

	blind     blind
	estimates bool
	claims    claims
	options   Options
	cache     *cache
	masks     atomic.Pointer[tagMasks] // the last answer of Masks
}

// Revision of the bundle.
func (e *Engine) Revision() uint64 { return e.claims.revision }

// DataSource that the bundle is about, "namespace/name".
func (e *Engine) DataSource() string { return e.claims.dataSource }

// NotAfter is when the engine begins to deny everything.
func (e *Engine) NotAfter() time.Time { return e.claims.notAfter }

// Decide answers op within the deadline. An error comes with the zero Decision,
// which denies. The decision's maps and slices are shared: they must not be
// changed.
func (e *Engine) Decide(ctx context.Context, id access.Identity, op *access.Operation) (access.Decision, error) {
	if op == nil {
		return access.Decision{}, errors.New("policy: there is no operation to decide")
	}
	if !e.options.Now().Before(e.claims.notAfter) {
		return access.Decision{}, ErrExpired
	}
	if op.ID == 0 {
		return e.evaluate(ctx, id, op)
	}
	key := keyOf(e.cache.seed, e.blind, &id, op)
	if d, ok := e.cache.get(key); ok {
		return *d, nil
	}
	d, err := e.evaluate(ctx, id, op)
	if err == nil {
		e.cache.put(key, &d)
	}
	return d, err
}

func (e *Engine) evaluate(ctx context.Context, id access.Identity, op *access.Operation) (access.Decision, error) {
	input := inputOf(&id, op)
	ctx, cancel := context.WithTimeout(ctx, e.options.Deadline)
	defer cancel()
	results, err := e.query.Eval(ctx, rego.EvalParsedInput(input))
	// OPA notices the end of a context some time after it; an answer that came
	// too late is none.
	if err := ctx.Err(); err != nil {
		return access.Decision{}, fmt.Errorf("policy: evaluation: %w", err)
	}
	if err != nil {
		return access.Decision{}, fmt.Errorf("policy: evaluation: %w", err)
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return access.Decision{}, errors.New("policy: the bundle gives no decision")
	}
	d, err := decisionOf(results[0].Expressions[0].Value)
	if err != nil {
		return access.Decision{}, err
	}
	d.Revision = e.claims.revision
	return d, nil
}
